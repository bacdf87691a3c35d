"""`samovar resume`: a process that was killed is gone on with in another one, from the command line."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.test_cli import TIMEOUT_S, folder, samovar, start, write

__all__ = ["folder"]
STATES = "[*] --> A\nA --> B\nB --> C\nC --> [*]"
ACTIONS = """- A: Shell "echo a >> log"
- B: Shell "echo b >> log; test -e done || sleep 60" result="b"
- C: Shell "echo c >> log; cat log" result="out"
"""


def killed(folder: Path, actions: str = ACTIONS, *options: str) -> None:
    """A run of a process that was killed while its second state was performed."""
    write(folder, STATES, actions)
    kill(start(folder, "run", "w.md", "--journal", "j.db", "-q", *options), folder)


def kill(process: subprocess.Popen[str], folder: Path, number: signal.Signals = signal.SIGKILL) -> str:
    """Ends a process that is in its second state. Gives what it said on standard error."""
    log = folder / "log"
    while not log.exists() or "b" not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(number)
    _, said = process.communicate(timeout=TIMEOUT_S)
    (folder / "done").touch()
    return said


def resumed(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return samovar(folder, "resume", "--journal", "j.db", *options)


def runs_of(folder: Path) -> list[dict[str, object]]:
    listed = samovar(folder, "runs", "--journal", "j.db", "--json")
    found: list[dict[str, object]] = json.loads(listed.stdout)["runs"]
    return found


@pytest.mark.slow
def test_a_killed_run_goes_on_and_does_nothing_twice_but_what_it_is_told_to(folder: Path) -> None:
    killed(folder)
    done = resumed(folder, "-q")
    assert done.returncode == 2 and "B" in done.stderr and "--redo" in done.stderr
    assert (folder / "log").read_text(encoding="utf-8").split() == ["a", "b"]
    done = resumed(folder, "--redo", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["variables"]["out"].split() == ["a", "b", "b", "c"]
    [kept] = runs_of(folder)
    assert (kept["status"], kept["visits"], kept["run"]) == ("completed", 3, report["run"])
    done = resumed(folder)
    assert done.returncode == 2 and "samovar runs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("option", "status", "log"), [("--skip", 0, "abc"), ("--fail", 1, "ab")])
def test_a_command_that_was_interrupted_can_count_as_done_or_failed(
    folder: Path, option: str, status: int, log: str
) -> None:
    killed(folder)
    assert resumed(folder, option, "-q").returncode == status
    assert "".join((folder / "log").read_text(encoding="utf-8").split()) == log


@pytest.mark.slow
def test_a_workflow_that_has_changed_is_not_gone_on_with(folder: Path) -> None:
    killed(folder)
    write(folder, STATES, ACTIONS.replace("echo a", "echo other"))
    done = resumed(folder, "--redo", "-q")
    assert done.returncode == 2 and "has changed" in done.stderr


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_can_go_on_at_once(folder: Path) -> None:
    write(folder, STATES, ACTIONS.replace("sleep 60", "exec sleep 60"))
    process = start(folder, "run", "w.md", "--journal", "j.db")
    said = kill(process, folder, signal.SIGINT)
    assert "samovar resume" in said and "--journal j.db" in said
    assert process.returncode == 130
    assert [one["status"] for one in runs_of(folder)] == ["interrupted"]
    assert resumed(folder, "--redo", "-q").returncode == 0


@pytest.mark.slow
def test_a_secret_is_in_no_file_of_the_journal_and_is_asked_for_again(folder: Path) -> None:
    text = "very-secret-token-5"
    (folder / "w.md").write_text(
        "---\nparameters: [{name: key, secret: true}]\n---\n"
        f"```mermaid\nstateDiagram-v2\n{STATES}\n```\n\n## Actions\n\n"
        + ACTIONS.replace("echo a >> log", "echo is ${key}; echo a >> log"),
        encoding="utf-8",
    )
    (folder / "secret").write_text(text, encoding="utf-8")
    kill(start(folder, "run", "w.md", "--journal", "j.db", "-q", "--var", "key=@secret"), folder)
    for file in folder.glob("j.db*"):
        assert not file.is_file() or text.encode() not in file.read_bytes()
    done = resumed(folder, "--redo", "-q")
    assert done.returncode == 2 and "key" in done.stderr
    done = resumed(folder, "--redo", "--json", "--var", "key=@secret")
    assert done.returncode == 0, done.stderr
    for file in folder.glob("j.db*"):
        assert not file.is_file() or text.encode() not in file.read_bytes()


def test_runs_lists_and_shows(folder: Path) -> None:
    (folder / "done").touch()
    write(folder, STATES, ACTIONS)
    assert samovar(folder, "runs", "--journal", "j.db").returncode == 0
    assert samovar(folder, "run", "w.md", "--journal", "j.db", "-q").returncode == 0
    [kept] = runs_of(folder)
    run = str(kept["run"])
    listed = samovar(folder, "runs", "--journal", "j.db")
    assert run in listed.stdout and "completed" in listed.stdout
    told = json.loads(samovar(folder, "runs", "show", run[-4:], "--journal", "j.db", "--json").stdout)
    assert [one["path"] for one in told["states"]] == ["A", "B", "C"]
    assert samovar(folder, "runs", "show", "nothing", "--journal", "j.db").returncode == 2
    assert "interrupted" in samovar(folder, "runs", "--journal", "j.db", "--status", "x").stderr


@pytest.mark.parametrize("command", [("run", "w.md"), ("runs",), ("resume",)])
@pytest.mark.parametrize("journal", ["", ".", "other.db", "/dev/null"])
def test_what_cannot_be_a_journal_is_one_line(folder: Path, command: tuple[str, ...], journal: str) -> None:
    write(folder, STATES, ACTIONS)
    with sqlite3.connect(folder / "other.db") as connection:
        connection.execute("CREATE TABLE run (x)")
    done = samovar(folder, *command, "--journal", journal)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr and done.stderr.strip()
    assert not (folder / "log").exists()
