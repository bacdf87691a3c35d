"""Reading, writing and finding files: what comes of it, and that no value leads outside."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import MOST_FOUND, Change, find, read, write
from samovar.actions.outside import ThisMachine
from samovar.actions.reached import VisitOf
from samovar.checks.checking import check_workflow
from samovar.config import Settings
from samovar.errors import FaultsError, FileError, Place
from samovar.events import Ending
from samovar.expressions.chosen_paths import OwnPath
from samovar.preflight.prepare import prepare
from samovar.running.run import Run
from samovar.running.runner import RunnerSettings
from tests.bench import Bench, Told
from tests.test_actions import Said
from tests.test_cli import samovar

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1)
SECRET = "the outside"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "project"
    folder.mkdir()
    return Bench(folder)


async def perform(bench: Bench, *actions: str, **variables: object) -> Run:
    """A run of these actions, one after the other."""
    names = [f"S{number}" for number in range(len(actions))]
    diagram = "\n".join(f"{one} --> {two}" for one, two in zip(["[*]", *names], [*names, "[*]"], strict=True))
    lines = "\n".join(f"{name}: {action}" for name, action in zip(names, actions, strict=True))
    return await bench.run(bench.write("w", diagram, lines), None, **variables)


async def value(bench: Bench, action: str, **variables: object) -> object:
    run = await perform(bench, action, **variables)
    assert run.ending is Ending.COMPLETED, run.error
    return run.variables["v"]


async def failure(bench: Bench, action: str, **variables: object) -> str:
    run = await perform(bench, action, **variables)
    assert run.ending is Ending.FAILED and run.error is not None
    assert run.error.code == "file"
    return run.error.message


# What comes of it.


@pytest.mark.parametrize(
    ("format", "text", "wanted"),
    [
        ("text", "ä\r\nb\n", "ä\r\nb\n"),
        ("lines", "ä\r\nb\n", ["ä", "b"]),
        ("json", '{"a": [1, 2.0]}', {"a": [1, 2]}),
        ("jsonl", '{"a": 1}\n\n[2]\n', [{"a": 1}, [2]]),
        ("csv", 'a,b\n1,"x, y"\n', [{"a": "1", "b": "x, y"}]),
        ("yaml", "- no\n- 2026-01-02\n- {a: 1}\n", ["no", "2026-01-02", {"a": 1}]),
    ],
)
async def test_a_file_is_read_as_it_is_said(bench: Bench, format: str, text: str, wanted: object) -> None:
    (bench.folder / "in").write_bytes(text.encode())
    assert await value(bench, f'Read "in" as {format} result="v"') == wanted


@pytest.mark.parametrize(
    ("raw", "option", "text", "encoding"),
    [
        (b"\xef\xbb\xbfh\xc3\xa4", "", "hä", "utf-8"),
        ("hä".encode("utf-16"), "", "hä", "utf-16"),
        (b"h\xe4", ' encoding="latin-1"', "hä", "latin-1"),
    ],
)
async def test_the_encoding_of_a_text_is_reported(
    bench: Bench, raw: bytes, option: str, text: str, encoding: str
) -> None:
    (bench.folder / "in").write_bytes(raw)
    found = await value(bench, f'Read "in" result="v"{option}')
    assert (str(found), found["encoding"], found["size_bytes"]) == (text, encoding, len(raw))  # type: ignore[index]


@pytest.mark.parametrize(
    ("raw", "action", "said"),
    [
        (
            b"one\nh\xe4",
            'Read "in"',
            "it is not UTF-8: byte 0xe4 in line 2; if it has another encoding, name it",
        ),
        (b"{", 'Read "in" as json', "in line 1, column 2"),
        (b"1\n{\n", 'Read "in" as jsonl', "line 2 is not JSON"),
        (b"a,b\n1\n", 'Read "in" as csv', "line 2 has 1 value, not 2"),
        (b"a: [", 'Read "in" as yaml', "cannot be read as yaml: did not find"),
        (b"x" * 600, 'Read "in" limit=500B', "larger than 500 bytes"),
        (b"", 'Read "out"', "There is no file out"),
        (b"", 'Read "."', "has '.', but only"),
        (b"", 'Write "in" as lines with value="${n}"', "the value is not a list"),
        (b"", 'Write "in" as csv with value="${tags}"', "item 0 is not a map"),
        (b"a\n1\n", "Write \"in\" as csv append with value='${row}'", "the file has no column 'b'"),
    ],
)
async def test_what_cannot_be_read_or_written_is_said(
    bench: Bench, raw: bytes, action: str, said: str
) -> None:
    (bench.folder / "in").write_bytes(raw)
    assert said in await failure(bench, action, n=1, tags=["x"], row={"a": 1, "b": 2})
    assert (bench.folder / "in").read_bytes() == raw


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ('Write "out" with value="${n} and ${tags}"', '3 and ["x", "ä"]'),
        ('Write "out" as lines value="${tags}"', "x\nä\n"),
        ('Write "out" as json with value="${row}"', '{\n  "a": 1,\n  "b": "y, z"\n}\n'),
        ('Write "out" as jsonl with value="${tags}"', '"x"\n"ä"\n'),
        ('Write "out" as csv with value="${rows}"', 'a,b\n1,"y, z"\n2,\n'),
        ('Write "out" as yaml with value="${row}"', "a: 1\nb: y, z\n"),
        ('Write "new/deep/${tags[0]}.txt" with value="${n}"', "3"),
    ],
)
async def test_a_file_is_written_as_it_is_said(bench: Bench, action: str, wanted: str) -> None:
    row = {"a": 1, "b": "y, z"}
    run = await perform(bench, action, n=3, tags=["x", "ä"], row=row, rows=[row, {"a": 2}])
    assert run.ending is Ending.COMPLETED, run.error
    [path] = [one for one in bench.folder.rglob("*") if one.name in ("out", "x.txt")]
    assert path.read_text(encoding="utf-8") == wanted


@pytest.mark.parametrize(
    ("format", "before", "value", "wanted"),
    [
        ("text", "a", "b", "ab"),
        ("lines", "a", ["b"], "a\nb\n"),
        ("jsonl", '{"a": 1}\n', {"a": 2}, '{"a": 1}\n{"a": 2}\n'),
        ("csv", "b,a\n1,2", {"a": 3, "b": 4}, "b,a\n1,2\n4,3\n"),
        ("csv", None, {"a": 3}, "a\n3\n"),
    ],
)
async def test_more_is_added_at_the_end(
    bench: Bench, format: str, before: str | None, value: object, wanted: str
) -> None:
    if before is not None:
        (bench.folder / "out").write_text(before, encoding="utf-8")
    run = await perform(bench, f'Write "out" as {format} append with value="${{x}}"', x=value)
    assert run.ending is Ending.COMPLETED, run.error
    assert (bench.folder / "out").read_text(encoding="utf-8") == wanted


async def test_branches_that_add_to_one_file_all_do(bench: Bench) -> None:
    names = [f"B{number}" for number in range(8)]
    edges = "\n".join(f"F --> {name}\n{name} --> J" for name in names)
    diagram = f"state F <<fork>>\nstate J <<join>>\n[*] --> F\n{edges}\nJ --> [*]"
    actions = "\n".join(f'{name}: Write "log" as lines append with value="{name}"' for name in names)
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert sorted((bench.folder / "log").read_text("utf-8").split()) == names


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.md", ["a.md", "w.md"]),
        ("**/*.md", ["a.md", "docs/b.md", "docs/deep/c.md", "w.md"]),
        ("docs/**", ["docs/b.md", "docs/deep/c.md", "docs/deep/d.txt"]),
        ("docs/*/[cd].*", ["docs/deep/c.md", "docs/deep/d.txt"]),
        ("./docs/?.md", ["./docs/b.md"]),
        ("docs/deep/d.txt", ["docs/deep/d.txt"]),
        (".*", [".hidden"]),
        ("${name}/*.txt", ["docs/deep/d.txt"]),
        ("${star}.md", []),
        ("nowhere/*.md", []),
    ],
)
async def test_files_are_found_by_a_pattern_in_order(bench: Bench, pattern: str, wanted: list[str]) -> None:
    for name in ("a.md", "docs/b.md", "docs/deep/c.md", "docs/deep/d.txt", ".hidden", ".git/x.md"):
        (bench.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.folder / name).write_text("")
    found = await value(bench, f'Find "{pattern}" result="v"', name="docs/deep", star="*")
    assert found == wanted


async def test_a_search_ends_at_its_bound(tmp_path: Path) -> None:
    for number in range(MOST_FOUND + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(FileError, match="matches more than 10,000 files"):
        find(Search(folder=tmp_path, shown="", below=("*",), pattern="*"))


# Whole or not at all.


def test_a_file_that_cannot_be_made_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    target = Target(folder=tmp_path, below=("out",), shown="out")

    def fail(before: bytes | None) -> bytes:
        raise FileError("no")

    with pytest.raises(FileError, match="no"):
        write(target, Change(make=fail))
    with pytest.raises(FileError, match="cannot be written"):
        write(Target(folder=tmp_path, below=("out", "x"), shown="out/x"), Change(make=lambda before: b""))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "before"


@pytest.mark.skipif(os.name == "nt", reason="modes and hard links of POSIX")
def test_a_file_keeps_its_mode_and_the_other_names_of_it_what_they_held(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    (tmp_path / "out").chmod(0o640)
    os.link(tmp_path / "out", tmp_path / "other")
    write(Target(folder=tmp_path, below=("out",), shown="out"), Change(make=lambda before: b"after"))
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640
    assert (tmp_path / "out").read_text() == "after"
    assert (tmp_path / "other").read_text() == "before"


def test_who_reads_meanwhile_sees_a_whole_file(tmp_path: Path) -> None:
    target, held = Target(folder=tmp_path, below=("out",), shown="out"), set[bytes]()
    wholes = [bytes([65 + number]) * 100_000 for number in range(8)]
    write(target, Change(make=lambda before: wholes[0]))

    def write_all() -> None:
        for whole in wholes * 4:
            write(target, Change(make=lambda before, whole=whole: whole))  # type: ignore[misc]

    writer = threading.Thread(target=write_all)
    writer.start()
    while writer.is_alive():
        held.add(read(target, 1_000_000))
    writer.join()
    assert held <= set(wholes)


# Nothing outside.


@pytest.fixture
def tree(bench: Bench) -> Bench:
    """A project with links that lead out of it, and something outside."""
    outside = bench.folder.parent / "outside"
    outside.mkdir()
    (outside / "f").write_text(SECRET)
    out = bench.folder / "out"
    (out / "d").mkdir(parents=True)
    (out / "d" / "f").write_text("inside")
    (out / "link").symlink_to(outside / "f")
    (out / "folder").symlink_to(outside, target_is_directory=True)
    (out / "d" / "up").symlink_to(outside, target_is_directory=True)
    (out / "gone").symlink_to(outside / "new")
    return bench


def outside_of(bench: Bench) -> list[tuple[str, str]]:
    """All that is outside of the folder that values may name things in."""
    out = bench.folder / "out"
    files = (path for path in bench.folder.parent.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted((str(path), path.read_text("utf-8")) for path in files if not path.is_relative_to(out))


NAMES = st.sampled_from(
    [
        "..",
        ".",
        "",
        "d",
        "f",
        "link",
        "folder",
        "gone",
        "up",
        "~",
        "\0",
        "x" * 300,
        "C:",
        "\\",
        "..\\f",
        "*",
        " ",
    ]
)
VALUES = st.one_of(
    st.lists(NAMES, min_size=1, max_size=5).map("/".join),
    st.sampled_from(["/etc/passwd", "//etc", "../outside/f", "d/../../../outside/f", "\ud800", "folder/f"]),
    st.text(max_size=20),
)
FORMS = (
    "out/${v}",
    "out/${v}.txt",
    "out/a${v}",
    "out/${v}/${v}",
    "out/{{ v }}",
    "out/{% if v %}{{ v }}{% endif %}",
)


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(v=VALUES, form=st.sampled_from(FORMS), verb=st.sampled_from(["Read", "Write", "Find"]))
async def test_no_value_leads_outside(tree: Bench, v: str, form: str, verb: str) -> None:
    rest = {"Read": ' result="v"', "Write": ' with value="mine"', "Find": ' result="v"'}[verb]
    before = [one for one in outside_of(tree) if not one[0].endswith("w.md")]
    run = await perform(tree, f'{verb} "{form}"{rest}', v=v)
    assert [one for one in outside_of(tree) if not one[0].endswith("w.md")] == before
    if run.ending is Ending.COMPLETED and verb == "Read":
        assert str(run.variables["v"]) != SECRET
    if run.ending is Ending.COMPLETED and verb == "Find":
        found = run.variables["v"]
        assert isinstance(found, list)
        assert all((tree.folder / one).resolve().is_relative_to(tree.folder / "out") for one in found)
    if run.ending is not Ending.COMPLETED:
        assert run.error is not None
        assert run.error.code in ("file", "template")


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize("v", ["link", "folder/f", "d/up/f", "gone", "folder/new"])
async def test_a_link_is_not_followed_and_the_message_says_so(tree: Bench, v: str) -> None:
    before = outside_of(tree)
    assert "link" in await failure(tree, 'Write "out/${v}" with value="mine"', v=v)
    assert "link" in await failure(tree, 'Read "out/${v}"', v=v)
    assert [one for one in outside_of(tree) if "w.md" not in one[0]] == [
        one for one in before if "w.md" not in one[0]
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
async def test_the_author_may_read_through_a_link_but_not_write(tree: Bench) -> None:
    assert await value(tree, 'Read "out/link" result="v"') == SECRET
    assert "is a symbolic link" in await failure(tree, 'Write "out/link" with value="mine"')


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
async def test_what_is_not_a_regular_file_is_refused_at_once(bench: Bench) -> None:
    os.mkfifo(bench.folder / "pipe")
    assert "not a regular file" in await failure(bench, 'Read "pipe"')
    assert "not a regular file" in await failure(bench, 'Write "pipe" with value="x"')
    (bench.folder / "folder").mkdir()
    assert "is a folder" in await failure(bench, 'Read "folder"')


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize("swaps", ["folder", "file"])
def test_who_puts_a_link_there_in_time_gets_nothing_out(tmp_path: Path, swaps: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "f").write_text(SECRET)
    (out / "d").mkdir(parents=True)
    done = threading.Event()

    def swap() -> None:
        """A folder, or a file, and a link to what is outside, in turn."""
        at = out / "d" if swaps == "folder" else out / "d" / "f"
        other = out / "other"
        to = outside if swaps == "folder" else outside / "f"
        while not done.is_set():
            link = out / "l"
            link.symlink_to(to)
            try:
                if at.exists() and not at.is_symlink():
                    os.rename(at, other)
                os.rename(link, at)
                at.unlink()
                if other.exists():
                    os.rename(other, at)
            except OSError:
                link.unlink(missing_ok=True)

    swapping = threading.Thread(target=swap)
    swapping.start()
    target = Target(folder=out, below=("d", "f"), shown="d/f")
    search = Search(folder=out, shown="", below=("**", "f"), pattern="**/f")
    try:
        for number in range(400):
            for attempt in (
                lambda number=number: write(target, Change(make=lambda before: str(number).encode())),
                lambda: read(target, 100),
                lambda: find(search),
            ):
                try:
                    got = attempt()
                except FileError:
                    continue
                assert got != SECRET.encode()
    finally:
        done.set()
        swapping.join()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"f": SECRET}


# Whose choice it is.


def prepared_run(bench: Bench, front: str, action: str, **variables: object) -> Run:
    workflow = bench.write("w", "[*] --> A\nA --> [*]", f"A: {action}", front)
    started = RunnerSettings(folder=bench.folder)
    prepared = prepare(workflow, variables, bench.library, Settings(), started, needs_models=False)
    return anyio.run(bench.runner(Told()).run, prepared)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_file_that_the_user_chose_may_be_anywhere(bench: Bench, kind: str) -> None:
    there = bench.folder.parent / "there"
    there.mkdir()
    (there / "f").write_text("chosen")
    front = f"parameters: [{{name: p, type: {kind}}}, {{name: n, default: f}}]"
    path = there / "f" if kind == "file" else there
    written = "${p}" if kind == "file" else "${p}/${n}"
    run = prepared_run(bench, front, f'Read "{written}" result="v"', p=str(path))
    assert run.variables["v"] == "chosen", run.error
    if kind == "folder":
        run = prepared_run(bench, front, f'Read "{written}"', p=str(path), n="../project/w.md")
        assert run.error is not None and "'..'" in run.error.message


def test_what_was_found_in_a_chosen_folder_can_be_read_and_no_link_there(bench: Bench) -> None:
    there = bench.folder.parent / "there"
    (there / "d").mkdir(parents=True)
    (there / "d" / "f.txt").write_text("chosen")
    front = "parameters: [{name: p, type: folder}]"
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> D\nD --> [*]"
    actions = """A: Find "${p}/**/*.txt" result="files"
    B: Set one := first(reverse(files))
    C: Shell "true"
    D: Read "${one}" result="v" """
    for command in ("true", "mv ../there/d ../there/e; ln -s e ../there/d"):
        workflow = bench.write("w", diagram, actions.replace('"true"', f'"{command}"'), front)
        started = RunnerSettings(folder=bench.folder)
        prepared = prepare(
            workflow, {"p": str(there)}, bench.library, Settings(), started, needs_models=False
        )
        run = anyio.run(bench.runner(Told()).run, prepared)
        if command == "true":
            assert run.variables["v"] == "chosen", run.error
        else:
            assert run.error is not None and "link" in run.error.message


def test_what_is_made_of_a_chosen_path_is_a_text_like_any_other(bench: Bench) -> None:
    there = bench.folder.parent / "f"
    there.write_text("chosen")
    front = "parameters: [{name: p, type: file}]"
    run = prepared_run(bench, front, 'Read "${p}" result="v"', p=str(there))
    assert run.variables["v"] == "chosen"
    bench.write("w", "[*] --> A\nA --> B\nB --> [*]", 'A: Set q := p + ""\nB: Read "${q}"', front)

    async def go() -> Run:
        workflow = bench.library.workflow(str(bench.folder / "w.md"))
        return await bench.run(workflow, p=str(there))

    run = anyio.run(go)
    assert run.error is not None and run.error.code == "file"


async def test_a_parameter_of_a_sub_workflow_is_no_choice_of_the_user(bench: Bench) -> None:
    there = bench.folder.parent / "f"
    there.write_text("chosen")
    front = "parameters: [{name: p, type: file}]"
    bench.write("child", "[*] --> A\nA --> [*]", 'A: Read "${p}" result="v"', front)
    run = await perform(bench, 'Run workflow "child" with p="${x}"', x=str(there))
    assert run.error is not None and run.error.code == "file"
    run = await perform(bench, 'Run workflow "child" with p="${x}" result="r"', x=OwnPath(there))
    assert run.ending is Ending.COMPLETED, run.error


# Before the run.


@pytest.mark.parametrize(
    "action",
    [
        'Read "x" as toml',
        'Read "folder/"',
        'Read ""',
        'Read "x" limit=many',
        'Read "x" encoding="klingon"',
        'Read "x" encoding="hex"',
        'Write "x"',
        'Write "x" as json append with value="1"',
        'Write "x" with valeu="1"',
        'Find "x" as lines',
    ],
)
def test_what_cannot_be_meant_is_found_before_the_run(action: str) -> None:
    with pytest.raises(FaultsError):
        parse_action(action, HERE)


@pytest.mark.parametrize(
    ("path", "warns"),
    [
        ("../x", True),
        ("a/../../x", True),
        ("/etc/x", True),
        ("a/../x", False),
        ("${v}", False),
        ("a/..x", False),
    ],
)
def test_check_warns_where_the_author_leaves_the_folder(bench: Bench, path: str, warns: bool) -> None:
    workflow = bench.write(
        "w", "[*] --> A\nA --> [*]", f'A: Write "{path}" with value="1"', "parameters: [{name: v}]"
    )
    codes = {fault.code for fault in check_workflow(workflow, bench.library)}
    assert ("path-outside" in codes) == warns


async def test_a_run_without_effects_touches_no_file(bench: Bench) -> None:
    bench.settings = RunnerSettings(folder=bench.folder, no_effects=True)
    for action in ('Write "x" with value="1"', 'Read "w.md"', 'Find "*"'):
        run = await perform(bench, action)
        assert run.error is not None and run.error.code == "refused"
    assert not (bench.folder / "x").exists()


async def test_files_are_those_of_the_outside(bench: Bench) -> None:
    class Elsewhere(ThisMachine):
        async def read_file(self, target: Target, most_bytes: int, at: VisitOf) -> bytes:
            return f"{target.shown} {most_bytes} {at.number}".encode()

    bench.settings = RunnerSettings(folder=bench.folder, outside=Elsewhere())
    assert await value(bench, 'Read "x" result="v" limit=2kB') == "x 2000 1"


@pytest.mark.parametrize(
    "action",
    ['Read "in" limit="${n}"', 'Write "${n}" as lines append with value="${n}" limit="${n}"', 'Find "${n}"'],
)
async def test_all_that_is_filled_is_computed_where_long_work_may_be(tmp_path: Path, action: str) -> None:
    (tmp_path / "in").write_text("x")
    variables = Watched({"n": "9"})

    async def compute(work: Callable[[], object]) -> object:
        variables.may_be_read = True
        try:
            return work()
        finally:
            variables.may_be_read = False

    await parse_action(action, HERE).perform(
        Said().context(variables=variables, folder=tmp_path, compute=compute)
    )
    assert variables.read


class Watched(Mapping[str, object]):
    """Variables that may be read at some times only."""

    def __init__(self, variables: dict[str, object]) -> None:
        self._variables = variables
        self.may_be_read = self.read = False

    def __getitem__(self, name: str) -> object:
        assert self.may_be_read
        self.read = True
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


# Without a disk.

CASES = """cases:
  - name: told
    files: {in/a.md: Hello}
    expect: {files: {in/a.md: Hello, out/a.txt: "Hello!", out/b.txt: null}}
  - name: other
    files: {in/a.md: Hello}
    expect: {files: {out/a.txt: {contains: [Bye, Hell]}, out/b.txt: ""}}
