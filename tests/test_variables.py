"""Variables from the command line: assignments, files, a workflow's own options, and questions."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from samovar.actions import parse_action
from samovar.cli.variables import asker, read_assignments, read_switches
from samovar.errors import FaultsError, Place, SamovarError, UsageError
from samovar.language.parameters import Parameter, bind
from samovar.language.yaml_document import read_yaml
from samovar.library import Library
from samovar.preflight.variable_files import read_variables_file
from tests.test_cli import TIMEOUT_S, environment, samovar, write

HERE = Place(path=None, line=1, column=1)
TEXT = Parameter(name="the_text", place=HERE)
TAGS = Parameter(name="tags", place=HERE, type="multi_choice", choices=("a", "b", "c"))
FLAG = Parameter(name="flag", place=HERE, type="boolean")
ALL = (TEXT, TAGS, FLAG)


def test_an_at_sign_reads_a_file_and_two_are_one_in_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.txt").write_text("\ufeffsaid", encoding="utf-8")
    given = read_assignments(["a=@f.txt", "b=@@f.txt", "c=x@y", "d=", "e=@@@"])
    assert given == {"a": "said", "b": "@f.txt", "c": "x@y", "d": "", "e": "@@"}


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("a=@none", "--var a=@none: there is no such file. For a text that begins with @, write @@"),
        ("a=@.", "a folder"),
        ("a=@x\0y", "no such file|not a valid file name"),
        ("a=@" + "x" * 5000, "name too long|no such file"),
        ("a", "NAME=VALUE"),
        ("=a", "NAME=VALUE"),
        ("the_text", "no value for 'the_text'"),
    ],
)
def test_an_assignment_that_means_nothing_says_what_to_write(assignment: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"(?i){says}"):
        read_assignments([assignment], ALL)


@pytest.mark.parametrize("name", ["key", "ke\u0301y"])
def test_a_secret_that_was_taken_for_the_name_of_a_file_is_not_shown(tmp_path: Path, name: str) -> None:
    secret = Parameter(name=unicodedata.normalize("NFC", name), place=HERE, secret=True)
    (tmp_path / "latin").write_bytes(b"\xff")
    for value in ("hunter2hunter2", ".", "x\0hunter2", "x" * 5000, str(tmp_path / "latin")):
        with pytest.raises(UsageError) as raised:
            read_assignments([f"{name}=@{value}"], [secret])
        assert f"--var {name}=@…" in str(raised.value)
        assert not any(part in str(raised.value) for part in ("hunter2", "xxxx", "latin"))


def test_what_was_meant_as_a_value_is_not_shown_where_it_cannot_be_read() -> None:
    for assignment in ("keyMYSECRETVALUE", "=MYSECRETVALUE"):
        with pytest.raises(UsageError) as raised:
            read_assignments(["a=b", assignment])
        assert "number 2" in str(raised.value) and "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "key: MYSECRETVALUE: : [",
        "key: [MYSECRETVALUE",
        "key: *MYSECRETVALUE",
        "key: !MYSECRETVALUE x",
        "key: !MYSECRETVALUE!x y",
        "key: %MYSECRETVALUE",
        'key: "ab\\qMYSECRETVALUE"',
    ],
)
def test_a_file_of_variables_that_cannot_be_read_is_told_by_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(text + "\n")
    with pytest.raises(FaultsError) as raised:
        read_variables_file(path)
    assert "v.yaml:" in str(raised.value) and "SECRET" not in str(raised.value)


def test_a_value_given_twice_is_an_error_but_for_several_choices() -> None:
    with pytest.raises(UsageError, match="--the-text is given twice"):
        read_switches(["--the-text", "a", "--the_text=b"], ALL, [])
    with pytest.raises(UsageError, match="--no-flag is given twice"):
        read_switches(["--flag", "--no-flag"], ALL, [])
    with pytest.raises(UsageError, match="--var x is given twice"):
        read_assignments(["x=1", "x=1"], ALL)
    switches = read_switches(["--tags", "a", "--tags=b,c"], ALL, [])
    assert bind(ALL, switches)["tags"] == ["a", "b", "c"]
    assert read_assignments(["tags=a", "tags=b"], ALL) == {"tags": "a,b"}


def test_an_unknown_option_lists_the_workflows_own() -> None:
    with pytest.raises(UsageError) as caught:
        read_switches(["--txet", "a"], ALL, ["--json"])
    assert "There is no option --txet." in str(caught.value)
    assert "The options of this workflow: --the-text, --tags, --flag." in str(caught.value)


def test_a_file_of_variables_keeps_types(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text(
        "n: 5\nflag: true\nday: 2020-01-02\ntags: [a]\nm: {k: 1}\nnone:\nthe_text: 7\n"
    )
    given = read_variables_file(tmp_path / "v.yaml", ALL)
    expected = {"n": 5, "flag": True, "day": "2020-01-02", "tags": ["a"], "m": {"k": 1}, "the_text": "7"}
    assert given == expected
    assert bind(ALL, given) == expected
    (tmp_path / "v.json").write_text(json.dumps({"a": "yes", "b": [1]}))
    assert read_variables_file(tmp_path / "v.json") == {"a": "yes", "b": [1]}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("v.yaml", "a: [", "not valid YAML"),
        ("v.json", "{", "is not JSON"),
        ("v.yaml", "- a", "must be `key: value` lines"),
        ("v.yaml", "5: a", "one map"),
        ("v.yaml", "", "one map"),
        ("v.yaml", "a: &a 1\nb: [" + "*a, " * 51 + "]", "50 aliases"),
        ("v.yaml", "a: [" + "x," * 20_001 + "]", "20000 values"),
        ("v.yaml", "a: !!python/object:os.system x", "has no meaning here"),
        ("v.yaml", "a: x\nb: {c: 1,\n  c: 2}", r"v\.yaml:3:3: .*'c' appears here for the second time"),
        ("v.json", "[" * 100_000, "is not JSON"),
        ("v.yaml", "a: &a [*a]", "a reference to the value that contains it"),
    ],
)
def test_a_file_of_variables_that_is_none_says_why(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SamovarError, match=says) as caught:
        read_variables_file(tmp_path / name)
    assert caught.value.exit_status == 2
    with pytest.raises(UsageError, match="no such file"):
        read_variables_file(tmp_path / "none.yaml")


WRITTEN = ("10:45", "007", "NO", "on", "1_000", "1.10", "2026-01-02T10:00:00Z", "0x1F", "True", "1e3", "+5")


@pytest.mark.parametrize("written", WRITTEN)
def test_a_text_is_what_is_written_for_it_in_a_file_of_variables_and_as_a_default(
    tmp_path: Path, written: str
) -> None:
    (tmp_path / "v.yaml").write_text(f"text: {written}\none: {written}\nsome: [{written}]\n")
    path = tmp_path / "w.md"
    path.write_text(
        f"""---
