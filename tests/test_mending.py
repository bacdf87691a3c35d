"""What has one safe mending is mended: the file means the same, and every other byte stays."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import Action, parse_action
from samovar.actions.conditional import Conditional
from samovar.actions.set import Set
from samovar.actions.workflow import RunWorkflow
from samovar.checks.meaning import meaning_of
from samovar.checks.mending import Mended, mend
from samovar.errors import FaultsError, UsageError
from samovar.folders import find_project_folders
from samovar.language.workflow import Workflow
from samovar.library import Library
from tests.test_cli import samovar

CORPUS = Path(__file__).parent / "corpus"
CORPUS_FILES = sorted((CORPUS / ".swissarmyhammer" / "workflows").rglob("*.m*"))
EXAMPLES = sorted(path for path in (CORPUS.parent.parent / "examples").rglob("*.md"))

TOP = "```mermaid\nstateDiagram-v2\n"
DIAGRAM = TOP + "[*] --> A\nA --> B\nB --> [*]\n```\n\n## Actions\n\n"


def mended(folder: Path, text: str | bytes, name: str = "w.md") -> Mended:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    library = Library([("project", folder)], parse_action)
    return mend(path, library)


def told_changes(one: Mended) -> str:
    """The file before, with nothing but the fixes it tells of."""
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", one.before)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))
    text = one.before
    for fault in reversed(one.done):
        fix = fault.fix
        assert fix is not None
        bom = fix.place.line == 1 and text.startswith("\ufeff")
        at = begins[fix.place.line - 1] + fix.place.column - 1 + bom
        assert text[at : at + len(fix.old)] == fix.old
        line_end = re.search(r"\r\n|\r|\n", text[at:])
        new = fix.new.replace("\n", line_end.group() if line_end else "\n")
        text = text[:at] + new + text[at + len(fix.old) :]
    return text


def patched(text: str, diff: str) -> str:
    """The text with a unified diff applied, each of whose lines has to be in its place."""
    lines, result, at = re.findall(r"[^\n]*\n|[^\n]+", text), list[str](), 0
    said = re.findall(r"[^\n]*\n", diff.replace("\n\\ No newline at end of file\n", "\0\n"))
    for line in (one.replace("\0\n", "") for one in said[2:]):
        if hunk := re.match(r"@@ -(\d+),\d+ \+(\d+),\d+ @@\n", line):
            result += lines[at : int(hunk[1]) - 1]
            at = int(hunk[1]) - 1
            assert len(result) == int(hunk[2]) - 1
        elif line[0] == "+":
            result.append(line[1:])
        else:
            assert line[1:] == lines[at]
            result += [lines[at]] if line[0] == " " else []
            at += 1
    return "".join([*result, *lines[at:]])


def gist(workflow: Workflow) -> object:
    """States, transitions and actions, in a few words each."""
    states = []
    for state in workflow.states.values():
        ways = [
            (one.target, one.when, bool(one.label), one.condition and sorted(one.condition.names))
            for one in state.transitions
        ]
        action: object = state.action
        acts: object = None
        if isinstance(action, RunWorkflow):
            acts = action.name.text({}), [(pair.key, pair.value.given) for pair in action.given]
        elif isinstance(action, Set):
            acts = action.what.replace("includes", "contains").replace("toLowerCase", "lowerAscii")
        elif isinstance(action, Action):
            what = action.what.replace("$${", "${")
            acts = action.verb, what, sorted(action.names), sorted(action.sets)
        states.append((state.name, state.kind, ways, acts))
    return workflow.initial, states


def holds(one: Mended, folder: Path) -> None:
    """What is true of every mending."""
    library = Library([("project", folder)], parse_action)
    assert one.after == told_changes(one)
    if not one.is_read:
        assert one.after == one.before
        return
    after = library.read(one.after, one.path)
    try:
        before = library.read(one.before, one.path)
    except FaultsError:  # which had no meaning
        assert any(fault.severity == "error" or fault.code == "old-file" for fault in one.done)
    else:
        assert meaning_of(before) == meaning_of(after)
        assert gist(before) == gist(after)
    one.path.write_bytes(one.after.encode())
    again = mend(one.path, library)
    assert (again.after, again.done) == (one.after, ())


# Each mending ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- A: cel_set n 1 + 2", "- A: Set n := 1 + 2"),
        (
            '- A: Shell "cd ${DIR:-/tmp}; echo ${#x} $${y} ${x%%.*}"',
            '- A: Shell "cd $${DIR:-/tmp}; echo $${#x} $${y} $${x%%.*}"',
        ),
        (
            '- A: Shell "{% if true %}echo ${x:-y}{% endif %}"',
            '- A: Shell "{% if true %}echo $${x:-y}{% endif %}"',
        ),
        ("- A: CEL_SET n = x.y > 1", "- A: Set n := x.y > 1"),
        ("- A: cel_set n := 2", "- A: Set n := 2"),
        ("- A: cel_set n [1, 2]", "- A: Set n := [1, 2]"),
        ("- A: cel_set  n  size({'a': 1, 'b': 2})", "- A: Set n := size({'a': 1, 'b': 2})"),
        ('- A: cel_set n x.includes("a")', '- A: Set n := x.contains("a")'),
        ('- A: Delegate to "x"', '- A: Run workflow "x"'),
        ('- A: Delegate "x" with a=1 result="r"', '- A: Run workflow "x" with a=1 result="r"'),
        ('- A: DELEGATE  To   "x"', '- A: Run workflow   "x"'),
        ("- **A**: delegate to 'x'", "- **A**: Run workflow 'x'"),
        ("- A: set_variable a=b", "- A: Set a=b"),
        ('- A: Set_Variable a="set_variable x=1", b=2', '- A: Set a="set_variable x=1", b=2'),
        ("- A: Set\n    a := x.includes('é')", "- A: Set\n    a := x.contains('é')"),
        ("- A: Log 'x'\n- B: set_variable c=d", "- A: Log 'x'\n- B: Set c=d"),
    ],
)
def test_an_old_spelling_of_an_action_is_mended(tmp_path: Path, old: str, new: str) -> None:
    one = mended(tmp_path, DIAGRAM + old + "\n")
    assert one.after == DIAGRAM + new + "\n"
    holds(one, tmp_path)


def test_in_an_old_file_what_is_left_to_the_shell_is_written_so(tmp_path: Path) -> None:
    (tmp_path / "project/.swissarmyhammer/workflows").mkdir(parents=True)
    actions = '- A: Shell "ls ${HOME} ${x:-y} ${n}; rm ${HOME}"\n- B: Set n=1\n'
    one = mended(tmp_path, DIAGRAM + actions, "project/.swissarmyhammer/workflows/w.md")
    assert one.after.endswith('- A: Shell "ls $${HOME} $${x:-y} ${n}; rm $${HOME}"\n- B: Set n=1\n')
    assert not one.left


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A --> B: OnFailure", "A --> B: failure"),
        ("A --> B: on_success", "A --> B: success"),
        ("A --> B :  On Success", "A --> B :  success"),
        ("A --> B: on-error", "A --> B: failure"),
        ("A --> B: onfail", "A --> B: failure"),
        ("A --> B: On Failure;", "A --> B: failure"),
        ('A --> B: x.includes("a")', 'A --> B: x.contains("a")'),
        ("A --> B: x .includes (y.includes('includes('))", "A --> B: x .contains (y.contains('includes('))"),
        ("A --> B // why", "A --> B %% why"),
        ("// {why}", "%% {why}"),
        ("//{why}", "%% {why}"),
        ("A --> B;", "A --> B"),
        ("A --> B ; \t", "A --> B \t"),
        ("A --> B; %% why", "A --> B %% why"),
        ("  A --> B; B --> C", "  A --> B\n  B --> C"),
        ("A --> B;B --> C;", "A --> B\nB --> C"),
        ("A --> B;; B --> C", "A --> B\nB --> C"),
        ("A --> B; // why", "A --> B %% why"),
        ("A --> X\nX {\n[*] --> D\nD --> [*]\n}", "A --> X\nstate X {\n[*] --> D\nD --> [*]\n}"),
        ("A --> X\nX { [*] --> D; D --> [*] }", "A --> X\nstate X { [*] --> D\nD --> [*] }"),
        ("A --> B: always; X { [*] --> D }", "A --> B: always; X { [*] --> D }"),
    ],
)
def test_what_mermaid_does_not_read_is_mended(tmp_path: Path, old: str, new: str) -> None:
    text = TOP + "[*] --> A\n{}\nA --> B\nB --> [*]\n```\n"
    one = mended(tmp_path, text.format(old) if "{" not in old else text.replace("{}", old))
    assert one.after == text.replace("{}", new)
    holds(one, tmp_path)


def test_comments_and_semicolons_about_the_header_are_mended(tmp_path: Path) -> None:
    one = mended(tmp_path, "// a\n# b // c\nstateDiagram-v2; [*] --> A\n//d\nA --> [*] //e", name="w.mermaid")
    assert one.after == "%% a\n# b // c\nstateDiagram-v2\n[*] --> A\n%%d\nA --> [*] %%e"
    holds(one, tmp_path)


def test_an_action_in_the_diagram_and_one_of_the_older_form_are_mended(tmp_path: Path) -> None:
    text = TOP + '[*] --> A\nA --> B\nB --> [*]\nA : Delegate to "x"\n```\n'
    one = mended(tmp_path, text + "## States\n### B\n**Action**: cel_set n 1\n")
    assert one.after == text.replace("Delegate to", "Run workflow") + (
        "## States\n### B\n**Action**: Set n := 1\n"
    )
    holds(one, tmp_path)


@pytest.mark.parametrize(
    "front",
    [
        "titel: Hi",
        "Title: Hi",
        "models: fast",
        "systems: prod",
        "limit: {tokens: 5}",
        "on_eror: continue",
        "parameters:\n  - name: a\n    requires: [b]",
        "parameters:\n  - name: a\n    requried: true",
        "arguments: []",
    ],
)
def test_no_key_is_changed_since_it_could_be_someones_own(tmp_path: Path, front: str) -> None:
    one = mended(tmp_path, f"---\n{front}\n---\n{DIAGRAM}")
    assert one.after == one.before


@pytest.mark.parametrize(
    "text",
    [
        DIAGRAM + '- A: Log "Delegate to x, set_variable a=b, cel_set n 1"\n',
        DIAGRAM + '- A: Shell "echo x.includes(1); // no comment"\n',
        DIAGRAM + "\n```\n- A: set_variable a=b\n```\n",
        TOP + "[*] --> A\nA --> B: task failed\nB --> [*]\n```\n",
        TOP + "[*] --> A\nA --> B: FAILURE\nB --> [*]\n```\n",
        TOP + "[*] --> A\nA --> B: x; y\nB --> [*]\n```\n",
        TOP + "[*] --> A\nA --> B: 'a.includes(b)' == x\nB --> [*]\n```\n",
        TOP + "[*] --> Give up\nGive up --> on-failure\non-failure --> [*]\n```\n",
        "---\ndialect: swissarmyhammer\n---\n"
        + TOP
        + "[*] --> F\nstate F <<fork>>\nF --> A: OnFailure\nF --> B\nA --> J\nB --> J\n"
        "state J <<join>>\nJ --> [*]\n```\n",
    ],
)
def test_what_only_looks_like_an_old_spelling_is_left(tmp_path: Path, text: str) -> None:
    one = mended(tmp_path, text)
    assert (one.after, one.done, one.left) == (text, (), ())


TYPED = (
    "---\nparameters: [{{name: tags, type: multi_choice, choices: [a], default: [a]}}, {{name: x}}]\n---\n"
    + TOP.replace("{", "{{") + "[*] --> A\nA --> B: {}\nA --> [*]: default\nB --> [*]\n```\n\n## Actions\n\n"
    "- A: Set n={}, m='1'\n- B: Log \"{}\"\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("label", "value", "text", "becomes"),
    [
        ("tags.size > 1", "1", "${tags.first}", ("size(tags) > 1", "1", "${tags[0]}")),
        ("tags.length == 1", "1", "${tags.last}", ("size(tags) == 1", "1", "${tags[-1]}")),
        ("n < 5 && tags.size > 1", '"3"', "${n + 1}", ("n < 5 && size(tags) > 1", "3", "${n + 1}")),
        ("n > 2.5", '"3.5"', "${n}", ("n > 2.5", "3.5", "${n}")),
        ("x.size > 1", "1", "{{ tags.size }}", None),  # x may be a map
        ("n > 2", '"1.10"', "x", None),  # another text as a number
        ("n > 2", '"03"', "x", None),
        ("n > 2", '"3"', "${n.trim()}", None),  # it is used as a text too
        ("n == '3'", '"3"', "${n}", None),
        ("default(n, 0) > 2", '"3"', "${n}", None),
    ],
)
def test_what_types_are_sure_of_is_mended(
    tmp_path: Path, label: str, value: str, text: str, becomes: tuple[str, str, str] | None
) -> None:
    one = mended(tmp_path, TYPED.format(label, value, text))
    assert one.after == TYPED.format(*(becomes or (label, value, text)))
    assert one.after == told_changes(one)
    if becomes:
        assert not [fault for fault in one.faults if fault.severity == "error"]


def test_a_number_in_quotes_that_another_action_sets_too_is_left(tmp_path: Path) -> None:
    for other in ('- B: Set n="x"', '- B: Shell "date" result="n"'):
        text = TYPED.format("n > 2", '"3"', "x").partition("- B:")[0] + other + "\n"
        assert mended(tmp_path, text).after == text


def test_an_action_among_tags_is_left(tmp_path: Path) -> None:
    text = DIAGRAM + '- A: Delegate to {% if x %}"a"{% else %}"b"{% endif %}\n'
    one = mended(tmp_path, text)
    assert one.after == text
    action = Library([("project", tmp_path)], parse_action).read(text, one.path).states["A"].action
    assert isinstance(action, Conditional)


def test_a_file_with_errors_is_left_and_says_so(tmp_path: Path) -> None:
    one = mended(tmp_path, DIAGRAM.replace("B -->", "B //") + "- A: set_variable a=b\n- B: Execute prompt\n")
    assert (one.after, one.is_read) == (one.before, False)
    assert one.left


def test_more_fixes_than_a_diagram_tells_of_at_once_are_all_made(tmp_path: Path) -> None:
    edges = "".join(f"S{n} --> S{n + 1}; S{n} --> T{n}: OnFailure\nT{n} --> [*];\n" for n in range(150))
    one = mended(tmp_path, f"{TOP}[*] --> S0\n{edges}S150 --> [*]\n```\n")
    assert ";" not in one.after and "On" not in one.after and not one.left
    assert len(one.done) == 450
    assert [fault.place.line for fault in one.done] == sorted(fault.place.line for fault in one.done)
    holds(one, tmp_path)


# Bytes -------------------------------------------------------------------------------------------------


def test_line_ends_byte_order_mark_and_a_missing_last_newline_stay(tmp_path: Path) -> None:
    text = "\ufeff---\r\ntitel: é\r\n---\r\n" + TOP.replace("\n", "\r\n")
    text += "[*] --> A; A --> B\r\nB --> [*];\n\t\r\n```\r## Actions\r\n\r\n- A: set_variable a=b  \u2028"
    one = mended(tmp_path, text)
    expected = text.replace("; A", "\r\nA").replace(";", "")
    assert one.after == expected.replace("set_variable", "Set")
    one.write()
    assert one.path.read_bytes() == one.after.encode()
    holds(one, tmp_path)


def test_the_diff_is_one_that_patch_takes(tmp_path: Path) -> None:
    if shutil.which("patch") is None:
        pytest.skip("there is no `patch` here")
    one = mended(tmp_path, "stateDiagram-v2;\r\n[*] --> A; A --> [*]\n// \u2028 end", name="w.mermaid")
    subprocess.run(["patch", "-s", "--binary", one.path], input=one.diff.encode(), check=True, cwd=tmp_path)
    assert one.path.read_bytes() == one.after.encode() != one.before.encode()


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    one = mended(tmp_path, DIAGRAM + "- A: set_variable a=b\n", name="real.md")
    one.path.chmod(0o640)
    link = tmp_path / "link.md"
    link.symlink_to("real.md")
    through = mend(link, Library([("project", tmp_path)], parse_action))
    through.write()
    assert link.is_symlink() and os.readlink(link) == "real.md"
    assert one.path.read_text() == one.after
    assert one.path.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.md", "real.md"]


def test_a_file_with_several_names_keeps_them(tmp_path: Path) -> None:
    one = mended(tmp_path, DIAGRAM + "- A: set_variable a=b\n", name="real.md")
    other = tmp_path / "other.md"
    os.link(one.path, other)
    one.write()
    assert other.read_text() == one.after
    assert one.path.samefile(other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.md", "real.md"]


def test_a_read_only_file_is_an_error_and_stays(tmp_path: Path) -> None:
    one = mended(tmp_path, DIAGRAM + "- A: set_variable a=b\n")
    one.path.chmod(0o444)
    with pytest.raises(UsageError, match="read-only"):
        one.write()
    assert one.path.read_text() == one.before


def test_a_file_that_changed_meanwhile_stays(tmp_path: Path) -> None:
    one = mended(tmp_path, DIAGRAM + "- A: set_variable a=b\n")
    one.path.write_text("new")
    with pytest.raises(UsageError, match="has changed"):
        one.write()
    assert one.path.read_text() == "new"


# Any file ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("path", CORPUS_FILES + EXAMPLES, ids=lambda path: path.stem)
def test_files_of_the_corpus_and_the_examples_mean_the_same(tmp_path: Path, path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(CORPUS if CORPUS in path.parents else path.parent, project)
    copy = project / path.relative_to(CORPUS if CORPUS in path.parents else path.parent)
    library = Library(find_project_folders(copy.parent), parse_action)
    one = mend(copy, library)
    assert one.after == told_changes(one)
    assert not one.left
    if one.is_read:
        before, after = (library.read(text, copy) for text in (one.before, one.after))
        assert meaning_of(before) == meaning_of(after)
        assert gist(before) == gist(after)
        one.write()
        assert mend(copy, library).done == ()


LABEL = st.sampled_from(
    [
        *("", ": OnFailure", ": on_success", ": On Error", ": default", ": failure", " :x.includes('a')"),
        *(": a.includes(b) && !c.includes(d)", ": x > 1", ": always", " // why", "; %% why", ": x; y", ";"),
    ]
)
NAME = st.sampled_from(["A", "B", "C", "D", "Give up", "on-error", "É"])
EDGE = st.tuples(NAME, NAME | st.just("[*]"), LABEL).map(lambda parts: f"{parts[0]} --> {parts[1]}{parts[2]}")
COMPOSITE = st.tuples(
    st.sampled_from(["", "state "]), st.sampled_from("XYZ"), NAME, st.sampled_from(";\n")
).map(lambda parts: f"{parts[0]}{parts[1]} {{ [*] --> {parts[2]}1{parts[3]}{parts[2]}1 --> [*] }}")
STATEMENT = st.one_of(
    EDGE,
    EDGE,
    COMPOSITE,
    st.sampled_from(["// A --> B; x", "//{a}", "%% x // y;", "# so;", "direction LR", "X --> A", "", "  "]),
    st.tuples(NAME, st.sampled_from(['Delegate "w"', "cel_set m 1", "text; more", "On Success"])).map(
        " : ".join
    ),
)
ACTION = st.sampled_from(
    [
        *(
            'Delegate to "w"',
            'delegate "x y" with a=1, b="${n}"',
            "cel_set n 1 + 1",
            "cel_set n x.includes(y)",
        ),
        *(
            "set_variable a=b",
            'Set a="b", c=d',
            "Set a := b.includes('c'), d := 1",
            'Log "cel_set n"',
            "Wait 1s",
        ),
        *(
            "cel_set n\n    a + 1",
            'Delegate\n    to "w"',
            "cel_set n {'a': 1, 'b': [1, n]}.a, b=1",
            "Begin it",
        ),
        "{% if a %}set_variable b=c{% endif %}",
    ]
)
FRONT = st.sampled_from(
    ["", "", "---\ntitel: x\n---\n", "---\ndescripton: y;\ntitle: z\n---\n", "---\nx: 1\n---\n"]
)


@pytest.mark.slow
@settings(max_examples=400)
@given(
    FRONT,
    st.lists(st.tuples(STATEMENT, st.sampled_from(["\n", "\n", "\n    ", "; ", ";", ";;\n"])), max_size=9),
    st.lists(st.tuples(NAME, ACTION), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
)
def test_any_file_means_the_same_and_keeps_its_other_bytes(
    folder: Path,
    front: str,
    statements: list[tuple[str, str]],
    actions: list[tuple[str, str]],
    line_end: str,
    has_bom: bool,
    is_open: bool,
) -> None:
    diagram = "".join(statement + end for statement, end in statements)
    bullets = "\n".join(f"- {name}: {action}" for name, action in dict(actions).items())
    text = f"{front}{TOP}[*] --> A\n{diagram}\nA --> B\nB --> [*]\n```\n\n## Actions\n\n{bullets}"
    text = "\ufeff" * has_bom + (text if is_open else text + "\n").replace("\n", line_end)
    one = mended(folder, text)
    assert patched(one.before, one.diff) == one.after
    holds(one, folder)


# The command -------------------------------------------------------------------------------------------

OLD = "---\ntitle: T\n---\n" + DIAGRAM + '- A: set_variable a=b\n- B: Log "${a}"\n'
NEW = OLD.replace("set_variable", "Set")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "w.md").write_text(OLD)
    return tmp_path


def test_fix_writes_and_shows_the_diff(project: Path) -> None:
    hint = samovar(project, "check", "w.md")
    assert "[old-spelling]" in hint.stdout and "samovar check --fix" in hint.stdout
    done = samovar(project, "check", "--fix", "--strict", "w.md")
    assert done.returncode == 0
    assert "-- A: set_variable a=b\n+- A: Set a=b\n" in done.stdout
    assert "1 file, 0 errors, 0 warnings, 1 fixed" in done.stdout
    assert (project / "w.md").read_text() == NEW
    again = samovar(project, "check", "--fix", "w.md")
    assert "---" not in again.stdout and "0 fixed" in again.stdout


@pytest.mark.parametrize("options", [["--diff"], ["--fix", "--diff"]])
def test_diff_writes_nothing(project: Path, options: list[str]) -> None:
    done = samovar(project, "check", *options, "w.md")
    assert done.returncode == 0
    assert "+- A: Set a=b\n" in done.stdout and "1 to be fixed" in done.stdout
    assert (project / "w.md").read_text() == OLD


def test_the_exit_status_is_that_of_the_file_after_mending(project: Path) -> None:
    (project / "w.md").write_text(OLD.replace("title", "titel"))
    assert samovar(project, "check", "--strict", "w.md").returncode == 1
    assert samovar(project, "check", "--strict", "--fix", "w.md").returncode == 1  # the key is left
    (project / "w.md").write_text(OLD)
    assert samovar(project, "check", "--strict", "--fix", "w.md").returncode == 0
    (project / "w.md").write_text(OLD + '- C: Log "x"\n')
    done = samovar(project, "check", "--fix", "w.md")
    assert done.returncode == (2 if "error:" in done.stdout else 0)


def test_json_lists_what_was_fixed(project: Path) -> None:
    found = json.loads(samovar(project, "check", "--fix", "--json", "w.md").stdout)
    (file,) = found["files"]
    assert (found["fixed"], file["faults"], file["not_fixed"]) == (1, [], [])
    (fixed,) = file["fixed"]
    assert (fixed["code"], fixed["place"]["line"]) == (
        "old-spelling",
        OLD[: OLD.index("set_v")].count("\n") + 1,
    )
    assert (fixed["fix"]["old"], fixed["fix"]["new"]) == ("set_variable", "Set")
    assert "+- A: Set a=b\n" in file["diff"]


def test_a_read_only_file_is_told_and_the_others_are_mended(project: Path) -> None:
    (project / "a.md").write_text(OLD)
    (project / "a.md").chmod(0o444)
    done = samovar(project, "check", "--fix", "a.md", "w.md")
    assert done.returncode == 2
    assert "a.md is read-only" in done.stdout
    assert (project / "a.md").read_text() == OLD
    assert (project / "w.md").read_text() == NEW


def test_a_file_with_errors_is_left_and_the_reason_is_said(project: Path) -> None:
    text = OLD.replace("A --> B\n", "A --> B;\n") + "- B: Execute\n"
    (project / "w.md").write_text(text)
    done = samovar(project, "check", "--fix", "w.md")
    assert done.returncode == 2
    assert "1 fix not made: fix the errors first" in done.stdout
    assert (project / "w.md").read_text() == text


def test_a_run_does_not_tell_of_old_spellings(project: Path) -> None:
    done = samovar(project, "run", "w.md")
    assert done.returncode == 0
    assert "old spelling" not in done.stderr + done.stdout