"""


def written(folder: Path) -> Path:
    bench = Bench(folder)
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> D\nD --> [*]"
    bench.write(
        "w",
        diagram,
        """A: Find "in/*.md" result="files"
        B: Read "${files[0]}" result="v"
        C: Write "out/a.txt" with value="${v}"
        D: Write "out/a.txt" append with value="!" """,
    )
    return folder / "w.md"


def test_a_case_has_files_of_its_own_and_expects_some(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "w.test.yaml").write_text(CASES)
    done = samovar(tmp_path, "test", "w.md")
    assert done.returncode == 1
    assert "1 passed, 1 failed" in done.stdout + done.stderr
    assert "The file 'out/b.txt' is not there." in done.stdout
    assert "The file 'out/a.txt'" not in done.stdout.partition("other")[0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["w.md", "w.test.yaml"]
    assert not (tmp_path / "out").exists()


def test_a_run_with_files_is_recorded_as_a_case_that_passes(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text("Hello")
    done = samovar(tmp_path, "run", "w.md", "-q", "--record", "w.test.yaml")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "w.test.yaml").read_text()
    assert "in/a.md: Hello" in text
    assert "out/a.txt: Hello!" in text
    assert "out/a.txt" not in text.partition("expect")[0]
    done = samovar(tmp_path, "test", "w.md")
    assert done.returncode == 0, done.stdout


def test_a_dry_run_touches_no_file(tmp_path: Path) -> None:
    written(tmp_path)
    done = samovar(tmp_path, "run", "w.md", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "out/a.txt" in done.stdout
    assert not (tmp_path / "out").exists()
