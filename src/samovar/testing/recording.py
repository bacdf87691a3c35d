"""Records a case from a run: its answers, the outcomes of its commands, and its result.

Above: the command line. Below: `recorded_values.py` for what a case has, `case_text.py`, which writes it, and
`trial.py`, which tries it. Values of secret parameters are not part of a case.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio

from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.outside import ThisMachine, World
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import Question, Reply
from samovar.actions.reached import FileState, Servers, VisitOf
from samovar.errors import SamovarError, UsageError
from samovar.events import Ending, Event, Logged, OnEvent, StateEntered
from samovar.executors.base import Connection, Executor, OnPromptEvent, PromptReply, PromptRequest, forget
from samovar.language.item_paths import by_items
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.run import Run
from samovar.testing.asked import AskedCommand
from samovar.testing.case_text import add_case, with_case
from samovar.testing.difference import Difference
from samovar.testing.heard_servers import HeardServers
from samovar.testing.paths import Tree
from samovar.testing.recorded_values import (
    ENDLESS,
    Heard,
    answer_values,
    asks_confidence,
    changed_values,
    command_values,
    given_values,
    left_values,
    reply_value,
    wanted_command,
    wanted_error,
)
from samovar.testing.told_files import SeenFiles
from samovar.testing.trial import run_case

T = TypeVar("T")


class Recording:
    """What a run gets from outside, kept as it comes.

    A `World`, a listener, and a maker of executors. Mutable: what it has got so far.
    """

    name = "recording"

    def __init__(self, executor: Executor, on_event: OnEvent, outside: World | None = None) -> None:
        """All that is asked continues to these."""
        self._executor, self._on_event, self._outside = executor, on_event, outside or ThisMachine()
        self.clock = self._outside.clock
        self._paths: dict[int, str] = {}
        """By visit."""
        self._answers: Heard[PromptReply | SamovarError | None] = Heard()
        """None: it did not come, since the run or a limit ended first."""
        self._shell: Heard[object] = Heard()
        """As a case has it."""
        self._waits: Heard[object] = Heard()
        """As a case has it."""
        self._replies: Heard[object] = Heard()
        """As a case has it."""
        self._tools: Heard[object] = Heard()
        """As a case has it."""
        self._files = SeenFiles()
        self._ran: Heard[Command] = Heard()
        self._log: list[object] = []
        """Its lines, as a case has them."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, StateEntered):
            self._paths[event.visit] = event.path
        elif isinstance(event, Logged):
            self._log.append(event.text if event.level == "info" else {event.level: event.text})
        self._on_event(event)

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[_RecordingConnection]:
        async with self._executor.open(run) as connection:
            yield _RecordingConnection(connection, self._answers)

    def in_place_of(self, servers: Servers) -> Servers:
        return HeardServers(self._outside.in_place_of(servers), self._tools)

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        self._ran.begin(at.number, command)
        told = self._shell.begin(at.number, ENDLESS)  # until it ends
        try:
            finished = await self._outside.run_command(command, at)
        except SamovarError as error:
            told({"error": error.code, "message": error.message})
            raise
        told(command_values(finished))
        return finished

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        await self._outside.sleep(duration_s, at)

    async def ask_user(self, question: Question) -> Reply | None:
        if question.is_from_server:  # of which a case has nothing: it tells what the server gave back
            return await self._outside.ask_user(question)
        if question.kind != "go_on":
            told = self._replies.begin(question.visit, ENDLESS)  # until it is answered
            reply = await self._outside.ask_user(question)
            told(reply_value(question, reply))
        else:
            reply = await self._outside.ask_user(question)
            self._waits.begin(question.visit, reply_value(question, reply))
        return reply

    def answered(self, question: Question, reply: Reply) -> None:
        self._outside.answered(question, reply)
        kept = self._waits if question.kind == "go_on" else self._replies
        kept.begin(question.visit, reply_value(question, reply))

    async def end(self, run: str) -> None:
        await self._outside.end(run)

    async def read_file(self, target: Target, most_bytes: int, at: VisitOf) -> bytes:
        raw = await self._outside.read_file(target, most_bytes, at)
        self._files.read(target, raw)
        return raw

    async def write_file(self, target: Target, change: Change, at: VisitOf) -> None:
        await self._outside.write_file(target, self._files.watched(target, change), at)

    async def find_files(self, search: Search, at: VisitOf) -> list[str]:
        paths = await self._outside.find_files(search, at)
        self._files.found(search, paths)
        return paths

    def state_of(self, file: Path) -> FileState | None:
        return self._outside.state_of(file)

    def read_text(self, file: Path) -> str:
        return self._outside.read_text(file)

    def delete(self, file: Path) -> None:
        self._outside.delete(file)

    def values(
        self,
        tree: Tree,
        variables: Mapping[str, object],
        run: Run,
        *,
        folder: Path | None = None,
        limits: Mapping[str, object] | None = None,
    ) -> dict[str, object]:
        """The values of a case.

        `variables` are those that the run began with, `limits` what it was given of a case's limits, and
        `folder` the one in which it was started; None: the current one.
        """
        started = folder or Path.cwd()
        counts = any(workflow.limits.tokens is not None for workflow in tree.workflows())
        is_asked = any(asks_confidence(workflow) for workflow in tree.workflows())
        secrets = {name for workflow in tree.workflows() for name in workflow.secret_names}
        values: dict[str, object] = {
            "variables": given_values(tree, variables, secrets),
            "answers": self._by_path(
                self._answers, lambda told: answer_values(told, counts=counts, is_asked=is_asked)
            ),
            "commands": self._by_path(self._shell),
            "waits": self._by_path(self._waits),
            "replies": self._by_path(self._replies),
            "tools": self._by_path(self._tools),
            "files": self._files.given(started),
            "limits": dict(limits or {}),
        }
        values = {name: value for name, value in values.items() if value}
        expected: dict[str, object] = {
            "ending": str(run.ending),
            "error": wanted_error(run),
            "path": [visit.path for visit in run.visits],
            "variables": left_values(changed_values(run.variables, variables), secrets, run.hidden),
            "commands": self._by_path(
                self._ran, lambda one: wanted_command(AskedCommand(command=one, folder=started))
            ),
            "files": self._files.left(started),
        }
        values["expect"] = {key: value for key, value in expected.items() if value} | {"log": self._log}
        return run.hidden.copy(values)

    def _by_path(
        self, heard: Heard[T], as_told: Callable[[T], object] = lambda one: one
    ) -> dict[str, object]:
        by_path: dict[str, list[object]] = {}
        for visit, told in heard.by_visit():
            by_path.setdefault(self._paths[visit], []).extend(map(as_told, told))
        return {path: found[0] if len(found) == 1 else found for path, found in by_items(by_path).items()}


