"""What is on this machine already: models of four stores, found, listed, offered and deleted in place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from samovar.config import load_settings
from samovar.errors import ModelFileError, ModelNotFoundError, UsageError
from samovar.models.cost import predict
from samovar.models.glances import Glances
from samovar.models.header import read_header
from samovar.models.hub_cache import HubCache
from samovar.models.lm_studio import LmStudio, folder_of_lm_studio
from samovar.models.offers import Candidate, offer, pick
from samovar.models.ollama import WEIGHTS, Ollama, folders_of_ollama
from samovar.models.quants import choose, quant_of
from samovar.models.reference import ALIASES, parse_reference
from samovar.models.store import Store
from samovar.models.stored import ModelStore, Stored
from samovar.models.stores import Stores
from tests.tiny import Sizes, make_tiny

COMMIT = "c" * 40
SHA = "d" * 64


def add_to_ollama(folder: Path, model: Path, name: str = "host/library/qwen3/latest", sha: str = SHA) -> Path:
    """As `ollama pull` leaves it; returns its blob."""
    blob = folder / "blobs" / f"sha256-{sha}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(model, blob)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha}"}
    write_manifest(folder, name, {"layers": [{"mediaType": "x"}, layer]})
    return blob


def write_manifest(folder: Path, name: str, told: object) -> None:
    path = folder / "manifests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))


def add_to_hub(folder: Path, model: Path, name: str = "m-Q4_K_M.gguf", blob: str = SHA) -> Path:
    """As a fetch leaves it; returns its link."""
    place = folder / "models--own--repo"
    link = place / "snapshots" / COMMIT / name
    for one in (place / "blobs", place / "refs", link.parent):
        one.mkdir(parents=True, exist_ok=True)
    shutil.copy(model, place / "blobs" / blob)
    (place / "refs" / "main").write_text(COMMIT)
    link.symlink_to(Path("../../blobs") / blob)
    return link


@pytest.fixture
def stores(tmp_path: Path, tiny_model: Path) -> Stores:
    """One model in each store."""
    own = Store(tmp_path / "cache")
    path = own.path_of("tiny-model", None, "m.gguf")
    path.parent.mkdir(parents=True)
    shutil.copy(tiny_model, path)
    add_to_ollama(tmp_path / "ollama", tiny_model)
    add_to_hub(tmp_path / "hub", tiny_model)
    (tmp_path / "studio" / "pub" / "repo").mkdir(parents=True)
    shutil.copy(tiny_model, tmp_path / "studio" / "pub" / "repo" / "x-Q8_0.gguf")
    return Stores(
        own, HubCache(tmp_path / "hub"), Ollama([tmp_path / "ollama"]), LmStudio(tmp_path / "studio")
    )


REFERENCES = ("package:tiny-model/m.gguf", "hf:own/repo:Q4_K_M", "ollama:qwen3", "lmstudio:pub/repo:Q8_0")


# The contract ------------------------------------------------------------------------------------------


def test_what_is_listed_is_found_by_its_reference(stores: Stores) -> None:
    listed = list(stores.listed())
    assert tuple(one.reference for one in listed) == REFERENCES
    for one in listed:
        path = stores.find(parse_reference(one.reference))
        assert path == one.path and read_header(path).file_bytes > 0


@pytest.mark.parametrize("at", range(4))
def test_every_store_says_what_is_not_here_and_holds_nothing(stores: Stores, at: int) -> None:
    store: ModelStore = stores.all[at]
    missing = {
        "package": "package:none/m.gguf",
        "hf": "hf:no/where",
        "ollama": "ollama:none",
        "lmstudio": "lmstudio:no/where",
    }
    with pytest.raises(ModelNotFoundError, match=r"samovar pull|ollama pull none|lms get no/where"):
        store.find(parse_reference(missing[store.scheme]))
    assert store.title and [one.scheme for one in store.listed()] == [store.scheme]


def test_stores_that_are_not_there_hold_nothing(tmp_path: Path) -> None:
    none = tmp_path / "none"
    stores = Stores(Store(none), HubCache(none), Ollama([none]), LmStudio(None))
    assert list(stores.listed()) == []
    with pytest.raises(ModelNotFoundError, match="there is no folder of LM Studio"):
        stores.find(parse_reference("lmstudio:a/b"))
    with pytest.raises(ModelNotFoundError, match="samovar pull hf:a/b"):
        Stores(Store(none), HubCache(None), Ollama([]), LmStudio(None)).find(parse_reference("hf:a/b"))


# Deleting ----------------------------------------------------------------------------------------------


def test_samovars_own_and_the_hubs_are_deleted_and_leave_no_empty_folder(stores: Stores) -> None:
    for text in REFERENCES[:2]:
        path = stores.find(parse_reference(text))
        size = path.stat().st_size
        assert stores.remove(parse_reference(text)) == size
        with pytest.raises(ModelNotFoundError):
            stores.find(parse_reference(text))
    assert list(stores.own.folder.iterdir()) == [] and list(stores.hub.folder.iterdir()) == []


@pytest.mark.parametrize(("text", "says"), [(REFERENCES[2], "ollama rm qwen3"), (REFERENCES[3], "My Models")])
def test_what_belongs_to_others_is_not_deleted(stores: Stores, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        stores.remove(parse_reference(text))
    assert stores.find(parse_reference(text)).is_file()


def test_a_path_is_not_deleted(stores: Stores, tmp_path: Path, tiny_model: Path) -> None:
    link = stores.find(parse_reference(REFERENCES[1]))
    for path, says in ((link, r"is hf:own/repo:Q4_K_M"), (tiny_model, "your own file")):
        with pytest.raises(UsageError, match=says):
            stores.remove(parse_reference(str(path)))
        assert path.is_file()


# Ollama ------------------------------------------------------------------------------------------------


def test_ollamas_names_are_as_short_as_ollamas_own(tmp_path: Path, tiny_model: Path) -> None:
    names = {
        "ollama:a": "host/library/a/latest",
        "ollama:a:4b": "host/library/a/4b",
        "ollama:me/b:q8": "host/me/b/q8",
        "ollama:other.hub/o/r:Q4_K_M": "other.hub/o/r/Q4_K_M",
    }
    for name in names.values():
        add_to_ollama(tmp_path, tiny_model, name)
    store = Ollama([tmp_path])
    assert sorted(one.reference for one in store.listed()) == sorted(names)
    for text in [*names, "ollama:host/library/a"]:
        assert store.find(parse_reference(text)).name == f"sha256-{SHA}"
    with pytest.raises(ModelNotFoundError, match="Did you mean 'a:4b'"):
        store.find(parse_reference("ollama:a:4bb"))


@pytest.mark.parametrize(
    ("told", "error", "says"),
    [
        ({"layers": [{"mediaType": "application/vnd.ollama.image.tensor"}]}, ModelFileError, "no GGUF file"),
        ({"layers": None}, ModelFileError, "no GGUF file"),
        ([], ModelFileError, "no GGUF file"),
        (
            {"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../x"}]},
            ModelFileError,
            "no GGUF file",
        ),
        (
            {"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:ff"}]},
            ModelNotFoundError,
            "is not complete.*ollama pull m",
        ),
    ],
)
def test_a_manifest_that_leads_to_no_file_says_why(
    tmp_path: Path, told: object, error: type[Exception], says: str
) -> None:
    write_manifest(tmp_path, "host/library/m/latest", told)
    with pytest.raises(error, match=says):
        Ollama([tmp_path]).find(parse_reference("ollama:m"))
    [listed] = Ollama([tmp_path]).listed()
    assert listed.path is None and re.search(says, listed.fault or "")


def test_a_damaged_manifest_and_an_older_store_are_read(tmp_path: Path, tiny_model: Path) -> None:
    blob = add_to_ollama(tmp_path, tiny_model)
    blob.rename(blob.with_name(f"sha256:{SHA}"))
    assert Ollama([tmp_path]).find(parse_reference("ollama:qwen3")).is_file()
    (tmp_path / "manifests" / "host" / "library" / "qwen3" / "latest").write_text("{")
    with pytest.raises(ModelFileError, match="is not an Ollama manifest"):
        Ollama([tmp_path]).find(parse_reference("ollama:qwen3"))


LONG = json.dumps({"layers": [{"mediaType": WEIGHTS, "digest": "sha256:" + "f" * 5000}]})


@pytest.mark.parametrize(
    "text",
    [
        '{"layers": 5}',
        '{"layers": {"a": 1}}',
        "[1]",
        "[" * 100_000,
        '{"layers": [5, {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:\\ud800"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": 5}]}',
        LONG,
    ],
)
def test_an_odd_manifest_is_a_row_with_a_fault_beside_the_others(
    tmp_path: Path, tiny_model: Path, text: str
) -> None:
    add_to_ollama(tmp_path, tiny_model)
    write_manifest(tmp_path, "host/library/odd/latest", None)
    (tmp_path / "manifests" / "host" / "library" / "odd" / "latest").write_text(text)
    rows = {one.reference: one.fault for one in Ollama([tmp_path]).listed()}
    assert list(rows) == ["ollama:odd", "ollama:qwen3"] and rows["ollama:odd"] and not rows["ollama:qwen3"]


def test_what_is_odd_in_one_store_does_not_hide_the_others(stores: Stores, tmp_path: Path) -> None:
    memory = tmp_path / "memory" / "models--own--repo" / f"{COMMIT}.json"
    memory.parent.mkdir(parents=True)
    hub = HubCache(tmp_path / "hub", tmp_path / "memory")
    for text in ('[[5, 1, "f"]]', "[" * 100_000, '[["../../m-Q4_K_M.gguf", 1, "f"]]'):
        memory.write_text(text)
        assert [one.reference for one in hub.listed()] == [REFERENCES[1]]
    (tmp_path / "hub" / "models--own--repo" / "snapshots" / "main").mkdir()
    assert [one.reference for one in hub.listed()] == [REFERENCES[1]]
    home = tmp_path / ".lmstudio"
    home.mkdir()
    for text in ("[" * 60_000, '{"downloadsFolder": "a\\u0000b"}', '{"downloadsFolder": "\\ud800"}'):
        (home / "settings.json").write_text(text)
        assert list(LmStudio(folder_of_lm_studio(tmp_path)).listed()) == []

    class Broken(Ollama):
        def listed(self) -> Iterator[Stored]:
            yield from super().listed()
            raise OSError(5, "Input/output error")

    broken = Broken([tmp_path / "ollama"])
    everything = list(Stores(stores.own, hub, broken, LmStudio(tmp_path / "studio")).listed())
    assert [one.reference for one in everything if not one.fault] == list(REFERENCES)
    [fault] = [one.fault for one in everything if one.fault]
    assert re.search(r"^Ollama cannot be read completely: .*Input/output error", fault or "")


STRANGER = """
import os, sys
from pathlib import Path
from samovar.errors import ModelNotFoundError
from samovar.models.ollama import Ollama
from samovar.models.reference import parse_reference
if os.geteuid() == 0:
    os.setuid(65534)
