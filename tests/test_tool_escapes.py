"""Tools cannot be led out of the folder of a run, nor into a program that nobody allowed."""

from __future__ import annotations

import os
import string
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from samovar.actions.file_places import target_below
from samovar.actions.file_system import Change, read, write
from samovar.config import Settings
from samovar.errors import FileError, Place, UsageError
from samovar.running.runner import RunnerSettings
from samovar.tools.pages import fetch, host_of, is_among, text_of
from samovar.tools.permission import check_rules, may_call, may_fetch, may_run, may_write
from tests.bench import Bench, Told
from tests.test_tools import LINE, calls, given

PLACE = Place(path=None, line=1)
SECRET = "the secret outside"


def made(base: Path) -> Path:
    """A folder with links and devices that lead out of it, and a secret beside it."""
    (base / "secret.txt").write_text(SECRET)
    (base / "out").mkdir()
    (base / "out" / "secret.txt").write_text(SECRET)
    root = base / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "ok.txt").write_text("ok")
    (root / "link.txt").symlink_to(base / "secret.txt")
    (root / "linked").symlink_to(base / "out")
    (root / "sub" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (root / "null").symlink_to("/dev/null")
    return root


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return made(tmp_path)


ESCAPES = (
    "../secret.txt",
    "sub/../../secret.txt",
    "./../secret.txt",
    "././/../secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "/dev/zero",
    "/proc/self/environ",
    "link.txt",
    "linked/secret.txt",
    "sub/up/secret.txt",
    "sub/up/out/secret.txt",
    "loop",
    "pipe",
    "null",
    ".",
    "..",
    "",
    "sub",
    "sub/",
    "sub//ok.txt/",
    "a\0b",
    "\0",
    "sub/ok.txt\0.png",
    "\ud800",
    "x" * 256,
    "a/" * 5000 + "b",
    "a/" * 65 + "b",
    "/".join(["x" * 100] * 41),
    "~/secret.txt",
    "file:///etc/passwd",
    "%2e%2e/secret.txt",
    "..\\secret.txt",
    "sub/.. /secret.txt",
)


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_out(house: Path, path: str) -> None:
    with pytest.raises(FileError):
        read(target_below(path, house, PLACE), 1_000)


@pytest.mark.parametrize("path", [*ESCAPES[:12], "sub/up/new.txt", "linked/new.txt", "../new.txt", "pipe"])
def test_nothing_is_written_outside(house: Path, path: str) -> None:
    before = sorted(house.parent.rglob("*"))
    with pytest.raises(FileError):
        write(target_below(path, house, PLACE), Change(make=lambda before: b"x"))
    assert (house.parent / "secret.txt").read_text() == SECRET
    assert sorted(house.parent.rglob("*")) == before


_PIECES = st.sampled_from(
    (
        "..",
        ".",
        "",
        "sub",
        "link.txt",
        "linked",
        "up",
        "secret.txt",
        "out",
        "ok.txt",
        "pipe",
        "loop",
        "\0",
        "~",
    )
)
_PATHS = st.lists(st.one_of(_PIECES, st.text(max_size=8)), min_size=1, max_size=6).map("/".join)


@settings(max_examples=400)
@for_any(path=_PATHS)
def test_no_made_up_path_reads_what_is_outside(path: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    house = _house(tmp_path_factory)
    try:
        raw = read(target_below(path, house, PLACE), 1_000)
    except FileError:
        return
    assert raw == b"ok"


_HOUSES: list[Path] = []


def _house(factory: pytest.TempPathFactory) -> Path:
    """One for all examples, which change nothing in it."""
    if not _HOUSES:
        _HOUSES.append(made(factory.mktemp("house")))
    return _HOUSES[0]


def test_a_model_gets_nothing_of_what_is_outside_by_any_tool_for_files(house: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.settings = RunnerSettings(folder=house, yes=True)
    workflow = bench.write("w", LINE, 'A: Prompt "x" using tools="files.*"')
    for path in ESCAPES:
        if path == "\ud800":
            continue
        wanted = [
            ("files.read", {"path": path}),
            ("files.list", {"pattern": f"{path}/*"}),
            ("files.search", {"text": "secret", "pattern": f"{path}/**"}),
            ("files.write", {"path": path, "content": "x"}),
            ("files.edit", {"path": path, "old": "secret", "new": "x"}),
        ]
        told = Told([calls(*wanted), "done"])
        anyio.run(bench.run, workflow, told)
        assert not any(SECRET in text for text in given(told, 1)), path
    assert (house.parent / "secret.txt").read_text() == SECRET
    assert (house.parent / "out" / "secret.txt").read_text() == SECRET


@pytest.mark.parametrize(
    ("rule", "path", "may"),
    [
        ("write:out/**", "out/a/b.txt", True),
        ("write:out/*", "out/a.txt", True),
        ("write:out/*", "out/a/b.txt", False),
        ("write:out/**", "out2/a.txt", False),
        ("write:out/**", "other/out/a.txt", False),
        ("write:**", "a/b.txt", True),
        ("write:**", ".git/hooks/post-commit", False),
        ("write:*.md", "a.md", True),
        ("write:*.md", "a.txt", False),
        ("shell:*", "a.md", False),
    ],
)
def test_rules_for_files(rule: str, path: str, may: bool) -> None:
    assert may_write([rule], target_below(path, Path("/x"), PLACE)) is may


@pytest.mark.parametrize(
    ("rule", "command", "may"),
    [
        ("git status", "git status", True),
        ("git status", "git status -s", False),
        ("git log *", "git log main", True),
        ("git log *", "git log", True),
        ("git log *", "git log --output=/etc/x", False),
        ("git log *", "git push", False),
        ("git *", "git -c core.pager=evil log", False),
        ("git log **", "git log --oneline", True),
        ("git *", "gitt log", False),
        ("*", "ls", False),
        ("**", "ls", False),
        ("sh **", "sh -c evil", False),
        ("bash **", "bash -c evil", False),
        ("python3 **", "python3 -c evil", False),
        ("env **", "env sh", False),
        ("xargs **", "xargs sh", False),
        ("git log *", "git  log", False),
    ],
)
def test_rules_for_programs(rule: str, command: str, may: bool) -> None:
    words = command.split(" ")
    assert may_run([f"shell:{rule}"], words) is may


_WORDS = st.lists(st.text(string.ascii_letters + "-=/.;|&$`'\" \n", max_size=12), max_size=5)


@for_any(rest=_WORDS)
def test_no_words_of_a_model_become_an_option_of_an_allowed_program(rest: Sequence[str]) -> None:
    may = may_run(["shell:git log *"], ["git", "log", *rest])
    assert may is not any(word.startswith("-") for word in rest)


async def _shell(bench: Bench, *commands: Sequence[str]) -> Told:
    told = Told([calls(*(("shell.run", {"command": list(words)}) for words in commands)), "done"])
    await bench.run(bench.write("w", LINE, 'A: Prompt "x" using tools="shell.run"'), told)
    return told


@pytest.mark.anyio
async def test_a_program_is_run_only_as_a_rule_says_and_no_shell_reads_its_words(bench: Bench) -> None:
    rules = Settings(allow=("shell:echo *", "shell:false", "shell:env"))
    bench.settings = RunnerSettings(folder=bench.folder, settings=rules)
    told = await _shell(
        bench,
        ["echo", "a; touch made", "$(touch made)", "`touch made`", "> made"],
        ["touch", "made"],
        ["false"],
        ["echo", "\0"],
        ["echo", "x" * 200_000],
        [""],
    )
    texts = given(told, 1)
    assert texts[0].endswith("\na; touch made $(touch made) `touch made` > made")
    assert "not allowed" in texts[1] and "status 1" in texts[2]
    assert "NUL" in texts[3] and "longer" in texts[4] and "no name" in texts[5]
    assert not (bench.folder / "made").exists()


@pytest.mark.anyio
async def test_a_program_gets_only_the_variables_that_are_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", SECRET)
    bench.settings = RunnerSettings(folder=bench.folder, settings=Settings(allow=("shell:env",)))
    told = await _shell(bench, ["env"])
    assert "PATH=" in given(told, 1)[0] and SECRET not in given(told, 1)[0]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.org/x", "example.org"),
        ("http://Example.org:8080/", "example.org:8080"),
        ("https://user:pw@example.org/", None),
        ("https://example.org@evil.test/", None),
        ("file:///etc/passwd", None),
        ("ftp://example.org/", None),
        ("https:///x", None),
        ("https://example.org:x/", None),
        ("https://exa mple.org/", None),
        ("https://example.org/\r\nHost: evil", None),
        ("https://еxample.org/", None),
    ],
)
def test_hosts_of_addresses(url: str, host: str | None) -> None:
    assert host_of(url) == host


def test_only_hosts_that_a_rule_names_are_fetched() -> None:
    hosts = may_fetch(["fetch:docs.example.org", "fetch:*.example.net", "tool:x.*"])
    assert is_among("docs.example.org", hosts) and is_among("a.example.net", hosts)
    for host in ("example.org", "docs.example.org.evil.test", "evil-docs.example.org", "example.net"):
        assert not is_among(host, hosts)
    assert fetch("https://evil.test/", hosts).is_refused and fetch("file:///etc/passwd", hosts).is_refused


@pytest.mark.anyio
async def test_no_page_is_fetched_without_a_rule(bench: Bench) -> None:
    told = Told([calls(("web.fetch", {"url": "https://example.org/"})), "done"])
    run = await bench.run(bench.write("w", LINE, 'A: Prompt "x" using tools="web.fetch"'), told)
    assert "not allowed" in given(told, 1)[0] and [one.status for one in run.visits[0].tools] == ["refused"]


def test_a_page_is_given_as_text_without_scripts() -> None:
    assert text_of("<h1>A</h1><script>x()</script><p>b <b>c</b></p>") == "A\nb c"


@pytest.mark.parametrize("rule", ["write", "write:", "delete:x", ":x", ""])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="allow cannot have"):
        check_rules([rule])


def test_rules_for_tools_of_servers() -> None:
    assert may_call(["tool:git.*"], "git.log") and not may_call(["tool:git.*"], "github.log")
    assert not may_call(["write:git.*"], "git.log")
