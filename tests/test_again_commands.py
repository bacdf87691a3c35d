"""`samovar branch` and `samovar rerun`, from the command line, in processes of their own."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.test_cli import TIMEOUT_S, environment, folder, samovar, start, write
from tests.warm import warm

__all__ = ["folder"]
STATES = "[*] --> A\nA --> B\nB --> C\nC --> [*]"
ACTIONS = """- A: Shell "echo a >> log; echo one" result="a"
- B: Shell "echo b >> log; echo ${a}" result="b"
- C: Shell "echo c >> log; echo ${b}" result="out"
"""


def log(folder: Path) -> str:
    return "".join((folder / "log").read_text(encoding="utf-8").split())


def first_run(folder: Path, actions: str = ACTIONS, *options: str) -> str:
    write(folder, STATES, actions)
    done = samovar(folder, "run", "w.md", "--journal", "j.db", "--json", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["run"])


def rows(folder: Path, run: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "j.db") as connection:
        query = "SELECT visit.* FROM visit, run WHERE visit.run = run.number AND run.id = ? ORDER BY path"
        return connection.execute(query, (run,)).fetchall()


def test_a_branch_does_again_what_comes_after_and_leaves_the_earlier_run_alone(folder: Path) -> None:
    run = first_run(folder)
    before = rows(folder, run)
    done = samovar(folder, "branch", run[-6:], "--from", "B", "--var", "a=two", "--journal", "j.db", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["variables"]["out"] == "two" and report["run"] != run
    assert log(folder) == "abcbc" and rows(folder, run) == before
    with sqlite3.connect(folder / "j.db") as connection:
        assert connection.execute("SELECT origin FROM run ORDER BY number").fetchall() == [(None,), (run,)]
    assert len(rows(folder, str(report["run"]))) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "Bx"], "Did you mean 'B'?"),
        (["--from", "B", "--visit", "3"], "from 1 to 1"),
        (["--from", "B", "--var", "ax=1"], "Did you mean 'a'?"),
        (["--from", "B", "--prompt", "judge"], "NAME=FILE"),
        (["--from", "B", "--prompt", "judge=none.md"], "none.md"),
        (["--from", "B", "--prompt", "judge=w.md"], "judge"),
    ],
)
def test_what_there_is_not_is_named_with_the_nearest_that_there_is(
    folder: Path, options: list[str], said: str
) -> None:
    run = first_run(folder)
    done = samovar(folder, "branch", run, *options, "--journal", "j.db")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert log(folder) == "abc"


def test_after_an_edit_rerun_does_what_depends_on_it_and_branch_refuses(folder: Path) -> None:
    run = first_run(folder)
    write(folder, STATES, ACTIONS.replace("echo b >> log", "echo d >> log"))
    done = samovar(folder, "branch", run, "--from", "B", "--journal", "j.db")
    assert done.returncode == 2 and "has changed" in done.stderr and f"samovar rerun {run}" in done.stderr
    done = samovar(folder, "rerun", run, "--journal", "j.db", "--json")
    assert done.returncode == 0, done.stderr
    assert log(folder) == "abcdc"
    again = json.loads(done.stdout)["run"]
    assert samovar(folder, "rerun", again, "--journal", "j.db", "-q").returncode == 0
    assert log(folder) == "abcdc"


def test_a_default_is_as_it_is_now_and_what_was_given_is_as_it_was(folder: Path) -> None:
    def parameters(default: str) -> None:
        text = (folder / "w.md").read_text(encoding="utf-8").partition("```mermaid")
        front = "---\nparameters: [{name: x, default: " + default + "}, {name: y, default: old}]\n---\n"
        (folder / "w.md").write_text(front + "```mermaid" + text[2], encoding="utf-8")

    actions = ACTIONS.replace("echo one", "echo ${x} ${y}")
    write(folder, STATES, actions)
    parameters("old")
    done = samovar(folder, "run", "w.md", "--journal", "j.db", "--json", "--var", "y=given")
    run = json.loads(done.stdout)["run"]
    parameters("new")
    done = samovar(folder, "rerun", run, "--journal", "j.db", "--json")
    assert json.loads(done.stdout)["variables"]["out"] == "new given"
    done = samovar(folder, "rerun", run, "--journal", "j.db", "--json", "--var", "y=changed")
    assert json.loads(done.stdout)["variables"]["out"] == "new changed"


def killed(folder: Path, *command: str) -> None:
    """A process that is killed in its last state."""
    process = start(folder, *command)
    while "c" not in log(folder):
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=TIMEOUT_S)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["branch", "rerun"])
def test_a_new_run_that_is_killed_goes_on_and_takes_the_rest_from_the_earlier_one(
    folder: Path, verb: str
) -> None:
    actions = ACTIONS.replace("echo c >> log;", "echo c >> log; test -e done || exec sleep 60;")
    (folder / "done").touch()
    run = first_run(folder, actions)
    (folder / "done").unlink()
    (folder / "log").write_text("", encoding="utf-8")
    if verb == "branch":
        killed(folder, "branch", run, "--from", "B", "--journal", "j.db", "-q")
    else:
        write(folder, STATES, actions.replace("echo b", "echo b "))
        killed(folder, "rerun", run, "--journal", "j.db", "-q")
    (folder / "done").touch()
    done = samovar(folder, "resume", "--journal", "j.db", "--redo", "--json")
    assert done.returncode == 0, done.stderr
    assert log(folder) == "bcc"
    assert json.loads(done.stdout)["variables"]["out"] == "one"


@pytest.mark.slow
def test_an_interrupted_command_is_done_again_only_if_somebody_says_so(folder: Path) -> None:
    write(folder, STATES, ACTIONS.replace("echo c >> log;", "echo c >> log; test -e done || exec sleep 60;"))
    (folder / "log").write_text("", encoding="utf-8")
    killed(folder, "run", "w.md", "--journal", "j.db", "-q")
    (folder / "done").touch()
    with sqlite3.connect(folder / "j.db") as connection:
        connection.execute("UPDATE run SET until_s = 1")
        run = connection.execute("SELECT id FROM run").fetchone()[0]
    done = samovar(folder, "rerun", run, "--journal", "j.db", "-q")
    assert done.returncode == 2 and "--redo" in done.stderr and log(folder) == "abc"
    assert samovar(folder, "rerun", run, "--redo", "--journal", "j.db", "-q").returncode == 0
    assert log(folder) == "abcc"
    # What comes after the point is done again anyway.
    assert samovar(folder, "branch", run, "--from", "B", "--journal", "j.db", "-q").returncode == 0
    assert log(folder) == "abccbc"


def test_a_secret_is_given_again_and_is_in_no_file(folder: Path) -> None:
    text = "very-secret-token-5"
    write(folder, STATES, ACTIONS.replace("echo one", "echo is ${key}"))
    whole = (folder / "w.md").read_text(encoding="utf-8")
    (folder / "w.md").write_text(
        "---\nparameters: [{name: key, secret: true}]\n---\n" + whole, encoding="utf-8"
    )
    (folder / "secret").write_text(text, encoding="utf-8")
    given = ("--var", "key=@secret")
    done = samovar(folder, "run", "w.md", "--journal", "j.db", "--json", *given)
    run = json.loads(done.stdout)["run"]
    for verb in (("branch", run, "--from", "C"), ("rerun", run)):
        done = samovar(folder, *verb, "--journal", "j.db", "-q")
        assert done.returncode == 2 and "key" in done.stderr
        done = samovar(folder, *verb, "--journal", "j.db", "--json", *given)
        assert done.returncode == 0, done.stderr
    assert log(folder) == "abcc"
    for file in folder.glob("j.db*"):
        assert not file.is_file() or text.encode() not in file.read_bytes()


def test_nothing_is_taken_from_an_outline(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    outline = {**environment(folder), "SAMOVAR_JOURNAL": "outline"}
    command = ["run", "w.md", "--journal", "j.db", "-q"]
    done = warm().run(command, folder=folder, environment=outline, stdin="", timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(folder / "j.db") as connection:
        run = connection.execute("SELECT id FROM run").fetchone()[0]
        assert connection.execute("SELECT inputs FROM visit").fetchall() == [(None,)] * 3
    for verb in (("branch", run, "--from", "B"), ("rerun", run)):
        done = samovar(folder, *verb, "--journal", "j.db", "-q")
        assert done.returncode == 2 and "outline" in done.stderr


def test_help_says_what_they_do(folder: Path) -> None:
    for verb in ("branch", "rerun"):
        done: subprocess.CompletedProcess[str] = samovar(folder, verb, "--help")
        assert done.returncode == 0 and "earlier" in done.stdout


# Dry runs --------------------------------------------------------------------------------------------------


def dry(folder: Path, *command: str) -> tuple[list[str], dict[str, str], list[str], object]:
    """What would be taken; what would be performed, with why; what is not known; and the ending."""
    done = samovar(folder, *command, "--dry-run", "--journal", "j.db", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    told = json.loads(done.stdout)
    assert told["dry_run"] is True
    return (
        [one["state"] for one in told["taken"]],
        {one["state"]: one["why"] for one in told["performed"]},
        [one["state"] for one in told["not_known"]],
        told["ending"],
    )


def kept_runs(folder: Path) -> list[str]:
    return [
        one["run"]
        for one in json.loads(samovar(folder, "runs", "--journal", "j.db", "--json").stdout)["runs"]
    ]


def test_a_dry_run_says_what_would_be_taken_and_performs_and_keeps_nothing(folder: Path) -> None:
    run = first_run(folder)
    assert dry(folder, "rerun", run) == (["A", "B", "C"], {}, [], "completed")
    write(folder, STATES, ACTIONS.replace("echo b >>", "echo other >>"))
    taken, performed, open_ones, ending = dry(folder, "rerun", run)
    assert (taken, list(performed), open_ones, ending) == (["A"], ["B"], ["C"], None)
    assert "now 'echo other >> log; echo one'" in performed["B"]
    write(folder, STATES, ACTIONS)
    assert dry(folder, "branch", run, "--from", "C") == (
        ["A", "B"],
        {"C": "The run branches off here."},
        [],
        None,
    )
    text = samovar(folder, "branch", run, "--from", "B", "--dry-run", "--journal", "j.db").stdout
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["taken", "performed", "not", "What"]
    assert log(folder) == "abc" and kept_runs(folder) == [run]


FORKED = (
    "[*] --> Each\nstate Each {\n[*] --> T\nT --> [*]\n}\nEach --> F\nstate F <<fork>>\nF --> L\nF --> R\n"
    "L --> J\nR --> J\nstate J <<join>>\nJ --> P\nP --> Q\nQ --> [*]",
    '- Each: For each x in [1, 2, 3] at_once=3\n- T: Shell "echo ${x} >> log"\n'
    "- L: Read 'in.txt' result=\"text\"\n"
    '- R: Shell "echo r >> log"\n- P: Set y="${text}!"\n- Q: Ask "Is ${y} right?" default="yes" result="q"\n',
)


def test_every_item_and_every_branch_comes_as_far_as_it_can(folder: Path) -> None:
    (folder / "in.txt").write_text("one", encoding="utf-8")
    write(folder, FORKED[0], FORKED[1])
    done = samovar(folder, "run", "w.md", "--journal", "j.db", "--json", "--answer", "Q=yes")
    assert done.returncode == 0, done.stdout
    run = json.loads(done.stdout)["run"]
    (folder / "in.txt").write_text("two", encoding="utf-8")
    taken, performed, open_ones, _ = dry(folder, "rerun", run)
    assert sorted(taken) == ["Each[0]/T", "Each[1]/T", "Each[2]/T", "R"]
    assert performed == {"Q": "Its question, or what was done before, differs."} and open_ones == []
    write(folder, FORKED[0], FORKED[1].replace("[1, 2, 3]", "[1, 5, 6, 7]").replace("at_once=3", "at_once=4"))
    taken, performed, open_ones, _ = dry(folder, "rerun", run)
    assert taken == ["Each[0]/T"] and sorted(performed) == ["Each[1]/T", "Each[2]/T", "Each[3]/T"]
    assert performed["Each[3]/T"] == "The earlier run has no such visit." and "R" in open_ones
    assert sorted((folder / "log").read_text(encoding="utf-8").split()) == ["1", "2", "3", "r"]


def test_a_dry_run_says_how_a_prompt_differs_and_shows_no_secret(folder: Path, tiny_model: Path) -> None:
    text = "very-secret-token-5"
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "Use ${key}. Say one." using max_tokens=2\n')
    whole = (folder / "w.md").read_text(encoding="utf-8")
    front = "---\nparameters: [{name: key, secret: true}]\n---\n"
    (folder / "w.md").write_text(front + whole, encoding="utf-8")
    (folder / "secret").write_text(text, encoding="utf-8")
    given = ("--var", "key=@secret")
    command = ("run", "w.md", "--journal", "j.db", "--json", "--model", str(tiny_model))
    run = json.loads(samovar(folder, *command, *given).stdout)["run"]
    assert dry(folder, "rerun", run, *given)[0] == ["A"]
    (folder / "w.md").write_text((front + whole).replace("Say one", "Say two"), encoding="utf-8")
    _, performed, _, _ = dry(folder, "rerun", run, *given)
    assert performed == {"A": "Its user message differs: 'Use ***. Say one.' then, 'Use ***. Say two.' now."}
