"""A run that waits for a person, from the command line: every process is a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.on_terminal import on_terminal
from tests.test_cli import TIMEOUT_S, environment, folder, samovar, start, write
from tests.warm import warm

__all__ = ["folder"]
STATES = "[*] --> A\nA --> Q\nQ --> B\nB --> [*]"
ACTIONS = """- A: Shell "echo a >> log"
- Q: Ask "Which one?" choices="red|blue" result="colour"
- B: Shell "echo ${colour} >> log"
"""


def waits(folder: Path, *options: str, actions: str = ACTIONS, states: str = STATES) -> str:
    """The id of a run that waits."""
    write(folder, states, actions)
    done = samovar(folder, "run", "w.md", "--journal", "j.db", "--wait", *options)
    assert done.returncode == 4, done.stderr
    return str(runs_of(folder)[0]["run"])


def kept(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return samovar(folder, *arguments, "--journal", "j.db", stdin=stdin)


def runs_of(folder: Path, *options: str) -> list[dict[str, Any]]:
    listed = kept(folder, "runs", "--json", *options)
    assert listed.returncode == 0, listed.stderr
    found: list[dict[str, Any]] = json.loads(listed.stdout)["runs"]
    return found


def questions_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kept(folder, "runs", "--waiting", "--json").stdout)["questions"]
    return found


def log_of(folder: Path) -> list[str]:
    return (folder / "log").read_text(encoding="utf-8").split()


def until_logged(folder: Path, text: str, process: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while not (folder / "log").exists() or text not in log_of(folder):
        assert process.poll() is None and time.monotonic() < end_s, process.stderr and process.stderr.read()


def test_a_run_waits_with_the_command_that_answers_it(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    done = samovar(folder, "run", "w.md", "--journal", "j.db", "--wait")
    assert done.returncode == 4
    [run] = runs_of(folder)
    assert run["status"] == "waiting" and "Which one?" in run["message"]
    assert f"samovar answer {run['run']} --journal j.db VALUE" in done.stderr
    listed = kept(folder, "runs", "--waiting")
    assert "Which one?" in listed.stdout and "red, blue" in listed.stdout
    [question] = json.loads(kept(folder, "runs", "--waiting", "--json").stdout)["questions"]
    assert question["run"] == run["run"] and question["state"] == "Q" and question["workflow"] == "w"
    assert (question["choices"], question["kind"]) == (["red", "blue"], "choice")
    done = kept(folder, "answer", str(run["run"])[-5:], "Blue", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["variables"]["colour"] == "blue"
    assert log_of(folder) == ["a", "blue"]
    assert "no open question" in kept(folder, "answer", str(run["run"]), "red").stderr
    assert "no run waits" in kept(folder, "runs", "--waiting").stderr


def test_a_wrong_answer_is_refused_with_the_choices_and_the_run_still_waits(folder: Path) -> None:
    run = waits(folder, "-q")
    for value in (["green"], [], ["-"]):
        done = kept(folder, "answer", run, *value, stdin="green\n")
        assert done.returncode == 2 and "red, blue" in done.stderr
    assert runs_of(folder)[0]["status"] == "waiting"
    done = kept(folder, "answer", run, "-", "-q", stdin="red\n")
    assert done.returncode == 0 and log_of(folder) == ["a", "red"]


def test_no_command_of_a_run_can_answer(folder: Path) -> None:
    run = waits(folder, "-q")
    done = subprocess.run(
        ["python", "-m", "samovar", "answer", run, "red", "--journal", "j.db"],
        cwd=folder,
        env=environment(folder) | {"SAMOVAR_RUN": "another", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2 and "may not answer for a person" in done.stderr
    assert runs_of(folder)[0]["status"] == "waiting"


def test_a_person_is_asked_at_a_terminal(folder: Path) -> None:
    run = waits(folder, "-q")
    status, shown = on_terminal(
        folder,
        *("answer", run, "--journal", "j.db", "-q"),
        environment=environment(folder),
        typed=[b"green\n", b"blue\n"],
        question=(b"]: ",),
    )
    assert status == 0 and "Which one?" in shown and "red, blue" in shown
    assert log_of(folder) == ["a", "blue"]


def test_questions_of_several_branches_are_named(folder: Path) -> None:
    run = waits(
        folder,
        "-q",
        states="[*] --> F\nstate F <<fork>>\nF --> P\nF --> Q\nP --> J\nQ --> J\nstate J <<join>>\nJ --> [*]",
        actions='- P: Approve "go?"\n- Q: Ask "Which?" result="which"\n',
    )
    done = kept(folder, "answer", run, "yes")
    assert done.returncode == 2
    listed = {one["state"]: one["question"] for one in questions_of(folder)}
    assert sorted(listed.values()) == [1, 2]
    for state, number in listed.items():
        command = f"samovar answer {run} --question {number} --journal j.db VALUE"
        assert f"{state} in branch {state}: {command}" in done.stderr
        assert command in kept(folder, "runs", "--waiting").stdout
    done = kept(folder, "answer", run, "yes", "--state", "P", "-q")
    assert done.returncode == 4
    done = kept(folder, "answer", run, "this")
    assert done.returncode == 2, "the run has asked more than one question"
    done = kept(folder, "answer", run, "this", "--question", str(listed["Q"]), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["variables"]["which"] == "this"


TWO = (
    "[*] --> P\nP --> Q\nQ --> B\nB --> [*]",
    '- P: Approve "Is it ready?"\n- Q: Approve "Publish it?"\n- B: Shell "echo b >> log"\n',
)
LOOP = ("[*] --> P\nP --> P: go_on == 'again'\nP --> [*]", '- P: Ask "Again?" result="go_on"\n')


def test_a_command_that_is_repeated_does_not_answer_the_next_question(folder: Path) -> None:
    run = waits(folder, "-q", states=TWO[0], actions=TWO[1])
    done = kept(folder, "answer", run, "yes")
    command = f"samovar answer {run} --question 2 --journal j.db VALUE"
    assert (
        done.returncode == 4
        and f"the run waits; answer with `samovar answer {run} --question 2" in done.stderr
    )
    for again in ([], ["--question", "1"], ["--state", "P"], ["--state", "B"]):
        done = kept(folder, "answer", run, "yes", *again)
        assert done.returncode == 2 and f"Q: {command}" in done.stderr, again
    assert not (folder / "log").exists()
    assert kept(folder, "answer", run, "yes", "--question", "2", "-q").returncode == 0
    assert log_of(folder) == ["b"]


def test_each_visit_of_a_state_asks_a_question_of_its_own(folder: Path) -> None:
    run = waits(folder, "-q", states=LOOP[0], actions=LOOP[1])
    assert kept(folder, "answer", run, "again", "--state", "P", "-q").returncode == 4
    done = kept(folder, "answer", run, "again", "--state", "P", "-q")
    assert done.returncode == 2 and f"P (visit 2): samovar answer {run} --question 2" in done.stderr
    assert kept(folder, "resume", run, "-q").returncode == 4, "it asks the same question, with its number"
    assert [one["question"] for one in questions_of(folder)] == [2]
    assert kept(folder, "answer", run, "enough", "--question", "2", "-q").returncode == 0


def test_a_person_at_a_terminal_reads_the_question_and_needs_no_number(folder: Path) -> None:
    run = waits(folder, "-q", states=TWO[0], actions=TWO[1])
    assert kept(folder, "answer", run, "yes", "-q").returncode == 4
    status, shown = on_terminal(
        folder,
        *("answer", run, "--journal", "j.db", "-q"),
        environment=environment(folder),
        typed=[b"y\n"],
        question=(b"] ",),
    )
    assert status == 0 and "Publish it?" in shown and log_of(folder) == ["b"]


def test_a_question_whose_time_has_ended_is_listed_with_the_command_that_goes_on(folder: Path) -> None:
    run = waits(folder, "-q", states=TWO[0], actions=TWO[1].replace('ready?"', 'ready?" timeout=10ms'))
    [question] = questions_of(folder)
    assert question["is_late"]
    listed = kept(folder, "runs", "--waiting").stdout
    assert f"samovar resume {run} --journal j.db" in listed and "samovar answer" not in listed
    assert "its time ended at" in listed
    done = kept(folder, "answer", run, "yes")
    assert done.returncode == 2 and f"samovar resume {run} --journal j.db" in done.stderr
    done = kept(folder, "resume", run)
    assert done.returncode == 1 and "Nobody approved within 10 ms." in done.stderr


def test_resume_without_an_id_says_which_run_it_goes_on_with(folder: Path) -> None:
    first = waits(folder, "-q")
    done = kept(folder, "resume")
    assert done.returncode == 4 and f"continuing {first}  w  waiting in Q, " in done.stderr
    assert "unfinished" not in done.stderr
    second = waits(folder, "-q")
    done = kept(folder, "resume")
    assert f"continuing {second}  w  waiting in Q, " in done.stderr and "(1 other unfinished" in done.stderr
    for option in ("--redo", "--skip", "--fail"):
        done = kept(folder, "resume", option)
        assert done.returncode == 2 and f"`samovar resume {second} {option}`" in done.stderr
        assert f"  {first}  w  waiting in Q, " in done.stderr and f"  {second}  w  waiting" in done.stderr
    assert kept(folder, "resume", first, "--redo", "-q").returncode == 4


def test_what_has_changed_or_is_gone_is_said_with_what_to_do(folder: Path) -> None:
    child = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n\n## Actions\n\n- A: Set a=1\n"
    (folder / "child.md").write_text(child, encoding="utf-8")
    run = waits(folder, "-q", actions=ACTIONS.replace('Shell "echo a >> log"', 'Run workflow "child"', 1))
    whole = (folder / "w.md").read_text(encoding="utf-8")
    (folder / "w.md").write_text(f"{whole}\nMore.\n", encoding="utf-8")
    for command in (["resume", run], ["branch", run, "--from", "A"], ["answer", run, "red"]):
        done = kept(folder, *command)
        assert done.returncode == 2 and f"`samovar rerun {run} --journal j.db`" in done.stderr, done.stderr
    (folder / "w.md").rename(folder / "moved.md")
    for command in (["resume", run], ["branch", run, "--from", "A"], ["rerun", run]):
        done = kept(folder, *command)
        assert done.returncode == 2 and f"Put it back as {folder / 'w.md'}" in done.stderr, done.stderr
        assert f"`samovar runs export {run} --journal j.db`" in done.stderr
    (folder / "w.md").write_text(whole, encoding="utf-8")
    (folder / "child.md").rename(folder / "other.md")
    done = kept(folder, "resume", run)
    assert done.returncode == 2 and f"{folder / 'child.md'}, which is gone" in done.stderr, done.stderr


@pytest.mark.slow
def test_an_answer_is_told_to_the_process_that_drives_the_run(folder: Path) -> None:
    write(
        folder,
        "[*] --> F\nstate F <<fork>>\nF --> Q\nF --> S\nQ --> T\nT --> J\nS --> J\nstate J <<join>>\n"
        "J --> [*]",
        '- Q: Ask "Which?" result="which"\n- T: Shell "echo ${which} >> log"\n'
        '- S: Shell "echo s >> log; until grep -q told log; do :; done"',
    )
    process = start(folder, "run", "w.md", "--journal", "j.db", "-q", "--wait")
    until_logged(folder, "s", process)
    end_s = time.monotonic() + TIMEOUT_S
    while not json.loads(kept(folder, "runs", "--waiting", "--json").stdout)["questions"]:
        assert time.monotonic() < end_s
    run = str(runs_of(folder)[0]["run"])
    done = kept(folder, "answer", run, "told")
    assert done.returncode == 0 and "continues the run" in done.stderr
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, said
    assert runs_of(folder)[0]["status"] == "completed"


def test_waiting_needs_a_run_that_is_kept(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    done = samovar(folder, "run", "w.md", "--wait", "--no-journal")
    assert done.returncode == 2 and "--wait and --no-journal" in done.stderr
    off = {**environment(folder), "SAMOVAR_JOURNAL": "off"}
    command = ["run", "w.md", "--wait"]
    done = warm().run(command, folder=folder, environment=off, stdin="", timeout_s=TIMEOUT_S)
    assert done.returncode == 2 and 'the setting `journal` is "off"' in done.stderr
    assert not (folder / "log").exists()


def test_runs_are_filtered(folder: Path) -> None:
    waits(folder, "-q")
    (folder / "x.md").write_text((folder / "w.md").read_text(encoding="utf-8"), encoding="utf-8")
    assert kept(folder, "run", "x.md", "-q", "--answer", "Q=red").returncode == 0
    assert [one["workflow"] for one in runs_of(folder)] == ["x", "w"]
    assert [one["workflow"] for one in runs_of(folder, "--workflow", "w")] == ["w"]
    assert [one["workflow"] for one in runs_of(folder, "--status", "waiting")] == ["w"]
    assert len(runs_of(folder, "--since", "1h")) == 2 and runs_of(folder, "--since", "2999-01-01") == []
    assert len(runs_of(folder, "--since", "2d")) == 2
    done = kept(folder, "runs", "--since", "yesterday")
    assert done.returncode == 2 and "yesterday" in done.stderr


# Other processes ------------------------------------------------------------------------------------------

HELD = (
    '- A: Log "one\\x1b[31m"\n- Q: Shell "echo q >> log; until test -e done; do :; done"\n- B: Log "three"\n'
)


@pytest.mark.slow
def test_a_log_is_followed_from_another_process_to_its_end(folder: Path) -> None:
    write(folder, STATES, HELD.replace("\\x1b", "\x1b"))
    process = start(folder, "run", "w.md", "--journal", "j.db", "-q")
    until_logged(folder, "q", process)
    run = str(runs_of(folder)[0]["run"])
    following = start(folder, "runs", "logs", run, "-f", "--journal", "j.db")
    assert following.stdout is not None
    first = [following.stdout.readline() for _ in range(3)]
    assert "A  log" in first[0] and "A: one" in first[1] and "\x1b" not in first[1] and "Q  shell" in first[2]
    (folder / "done").touch()
    rest, said = following.communicate(timeout=TIMEOUT_S)
    assert "Q  done" in rest and "B: three" in rest and "is completed" in said and following.returncode == 0
    process.communicate(timeout=TIMEOUT_S)
    whole = kept(folder, "runs", "logs", run).stdout
    assert "".join(first) + rest == whole


@pytest.mark.slow
def test_ctrl_c_ends_following_and_not_the_run(folder: Path) -> None:
    write(folder, STATES, HELD.replace("\\x1b", ""))
    process = start(folder, "run", "w.md", "--journal", "j.db", "-q")
    until_logged(folder, "q", process)
    following = start(folder, "runs", "logs", str(runs_of(folder)[0]["run"]), "-f", "--journal", "j.db")
    assert following.stdout is not None and following.stdout.readline()
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=TIMEOUT_S)
    assert following.returncode == 130
    (folder / "done").touch()
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_run_is_cancelled_from_another_process(folder: Path) -> None:
    write(folder, STATES, HELD.replace("\\x1b", ""))
    process = start(folder, "run", "w.md", "--journal", "j.db", "-q")
    until_logged(folder, "q", process)
    run = str(runs_of(folder)[0]["run"])
    done = kept(folder, "runs", "cancel", run)
    assert done.returncode == 0 and "is cancelled" in done.stderr, done.stderr
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130 and "samovar runs cancel" in said and "samovar resume" not in said
    assert runs_of(folder)[0]["status"] == "cancelled"
    assert "is over" in kept(folder, "runs", "cancel", run).stderr
    done = kept(folder, "resume", run, "-q")
    assert done.returncode == 2 and "--cancelled" in done.stderr
    (folder / "done").touch()
    done = kept(folder, "resume", run, "-q", "--cancelled", "--redo")
    assert done.returncode == 0, done.stderr
    assert runs_of(folder)[0]["status"] == "completed"


def test_a_run_that_waits_is_cancelled(folder: Path) -> None:
    run = waits(folder, "-q")
    assert kept(folder, "runs", "cancel", run).returncode == 0
    assert runs_of(folder)[0]["status"] == "cancelled"
    assert kept(folder, "answer", run, "red").returncode == 2


# Secrets --------------------------------------------------------------------------------------------------


def test_another_secret_is_refused_unless_somebody_says_that_it_will_do(folder: Path) -> None:
    (folder / "w.md").write_text(
        "---\nparameters: [{name: key, secret: true}]\n---\n"
        f"```mermaid\nstateDiagram-v2\n{STATES}\n```\n\n## Actions\n\n{ACTIONS}",
        encoding="utf-8",
    )
    (folder / "old").write_text("very-secret-1", encoding="utf-8")
    (folder / "new").write_text("very-secret-2", encoding="utf-8")
    assert kept(folder, "run", "w.md", "--wait", "-q", "--var", "key=@old").returncode == 4
    run = str(runs_of(folder)[0]["run"])
    done = kept(folder, "answer", run, "red", "-q", "--var", "key=@new")
    assert done.returncode == 2 and "--changed-secrets" in done.stderr and "very-secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = kept(folder, "resume", run, "-q", "--var", "key=@new", "--changed-secrets")
    assert done.returncode == 0, done.stderr
    assert log_of(folder) == ["a", "red"], "the answer was kept"


@pytest.mark.parametrize("command", ["answer", "runs logs", "runs cancel"])
def test_a_run_that_is_not_there_is_one_line(folder: Path, command: str) -> None:
    done = kept(folder, *command.split(), "none")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