store, reference = Ollama([Path(sys.argv[1])]), parse_reference("ollama:m")
print([one.fault for one in store.listed()])
try:
    store.find(reference)
except ModelNotFoundError as error:
    print(error)
"""
"""What another user sees, who may read the modules only before becoming one."""


@pytest.mark.parametrize("mode", [0o000, 0o311])
def test_a_store_that_may_not_be_read_says_how_to_get_access(mode: int) -> None:
    with TemporaryDirectory(prefix="samovar-store-") as name:
        Path(name).chmod(0o755)
        closed = Path(name) / "closed"
        closed.mkdir(mode=mode)
        command = [sys.executable, "-c", STRANGER, str(closed)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        closed.chmod(0o700)
    listed, found = done.stdout.splitlines()
    assert listed == f"['This user may not read {closed}.']"
    assert f"this user may not read {closed}" in found and "usermod -aG ollama" in found


def test_the_folders_of_other_programs_are_where_they_say(tmp_path: Path) -> None:
    assert folders_of_ollama({"OLLAMA_MODELS": "/x"}, tmp_path) == [Path("/x")]
    assert folders_of_ollama({"OLLAMA_MODELS": "~/x"}, tmp_path) == [tmp_path / "x"]
    assert folders_of_ollama({}, tmp_path)[0] == tmp_path / ".ollama" / "models"
    assert folder_of_lm_studio(None) is folder_of_lm_studio(tmp_path) is None
    (tmp_path / ".cache" / "lm-studio").mkdir(parents=True)
    assert folder_of_lm_studio(tmp_path) == tmp_path / ".cache" / "lm-studio" / "models"
    own = tmp_path / ".lmstudio"
    own.mkdir()
    assert folder_of_lm_studio(tmp_path) == own / "models"
    (own / "settings.json").write_text('{"downloadsFolder": "/big/models"}')
    assert folder_of_lm_studio(tmp_path) == Path("/big/models")
    (own / "settings.json").write_text('{"downloadsFolder": "~/big"}')
    assert folder_of_lm_studio(tmp_path) == tmp_path / "big"
    (own / "settings.json").write_text("{")
    assert folder_of_lm_studio(tmp_path) == own / "models"
    (tmp_path / "moved").mkdir()
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "moved"))
    assert folder_of_lm_studio(tmp_path) == tmp_path / "moved" / "models"


# Which file of a repository ----------------------------------------------------------------------------

FILES = ["a-BF16.gguf", "a-IQ4_NL.gguf", "a-Q4_K_M.gguf", "a-Q4_K_S.gguf", "a-Q8_0.gguf", "a-UD-Q4_K_XL.gguf"]


@pytest.mark.parametrize(
    ("names", "quant", "chosen"),
    [
        (FILES, None, "a-Q4_K_M.gguf"),
        (FILES, "q8_0", "a-Q8_0.gguf"),
        (FILES, "Q4_K", None),
        (FILES, "Q4_K_XL", "a-UD-Q4_K_XL.gguf"),
        (FILES, "ud-q4_k_xl", "a-UD-Q4_K_XL.gguf"),
        ([FILES[0], FILES[3], FILES[4]], None, "a-Q8_0.gguf"),
        ([FILES[3], FILES[1]], None, "a-IQ4_NL.gguf"),
        ([FILES[0], FILES[1]], None, "a-BF16.gguf"),
        (["mmproj-Q4_K_M.gguf", "mtp-a-Q4_K_M.gguf", "imatrix.gguf", "b.Q5_0.gguf"], None, "b.Q5_0.gguf"),
        (["mmproj-Q4_K_M.gguf", "README.md"], None, None),
        (["BF16/a-00002-of-00002.gguf", "BF16/a-00001-of-00002.gguf"], "bf16", "BF16/a-00001-of-00002.gguf"),
    ],
)
def test_a_quant_is_chosen_as_llama_cpp_does(names: list[str], quant: str | None, chosen: str | None) -> None:
    assert choose(names, quant) == choose(reversed(names), quant) == chosen


def test_the_quant_of_a_name_is_read() -> None:
    names = [
        "a-Q4_K_M.gguf",
        "a.iq2_xxs.gguf",
        "F16/a-00001-of-00002.gguf",
        "a-MXFP4.gguf",
        "a7.gguf",
    ]
    assert [quant_of(name) for name in names] == ["Q4_K_M", "IQ2_XXS", "F16", "MXFP4", None]


# Aliases -----------------------------------------------------------------------------------------------


def test_aliases_are_read_from_files_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    for path, text in (
        (tmp_path / "user" / "samovar" / "config.toml", '[aliases]\nbig = "hf:a/big"\nfast = "hf:a/slow"\n'),
        (tmp_path / ".samovar" / "config.toml", 'aliases.fast = "hf:a/fast"\n'),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert dict(load_settings({}).aliases) == {"big": "hf:a/big", "fast": "hf:a/fast"}
    given = load_settings({"aliases": {"z": "hf:c/d", "fast": "hf:e/f"}}).aliases
    assert dict(given) == {"big": "hf:a/big", "fast": "hf:e/f", "z": "hf:c/d"}
    for text in ("x=hf:a/b, y = ollama:z", '{"x": "hf:a/b", "y": "ollama:z"}'):
        monkeypatch.setenv("SAMOVAR_ALIASES", text)
        assert dict(load_settings({}).aliases) == {"x": "hf:a/b", "y": "ollama:z"}
    monkeypatch.setenv("SAMOVAR_ALIASES", "fast")
    with pytest.raises(UsageError, match=r"aliases cannot be 'fast' \(SAMOVAR_ALIASES\): expected a table"):
        load_settings({})


def test_an_alias_stands_for_what_it_leads_to() -> None:
    found = parse_reference("fast", (("fast", "quick"), ("quick", "hf:own/repo:Q8_0")))
    assert (found.text, found.repository, found.quant) == ("fast", "own/repo", "Q8_0")


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        ([("a", "b"), ("b", "a")], "is circular: a → b → a"),
        ([("a", "a")], "is circular: a → a"),
        ([("smollm2", "hf:a/b")], "cannot have 'smollm2'"),
        ([("hf:a", "x")], "a name is one word"),
        ([("a/b", "x")], "a name is one word"),
        ([("a.gguf", "x")], "a name is one word"),
        ([("a", " ")], "a name is one word"),
        ([("fast", "hf:a/b")], "Did you mean 'fast'"),
    ],
)
def test_an_alias_that_cannot_be_is_an_error(aliases: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_reference("fsat", aliases)


# Looking at many ---------------------------------------------------------------------------------------


def test_a_glance_sees_what_a_look_sees_and_jumps_the_second_time(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "m.gguf", sizes=Sizes(more_tokens=3000))
    memory = tmp_path / "cache" / "headers.json"
    for _ in range(2):
        with Glances(memory) as glances:
            assert glances.header(path) == read_header(path)
    [(key, ends)] = json.loads(memory.read_text()).items()
    assert str(path) in key and len(ends) == 2  # tokens and merges
    read = memory.stat().st_mtime_ns
    with Glances(memory) as glances:
        glances.header(path)
    assert memory.stat().st_mtime_ns == read


@pytest.mark.parametrize(
    "text", ["", "[]", '{"x": 1}', '{"x": {"1": Infinity}}', "[" * 100_000, "wrong ends"]
)
def test_what_is_remembered_wrongly_decides_nothing(tmp_path: Path, tiny_model: Path, text: str) -> None:
    memory = tmp_path / "headers.json"
    if text == "wrong ends":
        with Glances(memory) as glances:
            glances.header(tiny_model)
        [(key, ends)] = json.loads(memory.read_text()).items()
        text = json.dumps({key: {start: end - 5 for start, end in ends.items()}})
    memory.write_text(text)
    with Glances(memory) as glances:
        assert glances.header(tiny_model) == read_header(tiny_model)


# What is offered ---------------------------------------------------------------------------------------

MB = 1_000_000
SMALL, MIDDLE, LARGE, BASE = (
    Candidate(
        reference=name,
        weights_bytes=size * MB,
        total_bytes=(size + 500) * MB,
        has_chat_template=name != "base",
    )
    for name, size in (("small", 400), ("middle", 2_500), ("large", 9_000), ("base", 4_000))
)
TINY = Candidate(reference="tiny", weights_bytes=98 * MB, total_bytes=200 * MB, has_chat_template=True)


@pytest.mark.parametrize(
    ("memory_mb", "models", "offered"),
    [
        (16_000, [SMALL, MIDDLE, LARGE, BASE, TINY], "large"),
        (9_500, [SMALL, MIDDLE, LARGE, BASE, TINY], "large"),
        (9_499, [SMALL, MIDDLE, LARGE, BASE, TINY], "middle"),
        (4_600, [LARGE, MIDDLE, BASE], "middle"),
        (3_000, [SMALL, MIDDLE], "middle"),
        (2_999, [SMALL, MIDDLE], "small"),
        (899, [SMALL, MIDDLE], None),
        (16_000, [BASE], None),
        (16_000, [TINY], None),
        (16_000, [TINY, BASE, SMALL], "small"),
        (0, [SMALL], None),
        (16_000, [], None),
    ],
)
def test_the_largest_that_fits_and_can_converse_is_offered(
    memory_mb: int, models: list[Candidate], offered: str | None
) -> None:
    found = pick(models, memory_mb * MB, least_bytes=98 * MB)
    assert (found.reference if found else None) == offered


def test_the_offer_is_from_all_stores_and_larger_than_the_default(stores: Stores, tmp_path: Path) -> None:
    assert offer(stores, 1 << 40, "f16") is None
    large = make_tiny(tmp_path / "large.gguf", sizes=Sizes(more_tokens=220_000))
    add_to_hub(tmp_path / "hub", large, "large-Q4_0.gguf", "e" * 64)
    found = offer(stores, 1 << 40, "f16")
    assert found is not None and found.reference == "hf:own/repo:Q4_0"
    assert offer(stores, 1000, "f16") is None
    assert next(iter(ALIASES)) not in found.said and "in memory, fits)" in found.said
    cost = predict(read_header(large), context_tokens=1024, repack=False)
    found = offer(stores, cost.total_bytes, "f16")
    assert found is not None and "fits with 1024 tokens)" in found.said