class _RecordingConnection:
    """See `executors.base.Connection`. Mutable: `answers`."""

    def __init__(self, connection: Connection, answers: Heard[PromptReply | SamovarError | None]) -> None:
        self._connection, self._answers = connection, answers

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        if request.is_from_server:
            return await self._connection.ask(request, on_event)
        told = self._answers.begin(request.visit, None)
        try:
            reply = await self._connection.ask(request, on_event)
        except SamovarError as error:
            told(error)
            raise
        told(reply)
        return reply

    async def forget(self, session: str) -> None:
        await forget(self._connection, session)


def check_record(path: Path, workflow: Workflow) -> None:
    """Whether a case of the workflow can be added to a file, before anything is run.

    Raises `UsageError`, or `FaultsError` for mistakes in the file.
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
    """Adds a case to a file after it was tried. Gives warnings about it, in sentences.

    Variables that come out otherwise when the case is run, as with the time of day, are left out.
    Raises as `add_case`.
    """
    doubts: list[str] = []
    workflow = _path_of(tree.workflow)

    def differences() -> list[Difference]:
        _, case = with_case(path, workflow, values)

        async def run() -> list[Difference]:
            return list((await run_case(case, tree, library, lenient=lenient)).differences)

        return anyio.run(run)

    found = differences()
    if changing := _left_out(values, found):
        doubts.append(f"Not recorded, since another run gives a different result: {', '.join(changing)}.")
        found = differences()
    doubts += [f"The case does not pass as it is: {one.message.splitlines()[0]}" for one in found]
    add_case(path, workflow, values)
    return doubts


def _left_out(values: dict[str, object], found: Iterable[Difference]) -> list[str]:
    """Takes out of what is expected what comes otherwise each time, as the time of day. Gives its names."""
    expected = dict(values["expect"])  # type: ignore[call-overload]
    changing: list[str] = []
    for one in found:
        key = {"variable": "variables", "command": "commands", "log": "log"}.get(one.what)
        if key is None:
            continue
        if key == "log":
            name = "the log"
            expected.pop("log", None)
        else:
            name = one.name or ""
            expected[key] = {other: value for other, value in expected[key].items() if other != name}
            name = name if key == "variables" else f"the command of {name}"
        if name not in changing:
            changing.append(name)
    values["expect"] = {key: value for key, value in expected.items() if value or key in ("log", "variables")}
    return changing


def _path_of(workflow: Workflow) -> Path:
    if workflow.path is None:
        raise UsageError("Only a workflow read from a file can be recorded.")
    return workflow.path


def can_be_recorded(run: Run) -> bool:
    """A run that was cancelled reached no ending of its own."""
    return run.ending is not None and run.ending is not Ending.CANCELLED
