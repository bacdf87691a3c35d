"""The exit statuses of commands are one table, which the docs have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samovar import errors
from samovar.errors.statuses import STATUSES
from samovar.events import Ending
from tests.test_cli import TIMEOUT_S, environment, folder, write
from tests.warm import warm

__all__ = ["folder"]
CANNOT_ANSWER = {
    "a file that is not there": ["--model", "nope.gguf"],
    "a name that is not known": ["--model", "nosuch"],
    "one that another program does not have": ["--model", "ollama:none"],
    "one that would have to be fetched": ["--model", "hf:own/repo", "--offline"],
    "no room": ["--model", "TINY", "--budget", "100kB"],
    "an executor that is not declared": ["--executor", "nobody"],
}


def test_every_error_and_every_ending_has_a_status_of_the_table() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    statuses = {one.exit_status for one in classes if issubclass(one, errors.SamovarError)}
    assert statuses | {one.exit_status for one in Ending} <= set(STATUSES)


@pytest.mark.parametrize("why", CANNOT_ANSWER)
def test_who_cannot_answer_is_the_same_error_with_the_same_status_in_a_run_and_in_a_conversation(
    folder: Path, tiny_model: Path, why: str
) -> None:
    options = [str(tiny_model) if one == "TINY" else one for one in CANNOT_ANSWER[why]]
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "hi"\n')
    codes = []
    for command in (["run", "w.md", "--no-journal"], ["chat", "hi"], ["chat"]):
        done = warm().run(
            [*command, "--json", *options],
            folder=folder,
            environment=environment(folder),
            stdin="/help\n",
            timeout_s=TIMEOUT_S,
        )
        assert done.returncode == 2, (command, done.stderr, done.stdout)
        codes.append(json.loads(done.stdout)["error"]["code"])
    assert len(set(codes)) == 1, codes


def test_a_file_that_is_not_there_is_said_and_ends_a_script(folder: Path) -> None:
    done = warm().run(
        ["chat"],
        folder=folder,
        environment=environment(folder),
        stdin="/file none.txt\n/help\n",
        timeout_s=TIMEOUT_S,
    )
    assert (done.returncode, done.stderr) == (2, "samovar: There is no file none.txt.\n")
