"""Models of a hub: fetched once, resumed, verified, where others find them too; the token stays at home."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import anyio
import pytest

from samovar.errors import ModelError, ModelFetchError, ModelNotFoundError, UsageError
from samovar.models.fetch_progress import FetchProgress
from samovar.models.hub import Hub, hub_of
from samovar.models.hub_cache import HubCache, HubFile, folder_of_hub_cache
from samovar.models.hub_download import Surroundings, fetch_from_hub
from samovar.models.reference import parse_reference
from samovar.models.replacing import link_to, write_over
from tests.hub import COMMIT, FakeHub, open_hub

pytestmark = pytest.mark.anyio

RAW = bytes(range(256)) * 40_000
"""Ten million bytes, in ten blocks."""
SHA = hashlib.sha256(RAW).hexdigest()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with open_hub(FakeHub(files={"m-Q4_K_M.gguf": RAW, "README.md": b"read me"})) as opened:
        yield opened


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    return HubCache(tmp_path / "hub", tmp_path / "memory")


async def get(
    text: str,
    cache: HubCache,
    hub: FakeHub,
    surroundings: Surroundings | None = None,
    token: str | None = None,
) -> Path:
    around = surroundings or Surroundings(wait=lambda seconds: None)
    access = Hub(endpoint=hub.endpoint, token=token, timeout_s=10)
    with anyio.fail_after(60):
        return await fetch_from_hub(parse_reference(text), cache, access, lambda progress: None, around)


def part_of(cache: HubCache, sha: str = SHA) -> Path:
    return cache.folder / "models--own--repo" / "blobs" / f"{sha}.samovar-part"


# The layout --------------------------------------------------------------------------------------------


async def test_a_file_is_where_the_hubs_own_library_keeps_it(hub: FakeHub, cache: HubCache) -> None:
    path = await get("hf:own/repo", cache, hub)
    place = cache.folder / "models--own--repo"
    assert path == place / "snapshots" / COMMIT / "m-Q4_K_M.gguf" and path.read_bytes() == RAW
    assert path.readlink() == Path("../../blobs") / SHA
    assert (place / "refs" / "main").read_text() == COMMIT
    assert (cache.folder / ".locks" / "models--own--repo" / f"{SHA}.lock").is_file()
    assert not part_of(cache).exists()
    assert cache.find(parse_reference("hf:own/repo")) == path


async def test_what_is_here_is_fetched_from_nowhere(hub: FakeHub, cache: HubCache) -> None:
    await get("hf:own/repo", cache, hub)
    asked, sent = len(hub.asked), hub.sent_bytes
    for text in ("hf:own/repo", "hf:own/repo:q4_k_m", "hf:own/repo/M-q4_k_m.gguf", f"hf:own/repo@{COMMIT}"):
        cache.find(parse_reference(text))
    assert len(hub.asked) == asked
    await get("hf:own/repo:Q4_K_M", cache, hub)
    assert (len(hub.asked) - asked, hub.sent_bytes) == (1, sent)
    assert cache.find(parse_reference("hf:Own/REPO")).is_file()


async def test_what_another_program_fetched_is_used(cache: HubCache) -> None:
    place = cache.folder / "models--own--repo"
    link = place / "snapshots" / COMMIT / "x-Q8_0.gguf"
    for folder in (place / "blobs", place / "refs", link.parent):
        folder.mkdir(parents=True)
    (place / "blobs" / "abc").write_bytes(b"x")
    link.symlink_to("../../blobs/abc")
    (place / "refs" / "main").write_text(COMMIT)
    for text in ("hf:own/repo", "hf:own/repo:Q8_0", "hf:own/repo/x-Q8_0.gguf"):
        assert cache.find(parse_reference(text)) == link
    assert [one.reference for one in cache.listed()] == ["hf:own/repo:Q8_0"]
    with pytest.raises(ModelNotFoundError, match=r"has no Q4_0.*There is: x-Q8_0\.gguf"):
        cache.find(parse_reference("hf:own/repo:Q4_0"))


async def test_a_file_that_is_here_does_not_hide_the_one_that_is_meant(hub: FakeHub, cache: HubCache) -> None:
    hub.files["m-Q8_0.gguf"] = RAW[:5000]
    await get("hf:own/repo:Q8_0", cache, hub)
    with pytest.raises(ModelNotFoundError, match="samovar pull hf:own/repo"):
        cache.find(parse_reference("hf:own/repo"))


async def test_a_model_in_parts_is_one_model(hub: FakeHub, cache: HubCache) -> None:
    names = [f"Q5_K_M/big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    hub.files |= {name: RAW[: 1000 * at + 1000] for at, name in enumerate(names)}
    path = await get("hf:own/repo:Q5_K_M", cache, hub)
    assert path.name == "big-00001-of-00003.gguf" and len(list(path.parent.iterdir())) == 3
    (path.parent / "big-00002-of-00003.gguf").unlink()
    with pytest.raises(ModelNotFoundError, match=r"big-00002-of-00003\.gguf is not beside it"):
        cache.find(parse_reference("hf:own/repo:Q5_K_M"))
    del hub.files[names[1]]
    with pytest.raises(ModelFetchError, match=r"00002-of-00003\.gguf is missing at the hub"):
        await get("hf:own/repo:Q5_K_M", cache, hub)


async def test_a_branch_and_a_repository_with_a_new_name_are_followed(hub: FakeHub, cache: HubCache) -> None:
    path = await get("hf:own/repo@refs/pr/1", cache, hub)
    assert (cache.folder / "models--own--repo" / "refs" / "refs" / "pr" / "1").read_text() == COMMIT
    assert cache.find(parse_reference("hf:own/repo@refs/pr/1")) == path
    with pytest.raises(ModelNotFoundError):
        cache.find(parse_reference("hf:own/repo@other"))
    hub.files["tiny-Q8_0.gguf"] = b"a small file that Git itself keeps"
    assert (await get("hf:own/repo:Q8_0", cache, hub)).read_bytes() == hub.files["tiny-Q8_0.gguf"]
    assert ("hub", "/api/models/own/repo/revision/refs/pr/1", None) in hub.asked


# Cut connections ---------------------------------------------------------------------------------------


async def test_a_cut_connection_goes_on_where_it_was(hub: FakeHub, cache: HubCache) -> None:
    hub.cuts = [3_000_000, 1, 4_000_000]
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW
    assert hub.sent_bytes == len(RAW)


async def test_the_next_call_goes_on_where_the_last_was_cut(hub: FakeHub, cache: HubCache) -> None:
    hub.cuts = [3_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(
        ModelFetchError,
        match=r"3\.0 MB are kept: the next try continues from "
        r"there",
    ) as caught:
        await get("hf:own/repo", cache, hub)
    assert caught.value.retryable and part_of(cache).stat().st_size == 3_000_000
    hub.cuts = []
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW
    assert hub.sent_bytes == len(RAW)


async def test_a_busy_hub_is_asked_again_and_a_dead_one_is_named(hub: FakeHub, cache: HubCache) -> None:
    waited: list[float] = []
    hub.busy = 3
    await get("hf:own/repo", cache, hub, Surroundings(wait=waited.append))
    assert waited == [0.5, 1.0, 2.0]
    hub.busy = 100
    with pytest.raises(ModelFetchError, match=r"the list of its files did not come from http.*answers 503"):
        await get("hf:own/repo", cache, hub)


async def test_an_address_that_holds_no_more_is_asked_for_again(hub: FakeHub, cache: HubCache) -> None:
    hub.cuts, hub.refused_elsewhere = [3_000_000], 2
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW
    assert hub.sent_bytes == len(RAW)


async def test_a_server_without_ranges_sends_all_again(hub: FakeHub, cache: HubCache) -> None:
    hub.cuts, hub.takes_ranges = [3_000_000], False
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW
    assert hub.sent_bytes == len(RAW) + 3_000_000


async def test_a_server_that_begins_again_and_is_cut_each_time_is_given_up(
    hub: FakeHub, cache: HubCache
) -> None:
    waited: list[float] = []
    hub.cuts, hub.takes_ranges = [3_000_000, 4_000_000, *[4_000_000, 0, 1_000, 3_999_999] * 50], False
    with pytest.raises(
        ModelFetchError, match="it starts again from the beginning each time, and is interrupted"
    ):
        await get("hf:own/repo", cache, hub, Surroundings(wait=waited.append))
    assert len(hub.starts) == 2 + 5 and waited == [0.5, 1, 2, 4]
    hub.cuts = [0, 5_000_000, 0]  # a part is there: nothing comes, then it goes further, then all of it
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW


async def test_a_cancelled_fetch_leaves_a_part_that_the_next_goes_on_with(
    hub: FakeHub, cache: HubCache
) -> None:
    may_go_on = threading.Event()
    written: list[int] = []

    def write(file: IO[bytes], block: bytes) -> None:
        file.write(block)
        written.append(len(block))
        if len(written) == 3:
            assert may_go_on.wait(30)

    def told(progress: FetchProgress) -> None:
        if len(written) == 3:
            scope.cancel()

    access = Hub(endpoint=hub.endpoint)
    with anyio.fail_after(60), anyio.CancelScope() as scope:
        await fetch_from_hub(parse_reference("hf:own/repo"), cache, access, told, Surroundings(write=write))
    assert scope.cancelled_caught
    may_go_on.set()  # its thread ends, and gives the lock back; the next fetch waits for that
    assert (await get("hf:own/repo", cache, hub, Surroundings())).read_bytes() == RAW
    assert hub.starts == [0, sum(written)]


async def test_progress_counts_what_was_there(hub: FakeHub, cache: HubCache) -> None:
    part_of(cache).parent.mkdir(parents=True)
    part_of(cache).write_bytes(RAW[:4_000_000])
    told: list[FetchProgress] = []
    await fetch_from_hub(parse_reference("hf:own/repo"), cache, Hub(endpoint=hub.endpoint), told.append)
    assert told[-1] == FetchProgress(done_bytes=len(RAW), total_bytes=len(RAW))
    assert hub.sent_bytes == len(RAW) - 4_000_000


async def test_two_fetches_of_one_file_fetch_it_once(hub: FakeHub, cache: HubCache) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(get, "hf:own/repo", cache, hub, Surroundings())
    assert hub.sent_bytes == len(RAW)


def test_many_threads_put_one_file_and_one_link_in_place(tmp_path: Path) -> None:
    blob, links, ref = tmp_path / "blobs" / "a", tmp_path / "snapshots", tmp_path / "main"
    blob.parent.mkdir()
    blob.write_bytes(b"x")
    failed: list[OSError] = []
    start = threading.Barrier(8)

    def put() -> None:
        start.wait(30)
        try:
            for number in range(20):
                link_to(blob, links / f"{number}.gguf")
                write_over(ref, COMMIT)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and ref.read_text() == COMMIT
    assert {one.readlink() for one in links.iterdir()} == {Path("../blobs/a")}
    assert len(list(tmp_path.rglob("*.*"))) == 20


# What is refused ---------------------------------------------------------------------------------------


async def test_wrong_content_is_deleted_and_said(hub: FakeHub, cache: HubCache) -> None:
    hub.told["m-Q4_K_M.gguf"] = wrong = "0" * 64
    with pytest.raises(ModelFetchError, match=f"its hash is {SHA}, but the hub says {wrong}"):
        await get("hf:own/repo", cache, hub)
    assert not list((cache.folder / "models--own--repo" / "blobs").iterdir())
    assert list(cache.listed()) == []


async def test_a_part_with_other_content_is_found_out(hub: FakeHub, cache: HubCache) -> None:
    part_of(cache).parent.mkdir(parents=True)
    part_of(cache).write_bytes(b"?" * 1000)
    with pytest.raises(ModelFetchError, match="wrong content"):
        await get("hf:own/repo", cache, hub)
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW


async def test_room_on_the_disk_is_looked_for_first(hub: FakeHub, cache: HubCache) -> None:
    around = Surroundings(free_bytes=lambda folder: len(RAW), wait=lambda seconds: None)
    with pytest.raises(ModelFetchError, match=r"10\.2 MB more are needed in .*, and 10\.2 MB are free"):
        await get("hf:own/repo", cache, hub, around)
    assert hub.sent_bytes == 0


async def test_a_disk_that_fills_is_one_plain_message(hub: FakeHub, cache: HubCache) -> None:
    def write(file: IO[bytes], block: bytes) -> None:
        if file.tell() > 2_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        file.write(block)

    with pytest.raises(ModelFetchError, match=r"There is no room for hf:own/repo: 8\.1 MB more are needed"):
        await get("hf:own/repo", cache, hub, Surroundings(write=write))
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW
    assert hub.starts == [0, 2 << 20]


@pytest.mark.parametrize(
    ("refusal", "token", "error", "says"),
    [
        ("GatedRepo", None, ModelFetchError, r"grants access to it.*set HF_TOKEN"),
        ("GatedRepo", "t", ModelFetchError, r"grants access to it.*with your token"),
        ("RepoNotFound", None, ModelNotFoundError, r"no repository own/repo.*HF_TOKEN is not set"),
        ("RepoNotFound", "t", ModelNotFoundError, r"no repository own/repo.*may not see it"),
        ("RevisionNotFound", None, ModelNotFoundError, r"has no revision 'main'"),
    ],
)
async def test_a_refusal_says_what_to_do(
    hub: FakeHub, cache: HubCache, refusal: str, token: str | None, error: type[ModelError], says: str
) -> None:
    hub.refusal = refusal
    with pytest.raises(error, match=says):
        await get("hf:own/repo", cache, hub, token=token)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hf:own/repo:Q2_K", r"has no Q2_K\. There is: m-Q4_K_M\.gguf\.$"),
        ("hf:own/repo/m-Q4_KM.gguf", r"Did you mean 'm-Q4_K_M\.gguf'"),
        ("hf:no/where", "there is no repository no/where"),
    ],
)
async def test_what_a_repository_does_not_have_is_said_with_what_it_has(
    hub: FakeHub, cache: HubCache, text: str, says: str
) -> None:
    with pytest.raises(ModelNotFoundError, match=says):
        await get(text, cache, hub)


async def test_a_repository_without_a_gguf_says_so(hub: FakeHub, cache: HubCache) -> None:
    hub.files = {"model.safetensors": RAW, "mmproj-F16.gguf": RAW, "imatrix.gguf": RAW}
    with pytest.raises(ModelNotFoundError, match=r"has no GGUF model\..*-GGUF in its name"):
        await get("hf:own/repo", cache, hub)


@pytest.mark.parametrize("name", ["../../../m-Q4_K_M.gguf", "/m-Q4_K_M.gguf", "a//m-Q4_K_M.gguf"])
async def test_no_name_of_a_hub_leads_out_of_the_cache(hub: FakeHub, cache: HubCache, name: str) -> None:
    hub.files = {name: RAW}
    with pytest.raises(ModelFetchError, match="is not a valid file name"):
        await get("hf:own/repo", cache, hub)


async def test_what_is_no_hub_is_named(hub: FakeHub, cache: HubCache) -> None:
    hub.commit = "not a commit"
    with pytest.raises(ModelFetchError, match="names no commit"):
        await get("hf:own/repo", cache, hub)


ELSEWHERE = [
    "../../../../victim-Q8_0.gguf",
    "/victim-Q8_0.gguf",
    "a/../../v-Q8_0.gguf",
    "a\\v-Q8_0.gguf",
    "v\0-Q8_0.gguf",
    "v\ud800-Q8_0.gguf",
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_remembered_leads_to_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim-Q8_0.gguf"
    victim.write_bytes(b"a file of the person's own")
    cache = HubCache(tmp_path / "hub", tmp_path / "memory")
    place = cache.folder / "models--own--repo"
    for folder in (place / "snapshots" / COMMIT, place / "refs"):
        folder.mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    assert (place / "snapshots" / COMMIT / ELSEWHERE[0]).exists(), "so that the name leads there"
    reference, remembered = parse_reference("hf:own/repo:Q8_0"), tmp_path / "memory" / "models--own--repo"
    good = HubFile(name="README.md", size_bytes=1, blob="f" * 40)
    cache.remember("own/repo", COMMIT, (good, HubFile(name=name, size_bytes=1, blob="f" * 64)))
    assert name not in json.dumps(json.loads((remembered / f"{COMMIT}.json").read_text()))
    (remembered / f"{COMMIT}.json").write_text(json.dumps([["README.md", 1, ""], [name, 1, "f" * 64]]))
    assert [file.name for file in cache.remembered("own/repo", COMMIT)] == ["README.md"]
    for call in (cache.find, cache.remove):
        with pytest.raises(ModelNotFoundError):
            call(reference)
    cache.remember("own/repo", "../../x", (good,))
    assert cache.remembered("own/repo", "../../x") == () and not list(tmp_path.glob("*.json"))
    assert victim.exists()


def test_a_folder_that_is_a_link_is_read_and_nothing_is_deleted_there(tmp_path: Path) -> None:
    cache = HubCache(tmp_path / "hub", tmp_path / "memory")
    place, outside = cache.folder / "models--own--repo", tmp_path / "outside"
    for folder in (place / "snapshots" / COMMIT, place / "refs", outside):
        folder.mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    (outside / "v-Q8_0.gguf").write_bytes(b"a file of the person's own")
    (place / "snapshots" / COMMIT / "sub").symlink_to(outside)
    cache.remember("own/repo", COMMIT, (HubFile(name="sub/v-Q8_0.gguf", size_bytes=1, blob="f" * 64),))
    assert cache.find(parse_reference("hf:own/repo")).is_file()
    with pytest.raises(UsageError, match=r"is not below .*snapshots, so it was kept"):
        cache.remove(parse_reference("hf:own/repo"))
    assert (outside / "v-Q8_0.gguf").exists()


# Settings and answers that cannot be right -------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"HF_TOKEN": "my\nsecret"}, "HF_TOKEN"),
        ({"HF_TOKEN": "my-secret-ü"}, "HF_TOKEN"),
        ({"HUGGING_FACE_HUB_TOKEN": "my secret"}, "HUGGING_FACE_HUB_TOKEN"),
        ({"HF_TOKEN_PATH": "token-file"}, "token-file"),
        ({"HF_ENDPOINT": "http://[secret"}, "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "secret"}, "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "ftp://secret"}, "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "http://secret:x"}, "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "https://me:secret@127.0.0.1"}, "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "http://secret.ü"}, "HF_ENDPOINT"),
    ],
)
async def test_a_setting_that_cannot_be_right_is_named_without_its_value(
    cache: HubCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("token-file").write_text("my secret ü")
    access = hub_of({"HF_ENDPOINT": "http://127.0.0.1:9", **variables}, None)
    around = Surroundings(wait=lambda seconds: pytest.fail("it was tried again"))
    with pytest.raises(ModelFetchError, match=says) as caught:
        await fetch_from_hub(parse_reference("hf:a/b"), cache, access, lambda progress: None, around)
    told = "".join(traceback.format_exception(caught.value))
    assert "secret" not in told and "\n" not in str(caught.value)


@pytest.mark.parametrize("location", ["http://[x", "https://", "http://x:y/", "//["])
async def test_a_redirect_to_no_address_is_said(hub: FakeHub, cache: HubCache, location: str) -> None:
    hub.location = location
    with pytest.raises(ModelFetchError, match="redirects to an invalid address"):
        await get("hf:own/repo", cache, hub)


async def test_a_redirect_may_have_letters_that_are_not_ascii(hub: FakeHub, cache: HubCache) -> None:
    hub.location = "/api/models/own/repo/revision/ü".encode().decode("latin-1")
    assert (await get("hf:own/repo", cache, hub)).read_bytes() == RAW
    assert hub.asked[1][1] == "/api/models/own/repo/revision/ü"


@pytest.mark.parametrize(
    "listing",
    [
        {"siblings": ["x"]},
        {"siblings": [{"rfilename": "m-Q4_K_M.gguf", "lfs": "x"}]},
        {"siblings": [{"rfilename": "m-Q4_K_M.gguf", "size": "x"}]},
        {"siblings": [{"rfilename": "m-Q4_K_M.gguf", "size": float("inf")}]},
        {"siblings": [{"rfilename": "m-Q4_K_M.gguf", "size": [5]}]},
        {"siblings": [{}]},
        {"siblings": 5},
        {},
    ],
)
async def test_an_answer_that_is_no_list_of_files_is_said(
    hub: FakeHub, cache: HubCache, listing: dict[str, object]
) -> None:
    hub.listed = json.dumps({"sha": COMMIT} | listing)
    with pytest.raises(ModelFetchError, match="did not answer with a list of files"):
        await get("hf:own/repo", cache, hub)
    hub.listed = "[" * 100_000
    with pytest.raises(ModelFetchError, match="did not answer with a list of files"):
        await get("hf:own/repo", cache, hub)


# The token ---------------------------------------------------------------------------------------------


async def test_the_token_goes_to_the_hub_alone(hub: FakeHub, cache: HubCache) -> None:
    hub.token = "secret"
    await get("hf:own/repo", cache, hub, token="secret")
    assert {token for where, _, token in hub.asked if where == "hub"} == {"Bearer secret"}
    assert {token for where, _, token in hub.asked if where == "files"} == {None}
    assert "secret" not in repr(Hub(token="secret"))


async def test_the_token_goes_along_when_the_hub_sends_to_itself(hub: FakeHub, cache: HubCache) -> None:
    hub.token = "secret"
    with pytest.raises(ModelNotFoundError):  # the list comes from there; its files are not there
        await get("hf:old/name:Q2_K", cache, hub, token="secret")
    assert [token for _, path, token in hub.asked] == ["Bearer secret"] * 2


def test_the_token_and_the_hub_are_where_the_hubs_own_library_finds_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-home\n")
    (tmp_path / "other").write_text("from-path\n")
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "token").write_text("usual")
    home = {"HF_HOME": str(tmp_path)}
    path = {"HF_TOKEN_PATH": str(tmp_path / "other")}
    assert hub_of({"HF_TOKEN": "own", **home, **path}, tmp_path).token == "own"
    assert hub_of(home | path, tmp_path).token == "from-path"
    assert hub_of(home, tmp_path).token == "from-home"
    assert hub_of({}, tmp_path).token == "usual"
    assert hub_of({}, None).token is None
    assert hub_of({"HF_ENDPOINT": "http://x/"}, None).endpoint == "http://x"
    assert hub_of({"HF_HUB_OFFLINE": "1"}, None).is_offline and not hub_of({}, None).is_offline


def test_the_cache_is_found_in_the_order_of_llama_cpp(tmp_path: Path) -> None:
    variables = {
        "LLAMA_CACHE": "/1",
        "HF_HUB_CACHE": "/2",
        "HUGGINGFACE_HUB_CACHE": "/3",
        "HF_HOME": "/4",
        "XDG_CACHE_HOME": "/5",
    }
    found = []
    while variables:
        found.append(str(folder_of_hub_cache(variables, tmp_path)))
        variables.pop(next(iter(variables)))
    assert found == ["/1", "/2", "/3", "/4/hub", "/5/huggingface/hub"]
    assert folder_of_hub_cache({}, tmp_path) == tmp_path / ".cache" / "huggingface" / "hub"
    assert folder_of_hub_cache({}, None) is None


# Deleting ----------------------------------------------------------------------------------------------


async def test_what_is_deleted_is_a_name_and_then_what_no_other_name_leads_to(
    hub: FakeHub, cache: HubCache
) -> None:
    first = await get("hf:own/repo", cache, hub)
    hub.commit = "f" * 40
    second = await get("hf:own/repo", cache, hub)
    assert first != second and first.resolve() == second.resolve()
    assert cache.remove(parse_reference("hf:own/repo")) == 0
    assert not second.exists() and first.read_bytes() == RAW
    assert cache.remove(parse_reference(f"hf:own/repo@{COMMIT}")) == len(RAW)
    assert not (cache.folder / "models--own--repo").exists()


async def test_what_a_fetch_left_is_deleted_too(hub: FakeHub, cache: HubCache) -> None:
    hub.cuts = [3_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(ModelFetchError):
        await get("hf:own/repo", cache, hub)
    assert cache.remove(parse_reference("hf:own/repo")) == 3_000_000
    assert not (cache.folder / "models--own--repo").exists()
    with pytest.raises(ModelNotFoundError):
        cache.remove(parse_reference("hf:own/repo"))


def test_what_is_remembered_and_damaged_is_as_if_it_were_not_there(cache: HubCache, tmp_path: Path) -> None:
    path = tmp_path / "memory" / "models--own--repo" / f"{COMMIT}.json"
    path.parent.mkdir(parents=True)
    for text in ("", "{}x", json.dumps({"a": 1}), json.dumps([[1]]), json.dumps(7), "[" * 100_000):
        path.write_text(text)
        assert cache.remembered("own/repo", COMMIT) == ()