title: {written}
description: {written}
parameters:
  - {{name: text, default: {written}, description: {written}}}
  - {{name: one, type: choice, choices: [other, {written}], default: {written}}}
  - {{name: some, type: multi_choice, choices: [other, {written}], default: [{written}]}}
---
```mermaid
stateDiagram-v2
[*] --> A
A --> [*]
```
"""
    )
    workflow = Library([], parse_action).workflow(str(path))
    expected = {"text": written, "one": written, "some": [written]}
    assert bind(workflow.parameters, {}) == expected
    assert (
        bind(workflow.parameters, read_variables_file(tmp_path / "v.yaml", workflow.parameters)) == expected
    )
    assert (workflow.title, workflow.description) == (written, written)
    assert workflow.parameters[0].description == written


def test_what_is_merged_into_a_map_is_what_was_written(tmp_path: Path) -> None:
    matter = read_yaml("base: &base {a: 1.10, b: 2.20}\nother: {<<: *base, b: 3.30}\n", path=None)
    assert matter.source("other", "a") == "1.10" and matter.source("other", "b") == "3.30"
    assert matter.values["other"] == {"a": 1.1, "b": 3.3} and not matter.twice


def test_numbers_and_truths_of_a_file_stay_what_they_are_for_other_parameters(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("number: 1.10\nflag: true\nunknown: 1.10\n")
    number = Parameter(name="number", place=HERE, type="number")
    given = read_variables_file(tmp_path / "v.yaml", (number, FLAG))
    assert given == {"number": 1.1, "flag": True, "unknown": 1.1}


def test_every_key_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("start: a\nstart: b\nm:\n  k: 1\n  k: 2\n")
    with pytest.raises(FaultsError) as caught:
        read_variables_file(tmp_path / "v.yaml")
    places = [(fault.code, fault.place.line, fault.place.column) for fault in caught.value.faults]
    assert places == [("duplicate-key", 2, 1), ("duplicate-key", 5, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--var report=@<(echo piped)", "piped"),
        ("--var report=@/dev/stdin < <(echo piped)", "piped"),
        ("--var report=@/dev/fd/0 < f.txt", "filed"),
        ("--vars <(echo 'report: 1.10')", "1.10"),
    ],
)
def test_a_pipe_is_read_like_a_file(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "f.txt").write_text("filed\n")
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Set all="${report}"', FRONT)
    done = in_bash(tmp_path, f"run w.md -q --print all {given}")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, said, "")


@pytest.mark.slow
def test_a_pipe_is_read_up_to_the_size_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Set all="${report}"', FRONT)
    (tmp_path / ".samovar").mkdir()
    (tmp_path / ".samovar" / "config.toml").write_text('value_bytes = "1MB"\n')
    done = in_bash(tmp_path, "run w.md --var report=@<(head -c 1000001 /dev/zero)")
    assert done.returncode == 2 and "would take more than 1 MB" in done.stderr
    assert done.stderr.count("\n") == 1
    done = in_bash(tmp_path, "run w.md --var report=@/dev/stdin --var tone=- < w.md")
    assert done.returncode == 2 and "Standard input can be the value of only one variable" in done.stderr


def in_bash(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m samovar {arguments}'],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[Terminal, Terminal]:
    """Where this was typed, and what is shown there."""
    typed, shown = Terminal(text), Terminal()
    monkeypatch.setattr("sys.stdin", typed)
    monkeypatch.setattr("sys.stderr", shown)
    return typed, shown


def test_what_is_missing_is_asked_for_one_by_one_and_again_when_it_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, shown = terminal(monkeypatch, "\nx\nb\n12\nabc\n")
    parameters = (
        Parameter(
            name="way", place=HERE, required=True, type="choice", choices=("a", "b"), description="How"
        ),
        Parameter(name="n", place=HERE, required=True, type="number", max=20, group="Sizes"),
        Parameter(name="rest", place=HERE, required=True, group="Sizes"),
    )
    assert bind(parameters, {}, ask=asker()) == {"way": "b", "n": 12, "rest": "abc"}
    said = shown.getvalue()
    assert said.count("way (a, b): ") == 3 and "is required" in said and "expected one of a, b" in said
    assert said.count("Sizes") == 1


def test_nobody_is_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    typed, _ = terminal(monkeypatch, "x\n" * 50)
    wanted = Parameter(name="n", place=HERE, required=True, type="number")
    with pytest.raises(UsageError, match="'n' was not given"):
        bind([wanted], {}, ask=asker())
    assert typed.readline() == "x\n"


FRONT = "parameters:\n  - {name: report, default: none}\n  - {name: tone, default: plain}"


def test_a_run_warns_of_a_misspelt_variable_and_not_of_one_that_was_given(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Log "${report} ${tone} ${extra}"', FRONT)
    done = samovar(tmp_path, "run", "w.md", "--var", "reprot=x", "--var", "extra=y")
    assert done.returncode == 0
    assert "no parameter 'reprot'" in done.stderr and "Did you mean 'report'?" in done.stderr
    assert "Nothing sets" not in done.stderr
    done = samovar(tmp_path, "run", "w.md")
    assert "Nothing sets the variable 'extra'" in done.stderr


def test_the_nearer_source_of_a_variable_wins_and_two_near_ones_are_an_error(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Set all="${report} ${tone}"', FRONT)
    (tmp_path / "v.yaml").write_text("report: filed\ntone: 5")
    given = ["--vars", "v.yaml", "--report", "own"]
    assert samovar(tmp_path, "run", "w.md", "--print", "all", *given).stdout == "own 5\n"
    done = samovar(tmp_path, "run", "w.md", *given, "--var", "report=x")
    assert done.returncode == 2 and "report is given twice" in done.stderr
