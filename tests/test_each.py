"""`samovar run NAME --each FILE`, as a real process: what it writes, what it keeps, and how it continues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samovar.engines.llama.counting import open_template
from samovar.generation import Message
from tests.test_cli import TIMEOUT_S, environment, folder, samovar, start, write
from tests.warm import warm

__all__ = ["folder"]
FRONT = "parameters: [{name: name, required: true}, {name: age, type: number, default: 3}]"
TWO = "[*] --> A\nA --> B\nB --> [*]"
ACTIONS = '- A: Set twice := age * 2\n- B: Set result := name + " " + string(twice)'
STOPS = '- A: Set twice := age * 2\n- B: Abort "no"'
SLOW = "- A: Set a := age * 2\n- B: Wait 40 milliseconds\n- C: Set result := name"
THREE = "[*] --> A\nA --> B\nB --> C\nC --> [*]"


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def runs_of(folder: Path) -> list[dict[str, Any]]:
    listed = samovar(folder, "runs", "--json")
    found: list[dict[str, Any]] = json.loads(listed.stdout)["runs"]
    return found


def journal_of(folder: Path) -> Path:
    """Where it is if nobody says so."""
    return Path(environment(folder)["XDG_STATE_HOME"]) / "samovar" / "journal.db"


def each(folder: Path, file: str, *options: str) -> subprocess.CompletedProcess[str]:
    return samovar(folder, "run", "w.md", "--each", file, *options)


def test_each_row_is_a_line_of_json_and_a_second_start_does_nothing_again(folder: Path) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name,age\nAnn,4\nBob,\nAnn,4\n")
    done = each(folder, "rows.csv")
    assert done.returncode == 0, done.stderr
    found = lines_of(done.stdout)
    assert {one["index"]: one["result"] for one in found} == {0: "Ann 8", 1: "Bob 6", 2: "Ann 8"}
    assert [one["row"] for one in found if one["index"] == 2] == ["rows.csv:4"]
    assert len({one["key"] for one in found}) == 2
    assert "3 of 3 rows completed" in done.stderr
    assert len(runs_of(folder)) == 2 and journal_of(folder).exists()
    again = each(folder, "rows.csv")
    assert sorted(again.stdout.splitlines()) == sorted(done.stdout.splitlines())
    assert "3 done before" in again.stderr
    (folder / "rows.csv").write_text("name,age\nAnn,4\nCleo,1\n")
    assert "1 done before" in each(folder, "rows.csv").stderr
    assert len(runs_of(folder)) == 3


@pytest.mark.parametrize("line", ["journal_days = 20", 'value_bytes = "2MB"'])
def test_rows_are_read_whatever_settings_there_are(folder: Path, line: str) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    (folder / "config" / "samovar").mkdir(parents=True)
    (folder / "config" / "samovar" / "config.toml").write_text(f"{line}\n")
    done = each(folder, "rows.csv")
    assert done.returncode == 0 and lines_of(done.stdout)[0]["result"] == "Ann 6", done.stderr
    assert "1 of 1 row completed" in done.stderr


def test_variables_of_all_rows_are_options_as_ever_and_count_for_what_is_done(folder: Path) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.jsonl").write_text('{"name": "Ann"}\n')
    assert lines_of(each(folder, "rows.jsonl", "--age", "5").stdout)[0]["result"] == "Ann 10"
    assert lines_of(each(folder, "rows.jsonl", "--var", "age=6").stdout)[0]["result"] == "Ann 12"
    assert len(runs_of(folder)) == 2


def test_failed_rows_are_counted_and_listed_and_done_again_if_that_is_said(folder: Path) -> None:
    write(folder, TWO, STOPS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\nBob\n")
    done = each(folder, "rows.csv")
    assert done.returncode == 1
    assert {one["status"] for one in lines_of(done.stdout)} == {"aborted"}
    assert "0 of 2 rows completed; 2 failed" in done.stderr and "rows.csv:3: " in done.stderr
    assert "--retry-failed" in done.stderr
    assert each(folder, "rows.csv").returncode == 1
    assert len(runs_of(folder)) == 2
    assert each(folder, "rows.csv", "--retry-failed").returncode == 1
    assert len(runs_of(folder)) == 4


def test_a_file_gets_whole_lines_and_each_row_once(folder: Path) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\nBob\nAnn\n")
    done = each(folder, "rows.csv", "--out", "out.jsonl", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    out = folder / "out.jsonl"
    whole = out.read_text()
    assert len(lines_of(whole)) == 3
    assert each(folder, "rows.csv", "--out", "out.jsonl").returncode == 0
    assert out.read_text() == whole
    cut = whole[: whole.rindex('"run"')]  # as a process that was killed leaves it
    out.write_text(cut)
    assert each(folder, "rows.csv", "--out", "out.jsonl").returncode == 0
    assert sorted(out.read_text().splitlines()) == sorted(whole.splitlines())
    assert each(folder, "rows.csv", "--out", "nowhere/out.jsonl").returncode == 2


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("rows.csv", "is the file that --each reads"),
        ("link.csv", "is the file that --each reads"),
        ("pipe", "a regular file is needed"),
        ("/dev/zero", "a regular file is needed"),
        ("-", "a regular file is needed"),
        ("mine.txt", "mine.txt:1: This line is not the result of a row"),
        ("w.md", "w.md:1: This line is not the result of a row"),
    ],
)
def test_results_are_added_only_to_a_file_of_results(folder: Path, out: str, said: str) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    (folder / "link.csv").symlink_to("rows.csv")
    (folder / "mine.txt").write_text("mine")
    os.mkfifo(folder / "pipe")
    before = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    done = each(folder, "rows.csv", "--out", out)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()} == before
    assert not runs_of(folder)


def test_a_row_that_was_decided_by_a_resume_gets_its_line_at_the_next_start(folder: Path) -> None:
    write(folder, TWO, '- A: Shell "test -e go || kill -9 $PPID"\n- B: Set result := name', FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    options = ("--out", "out.jsonl", "--trust")
    process = start(folder, "run", "w.md", "--each", "rows.csv", *options)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == -signal.SIGKILL
    done = each(folder, "rows.csv", *options)
    assert done.returncode == 1 and "1 waiting for you" in done.stderr, done.stderr
    assert "--redo" in done.stderr and "--retry-failed" not in done.stderr
    (folder / "go").touch()
    assert samovar(folder, "resume", "--redo", "--trust").returncode == 0
    for _ in range(2):
        assert each(folder, "rows.csv", *options).returncode == 0
    found = lines_of((folder / "out.jsonl").read_text())
    assert [(one["status"], one.get("result")) for one in found] == [
        ("interrupted", None),
        ("completed", "Ann"),
    ]


def test_a_pattern_runs_the_workflow_for_each_file_and_again_for_one_that_changed(folder: Path) -> None:
    front = "parameters: [{name: paper, type: file, required: true}]"
    write(folder, "[*] --> A\nA --> [*]", '- A: Read "${paper}" result="result"', front)
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(name * 3)
    done = each(folder, "*.txt")
    assert {one["row"]: one["result"] for one in lines_of(done.stdout)} == {"a.txt": "aaa", "b.txt": "bbb"}
    (folder / "a.txt").write_text("new")
    done = each(folder, "*.txt")
    assert {one["row"]: one["result"] for one in lines_of(done.stdout)} == {"a.txt": "new", "b.txt": "bbb"}
    assert "1 done before" in done.stderr


@pytest.mark.parametrize("options", [(), ("-q",)])
def test_rows_that_cannot_be_kept_are_not_run_and_it_is_said_what_else_can_be_done(
    folder: Path, options: tuple[str, ...]
) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\nBob\n")
    for place in ("a file", "damaged/samovar/journal.db"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("other content " * 100)
        set_to = {**environment(folder), "XDG_STATE_HOME": str(folder / place.partition("/")[0])}
        command = ["run", "w.md", "--each", "rows.csv", "--out", "o.jsonl", *options]
        done = warm().run(command, folder=folder, environment=set_to, stdin="", timeout_s=TIMEOUT_S)
        assert done.returncode == 1 and "cannot be used" in done.stderr, done.stderr
        assert done.stderr.count("a second start then does all of them again") == 1
        assert (folder / "o.jsonl").read_text() == ""


def test_rows_that_were_interrupted_are_continued_by_their_own_command_and_not_one_by_one(
    folder: Path,
) -> None:
    write(folder, TWO, '- A: Shell "test -e go || kill -9 $PPID"\n- B: Set result := name', FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    command = ("run", "w.md", "--each", "rows.csv", "--trust", "--journal", "my j.db")
    start(folder, *command).communicate(timeout=TIMEOUT_S)
    again = samovar(folder, *command)
    assert "the last run" not in again.stderr
    assert "--journal 'my j.db'` with --redo, --skip or --fail" in again.stderr, again.stderr
    (folder / "go").touch()
    one = samovar(folder, "run", "w.md", "--name", "Bob", "--trust", "--journal", "my j.db")
    assert "the same command with --each continues them" in one.stderr and "`samovar resume" not in one.stderr


def test_without_a_journal_everything_is_done_and_nothing_is_kept(folder: Path) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\nBob\n")
    for _ in range(2):
        done = each(folder, "rows.csv", "--no-journal")
        assert done.returncode == 0 and "done before" not in done.stderr
        assert [one["key"] for one in lines_of(done.stdout)] == [None, None]
    assert not journal_of(folder).exists()


def test_a_file_without_rows_is_said_and_is_no_error(folder: Path) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    for name, text in (("rows.csv", "name\n"), ("rows.jsonl", "\n")):
        (folder / name).write_text(text)
        done = each(folder, name)
        assert done.returncode == 0 and "no rows" in done.stderr and not done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--json",), "--json is about one run"),
        (("--print", "name"), "--print is about one run"),
        (("--no-journal", "--retry-failed"), "--retry-failed needs the journal"),
        (("--no-journal", "--journal", "j.db"), "--journal and --no-journal cannot be combined"),
        (("--age", "x"), "rows.csv:2: The parameter 'age' cannot be 'x'"),
        (("--name", "x"), "'name' is given by this file and by the command"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    folder: Path, options: tuple[str, ...], said: str
) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    done = each(folder, "rows.csv", *options)
    assert done.returncode == 2 and said in done.stderr + done.stdout
    assert not journal_of(folder).exists()


@pytest.mark.parametrize(("how", "said"), [("off", "not kept"), ("outline", "kept in outline only")])
def test_failed_rows_are_not_done_again_where_nobody_knows_which_failed(
    folder: Path, how: str, said: str
) -> None:
    write(folder, TWO, STOPS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    set_to = {**environment(folder), "SAMOVAR_JOURNAL": how}
    command = ["run", "w.md", "--each", "rows.csv", "--retry-failed"]
    done = warm().run(command, folder=folder, environment=set_to, stdin="", timeout_s=TIMEOUT_S)
    assert done.returncode == 2 and f"--retry-failed needs the journal, and rows are {said}" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("options", [("--out", "o.jsonl"), ("--at-once", "2"), ("--retry-failed",)])
def test_an_option_about_rows_needs_rows(folder: Path, options: tuple[str, ...]) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    done = samovar(folder, "run", "w.md", "--var", "name=Ann", *options)
    assert done.returncode == 2 and f"{options[0]} needs --each FILE" in done.stderr
    assert not journal_of(folder).exists()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ((), 1, "With --no-journal they are"),
        (("--no-journal",), 0, "1 of 1 row completed"),
        (("--no-journal", "--out", "o.jsonl"), 2, "--out needs sqlite3"),
    ],
)
def test_a_python_without_sqlite_runs_rows_that_are_not_kept(
    folder: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    write(folder, TWO, ACTIONS, FRONT)
    (folder / "rows.csv").write_text("name\nAnn\n")
    without = "import sys; sys.modules['sqlite3'] = None; from samovar.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "run", "w.md", "--each", "rows.csv", *options],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status and said in done.stderr, done.stderr


def test_workflows_with_effects_do_one_row_at_a_time(folder: Path) -> None:
    write(folder, TWO, '- A: Shell "echo ${name} >> log"\n- B: Shell "echo end >> log"', FRONT)
    (folder / "rows.csv").write_text("name\nAnn\nBob\n")
    done = each(folder, "rows.csv", "--trust")
    assert done.returncode == 0 and "one row at a time" in done.stderr
    assert (folder / "log").read_text().split() == ["Ann", "end", "Bob", "end"]


def begun(folder: Path, count: int) -> subprocess.Popen[str]:
    """A start for so many rows, of which some are done."""
    write(folder, THREE, SLOW, FRONT)
    names = "".join(f"n{number}\n" for number in range(count))
    (folder / "rows.csv").write_text("name\n" + names)
    options = ("--at-once", "2", "--out", "out.jsonl")
    process = start(folder, "run", "w.md", "--each", "rows.csv", *options)
    out = folder / "out.jsonl"
    while not out.exists() or out.read_text().count("\n") < count // 4:
        assert process.poll() is None, process.stderr and process.stderr.read()
    return process


@pytest.mark.slow
def test_ctrl_c_says_how_to_continue_and_the_same_command_does_the_rest_at_once(folder: Path) -> None:
    process = begun(folder, 40)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130 and "of 40 rows; the same command continues" in said
    assert {one["status"] for one in runs_of(folder)} <= {"completed", "interrupted"}
    done = each(folder, "rows.csv", "--out", "out.jsonl")
    assert done.returncode == 0, done.stderr
    found = lines_of((folder / "out.jsonl").read_text())
    assert sorted(one["index"] for one in found) == list(range(40))
    assert sum(one["visits"] for one in runs_of(folder)) == 40 * 3


@pytest.mark.slow
def test_killed_again_and_again_each_state_of_each_row_is_done_once(folder: Path) -> None:
    for _ in range(2):
        process = begun(folder, 60)
        process.kill()
        process.communicate(timeout=TIMEOUT_S)
    done = each(folder, "rows.csv", "--out", "out.jsonl")
    assert done.returncode == 0, done.stderr
    found = lines_of((folder / "out.jsonl").read_text())
    assert sorted(one["index"] for one in found) == list(range(60))
    runs = runs_of(folder)
    assert len(runs) == 60 and {one["status"] for one in runs} == {"completed"}
    assert sum(one["visits"] for one in runs) == 60 * 3


def asking(rows: int, states: int) -> tuple[list[str], list[str]]:
    """The beginnings of the prompts of some states, and names of rows of which no two begin the same."""
    beginnings = [
        f"{state}. " + f"Say {state} of what follows, in short words. " * 4 for state in range(states)
    ]
    letters = [chr(code) for code in range(33, 127) if chr(code) not in '"$\\{}<|#%']
    return beginnings, [f"{letter}{number} is a row" for number, letter in enumerate(letters[:rows])]


@pytest.mark.parametrize(("rows", "states"), [(12, 5), pytest.param(80, 5, marks=pytest.mark.slow)])
def test_each_token_that_rows_have_in_common_is_evaluated_once(
    folder: Path, tiny_model: Path, rows: int, states: int
) -> None:
    beginnings, names = asking(rows, states)
    diagram = "[*] --> S0\n" + "\n".join(f"S{n} --> S{n + 1}" for n in range(states - 1))
    prompts = [f'- S{n}: Prompt "{text}@${{name}}" using max_tokens=3' for n, text in enumerate(beginnings)]
    write(folder, f"{diagram}\nS{states - 1} --> [*]", "\n".join(prompts), FRONT)
    (folder / "rows.jsonl").write_text("".join(json.dumps({"name": name}) + "\n" for name in names))
    done = each(folder, "rows.jsonl", "--model", str(tiny_model))
    assert done.returncode == 0, done.stderr
    with open_template(tiny_model) as template:
        asked = [
            template.tokens([Message(role="user", content=f"{text}@{name}")])
            for text in beginnings
            for name in names
        ]
    distinct = {tuple(tokens[:end]) for tokens in asked for end in range(1, len(tokens) + 1)}
    evaluated = sum(one["tokens"]["evaluated"] for one in lines_of(done.stdout))
    assert evaluated == len(distinct)
