"""Makes a case of a run: what its prompts were answered, what its commands left, and what came of it.

Above: the command line. Below: `case_text.py`, which writes it, and `trial.py`, which tries it. Values of
secret parameters are no part of a case.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from samovar.actions.base import Outside, ThisMachine, VisitOf
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import YES, Question, Reply
from samovar.errors import SamovarError, UsageError
from samovar.events import Ending, Event, OnEvent, StateEntered
from samovar.executors.base import Connection, Executor, OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import FinishReason
from samovar.language.names import BUILT_IN, OLD_CONTEXT
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.run import Run
from samovar.secrecy import Secrets
from samovar.testing.case_text import add_case, with_case
from samovar.testing.cases import TIMEOUT
from samovar.testing.paths import Tree
from samovar.testing.trial import run_case
from samovar.values import plain

NOT_RECORDED = BUILT_IN - OLD_CONTEXT
"""Variables that every action leaves behind."""


class Recording:
    """What a run is told from outside, kept as it comes.

    An `Outside`, a listener, and a maker of executors. Mutable: what was told so far.
    """

    name = "recording"

    def __init__(self, executor: Executor, on_event: OnEvent, outside: Outside | None = None) -> None:
        """All that is asked goes on to these."""
        self._executor, self._on_event, self._outside = executor, on_event, outside or ThisMachine()
        self._paths: dict[int, str] = {}
        """By visit."""
        self._answers: dict[int, PromptReply | SamovarError] = {}
        """By visit."""
        self._shell: dict[int, object] = {}
        """By visit, as a case has it."""
        self._waits: dict[int, object] = {}
        """By visit, as a case has it."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, StateEntered):
            self._paths[event.visit] = event.path
        self._on_event(event)

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[_RecordingConnection]:
        async with self._executor.open(run) as connection:
            yield _RecordingConnection(connection, self._answers)

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        try:
            finished = await self._outside.run_command(command, at)
        except SamovarError as error:
            self._shell[at.number] = {"error": error.code, "message": error.message}
            raise
        self._shell[at.number] = _printed(finished)
        return finished

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        await self._outside.sleep(duration_s, at)

    async def ask_user(self, question: Question) -> Reply | None:
        reply = await self._outside.ask_user(question)
        self._waits[question.visit] = False if reply is None else True if reply == YES else "no"
        return reply

    async def end(self, run: str) -> None:
        await self._outside.end(run)

    def values(
        self, tree: Tree, variables: Mapping[str, object], run: Run, *, transitions: int | None = None
    ) -> dict[str, object]:
        """The values of a case.

        `variables` are those that the run began with; `transitions` is the limit that it was given.
        """
        counts = any(workflow.limits.tokens is not None for workflow in tree.workflows())
        secrets = {one.name for workflow in tree.workflows() for one in workflow.parameters if one.secret}
        values: dict[str, object] = {
            "variables": _given(tree.workflow, variables, secrets),
            "answers": self._by_path(
                {visit: _answer(told, counts=counts) for visit, told in self._answers.items()}
            ),
            "commands": self._by_path(self._shell),
            "waits": self._by_path(self._waits),
            "limits": {} if transitions is None else {"transitions": transitions},
        }
        values = {name: value for name, value in values.items() if value}
        values["expect"] = {
            "ending": str(run.ending),
            "path": [visit.path for visit in run.visits],
            "variables": _left(_changed(run.variables, variables), secrets, run.hidden),
        }
        return run.hidden.copy(values)

    def _by_path(self, told: Mapping[int, object]) -> dict[str, object]:
        by_path: dict[str, list[object]] = {}
        for visit in sorted(told):
            by_path.setdefault(self._paths[visit], []).append(told[visit])
        return {path: found[0] if len(found) == 1 else found for path, found in by_path.items()}


class _RecordingConnection:
    """See `executors.base.Connection`. Mutable: `answers`, by visit."""

    def __init__(self, connection: Connection, answers: dict[int, PromptReply | SamovarError]) -> None:
        self._connection, self._answers = connection, answers

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        try:
            reply = await self._connection.ask(request, on_event)
        except SamovarError as error:
            self._answers[request.visit] = error
            raise
        self._answers[request.visit] = reply
        return reply


def _answer(told: PromptReply | SamovarError, *, counts: bool) -> object:
    """As a case has it. `counts`: how many tokens it has matters."""
    if isinstance(told, SamovarError):
        return {"error": told.code, "message": told.message}
    if told.finish_reason is FinishReason.CANCELLED:
        return {"error": "action", "message": "The answer was cancelled."}
    values: dict[str, object] = {"text": told.text}
    if told.finish_reason is FinishReason.TIMEOUT:
        values["error"] = TIMEOUT
    elif told.finish_reason is not FinishReason.STOP:
        values["finish_reason"] = str(told.finish_reason)
    if counts:
        values["tokens"] = told.tokens.generated
    return told.text if len(values) == 1 else values


def _printed(finished: CommandResult) -> object:
    if not finished.stderr and not finished.exit_code and not finished.timed_out:
        return finished.stdout
    values: dict[str, object] = {"stdout": finished.stdout, "stderr": finished.stderr}
    values["exit_code"] = finished.exit_code
    if finished.timed_out:
        values["error"] = TIMEOUT
    return values


def _given(workflow: Workflow, variables: Mapping[str, object], secrets: set[str]) -> dict[str, object]:
    """The variables that are not what they are without a word."""
    defaults = {one.name: one.default for one in workflow.parameters if one.default is not None}
    return {
        name: plain(value)
        for name, value in variables.items()
        if name not in secrets and not (name in defaults and defaults[name] == value)
    }


def _changed(variables: Mapping[str, object], begun: Mapping[str, object]) -> dict[str, object]:
    """Those that are not as they were when the run began."""
    return {name: value for name, value in variables.items() if name not in begun or begun[name] != value}


def _left(variables: Mapping[str, object], secrets: set[str], hidden: Secrets) -> dict[str, object]:
    """The variables at the end that a case can expect: none with a secret in it."""
    left = _without({name: plain(value) for name, value in variables.items()}, NOT_RECORDED | secrets)
    assert isinstance(left, dict)
    return {
        name: value
        for name, value in left.items()
        if not name.startswith("_") and hidden.copy(value) == value
    }


def _without(value: object, names: set[str] | frozenset[str]) -> object:
    """The value without keys of these names, at any depth."""
    if isinstance(value, Mapping):
        return {name: _without(item, names) for name, item in value.items() if name not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def check_record(path: Path, workflow: Workflow) -> None:
    """Whether a case of the workflow can be added to a file, before anything is run.

    Raises `UsageError`, or `FaultsError` for what is wrong with the file.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {path.parent}.")
    with_case(path, _path_of(workflow), {"expect": {"ending": "completed"}})
    folder = next(one for one in path.resolve().parents if one.exists())
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{path} cannot be written: {folder} is read-only.")


def record(
    path: Path, tree: Tree, library: Library, values: dict[str, object], *, lenient: bool
) -> list[str]:
    """Adds a case to a file after it was tried. Gives what is doubtful about it, in sentences.

    Variables that come out otherwise when the case is run, as with the time of day, are left out.
    Raises as `add_case`.
    """
    doubts: list[str] = []
    workflow = _path_of(tree.workflow)

    def differences() -> list[tuple[str, str | None, str]]:
        _, case = with_case(path, workflow, values)

        async def run() -> list[tuple[str, str | None, str]]:
            result = await run_case(case, tree, library, lenient=lenient)
            return [(one.what, one.name, one.message.splitlines()[0]) for one in result.differences]

        return anyio.run(run)

    found = differences()
    changing = [name for what, name, _ in found if what == "variable" and name is not None]
    if changing:
        expected = values["expect"]
        assert isinstance(expected, dict)
        kept = {name: value for name, value in expected["variables"].items() if name not in changing}
        values["expect"] = {**expected, "variables": kept}
        doubts.append(f"Not recorded, since another run gives another value: {', '.join(changing)}.")
    doubts += [
        f"The case does not pass as it is: {message}" for what, _, message in found if what != "variable"
    ]
    add_case(path, workflow, values)
    return doubts


def _path_of(workflow: Workflow) -> Path:
    if workflow.path is None:
        raise UsageError("Only a workflow that is a file can be recorded.")
    return workflow.path


def can_be_recorded(run: Run) -> bool:
    """A run that was cancelled came to no ending of its own."""
    return run.ending is not None and run.ending is not Ending.CANCELLED
