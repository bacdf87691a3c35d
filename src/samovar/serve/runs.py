"""Runs exposed workflows for other programs: begins them, leaves them waiting, takes them up again.

Above: `mcp_server.py`, `workflow_models.py`. Below: `preflight/`, the runner, the journal. A run that asks is
left waiting in the journal, so that nobody holds anything while a person thinks, and any process may go on
with it, also when this one has ended. What a run may do is decided by the user's trust alone.
"""

from __future__ import annotations

import json
import logging
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.to_thread

from samovar.actions.outside import ThisMachine
from samovar.app import App, surroundings
from samovar.errors import NotFoundError, SamovarError, UntrustedError, UsageError
from samovar.events import Ending, OnEvent, RunError
from samovar.generation import TokenCounts
from samovar.journal.base import Journal, RunHead, RunStatus, RunSummary
from samovar.journal.people import KeptQuestion
from samovar.language.tool_schemas import OWN_TOOLS, TOOL_NAME, tool_name
from samovar.language.workflow import Workflow
from samovar.memory import resident_bytes
from samovar.preflight.prepare import prepare
from samovar.running.keeping import FROM_PROGRAM, Keeping, digests, sources
from samovar.running.prepared import Prepared
from samovar.running.runner import Runner, RunnerSettings
from samovar.running.uncertain import undecided
from samovar.serve.arguments import arguments_of

MOST_AT_ONCE = 16
"""Runs that are driven together; others wait."""
MOST_EFFECTS_CHARS = 2_000
"""Shown of what an untrusted workflow would do."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRun:
    """A run that nobody drives here, or nobody any more."""

    id: str
    ending: Ending
    result: object = None
    """What it gave, without secrets; None if it did not complete."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    """Of all its prompts."""
    error: RunError | None = None
    questions: tuple[KeptQuestion, ...] = ()
    """Those without an answer, the oldest first."""


class WorkflowRuns:
    """The exposed workflows of a folder, and their runs. Mutable: how many are driven now."""

    def __init__(self, app: App, journal: Journal | None, folder: Path, *, needs_models: bool = True) -> None:
        """`journal`: None if runs are not kept: nobody can answer their questions then."""
        self.app, self._journal, self.folder = app, journal, folder
        self._needs_models = needs_models
        self._limit = anyio.CapacityLimiter(MOST_AT_ONCE)
        self.machine = ThisMachine()
        """What all of them reach beside the executor."""

    # What there is ------------------------------------------------------------------------------------

    def exposed(self) -> dict[str, Workflow]:
        """The workflows that may be used as tools, by the name of the tool."""
        found: dict[str, Workflow] = {}
        for entry in self.app.library.workflows():
            name = tool_name(entry.name)
            if not entry.is_exposed or not TOOL_NAME.fullmatch(name) or name in OWN_TOOLS:
                continue
            if name in found:
                log.warning("%s is not offered: %s has its name.", entry.path, found[name].path)
                continue
            found[name] = self.app.library.workflow(entry.name)
        return found

    # Driving ------------------------------------------------------------------------------------------

    async def begin(self, workflow: Workflow, given: Mapping[str, object], on_event: OnEvent) -> ServedRun:
        """Runs a workflow until it ends, or waits for a person.

        Raises `UsageError` for arguments, `UntrustedError`, and whatever keeps it from being run.
        """

        def ready() -> tuple[Prepared, Keeping | None]:
            values = arguments_of(workflow, given, self.folder)
            prepared = self._prepared(workflow, values)
            return prepared, self._keeping(prepared.workflow, tuple(values))

        return await self._drive(ready, on_event)

    async def go_on(self, run: str, on_event: OnEvent) -> ServedRun:
        """Goes on with a run until it ends, or waits for a person; one that is over is told as it ended.

        Raises `NotFoundError`, `LeaseError` while another process drives it, and `UsageError` if it cannot
        continue.
        """
        found = await anyio.to_thread.run_sync(self.summary, run)
        if found.status.is_over:
            return await anyio.to_thread.run_sync(self._ended, found)
        return await self._drive(lambda: self._taken_up(found), on_event)

    async def _drive(
        self, ready: Callable[[], tuple[Prepared, Keeping | None]], on_event: OnEvent
    ) -> ServedRun:
        async with self._limit:
            prepared, keeping = await anyio.to_thread.run_sync(ready)
            settings = replace(self._settings(), keeping=keeping)
            runner = Runner(self.app.library, self.app.executor, on_event=on_event, settings=settings)
            record = await runner.run(prepared)
        assert record.ending is not None
        questions: tuple[KeptQuestion, ...] = ()
        if record.ending is Ending.WAITING:
            questions = tuple(await anyio.to_thread.run_sync(self.questions, record.id))
        return ServedRun(
            id=record.id,
            ending=record.ending,
            result=record.hidden.copy_value(record.result),
            tokens=record.tokens,
            error=record.error,
            questions=questions,
        )

    def _settings(self) -> RunnerSettings:
        settings = self.app.settings
        return RunnerSettings(
            settings=settings,
            folder=self.folder,
            surroundings=surroundings(settings, self.folder),
            waits=True,
            from_program=True,
            outside=self.machine,
        )

    def _prepared(self, workflow: Workflow, given: Mapping[str, object]) -> Prepared:
        shown: list[str] = []

        def allow(doing: str) -> bool:
            shown.append(doing)
            return False  # nobody is asked: only the user trusts, at a terminal

        try:
            return prepare(
                workflow,
                given,
                self.app.library,
                self.app.settings,
                self._settings(),
                is_named=True,
                needs_models=self._needs_models,
                budget=self.app.pool.budget_bytes,
                allow=allow,
            )
        except UntrustedError as error:
            if not shown:
                raise
            raise UntrustedError(
                f"{shown[0][:MOST_EFFECTS_CHARS]}\nNothing was run. Only the user can allow it, who reads it "
                "first: `samovar trust` and that folder, in a terminal."
            ) from error

    # Keeping ------------------------------------------------------------------------------------------

    def _keeping(self, workflow: Workflow, given: tuple[str, ...]) -> Keeping | None:
        journal, settings = self._journal, self.app.settings
        if journal is None:
            return None
        return Keeping(
            journal=journal,
            options={"workflow": workflow.name, "settings": {"wait": True}, FROM_PROGRAM: True},
            digests=digests(workflow, self.app.library),
            sources=sources(workflow, self.app.library),
            folder=self.folder,
            given=given,
            is_outline=settings.journal == "outline",
            lose=lambda error: log.warning("A run is not kept: %s", error),
            resident_bytes=resident_bytes,
        )

    def _taken_up(self, found: RunSummary) -> tuple[Prepared, Keeping]:
        """What is needed to go on with a run. Raises `UsageError` if it cannot."""
        head, journal = self._head(found.id), self._kept()
        workflow = next((one for one in self.exposed().values() if one.name == head.workflow), None)
        if workflow is None:
            raise UsageError(f"The workflow {head.workflow!r} of run {head.id} is not exposed any more.")
        if not _is_same(head.folder, self.folder):
            raise UsageError(
                f"Run {head.id} was begun in {head.folder}. Go on with it there: `samovar resume {head.id}`."
            )
        changed = [
            path
            for path, digest in digests(workflow, self.app.library).items()
            if head.digests.get(path) != digest
        ]
        if changed:
            raise UsageError(
                f"{', '.join(changed)} has changed since run {head.id} began. Begin again, or restore it."
            )
        if visits := undecided(journal.visits(head.id)):
            raise UsageError(
                f"Run {head.id} was interrupted in {visits[0].intent.key}, and nobody knows whether that was "
                f"done. The user decides: `samovar resume {head.id}` in a terminal."
            )
        names = head.variables if head.given is None else head.given
        given = {name: head.variables[name] for name in names if name in head.variables}
        prepared = self._prepared(workflow, given)
        for name in head.secrets:
            value = prepared.variables.get(name)
            if value is None or not journal.is_proved(head.proofs.get(name, ""), name, value):
                raise UsageError(
                    f"The secret {name!r} of run {head.id} is not in the environment as it was when it began."
                )
        keeping = Keeping(journal=journal, goes_on=head, resident_bytes=resident_bytes)
        return prepared, keeping

    def _kept(self) -> Journal:
        if self._journal is None:
            raise UsageError("Runs are not kept here (the setting `journal`).")
        return self._journal

    def _head(self, run: str) -> RunHead:
        """Of a run that a program began. Raises `NotFoundError` for any other."""
        head = self._kept().head(run)
        if head.options.get(FROM_PROGRAM) is not True:
            raise NotFoundError("run", run)
        return head

    def _ended(self, found: RunSummary) -> ServedRun:
        ending = self._kept().ending(found.id)
        result = json.loads(ending.result) if ending and ending.result is not None else None
        is_completed = found.status is RunStatus.COMPLETED
        error = None if is_completed else RunError(code=str(found.status), message=found.message)
        how = Ending.FAILED if found.status is RunStatus.UNKEPT else Ending(str(found.status))
        result = result if is_completed else None
        return ServedRun(id=found.id, ending=how, result=result, tokens=found.tokens, error=error)

    # What people and programs do about runs; these block ------------------------------------------------

    def summary(self, run: str) -> RunSummary:
        """A run that a program began. Raises `NotFoundError` for any other, `UsageError`."""
        return self._kept().summary(self._head(run).id)

    def newest(self, most: int) -> list[RunSummary]:
        """The runs that programs began, the newest first."""
        found: list[RunSummary] = []
        for one in self._kept().runs(most=most * 20):
            try:
                found.append(self.summary(one.id))
            except SamovarError:  # another door's, or gone
                continue
            if len(found) == most:
                break
        return found

    def result(self, found: RunSummary) -> ServedRun | None:
        """How a run has ended; None if it has not."""
        return self._ended(found) if found.status.is_over else None

    def questions(self, run: str) -> Sequence[KeptQuestion]:
        """Those without an answer, and for which it is not too late, the oldest first."""
        now_s = time.time()
        return [one for one in self._kept().people.questions(run) if not one.is_late(now_s)]

    def command_for(self, question: KeptQuestion) -> str:
        """What the user answers a question with, in a terminal."""
        file = self.app.settings.journal_file
        where = "" if file is None else f" --journal {shlex.quote(str(file))}"
        return f"samovar answer {question.run} --question {question.number}{where}"

    def answer(self, question: KeptQuestion, text: str) -> bool:
        """Keeps the answer; False if the question has one by now."""
        return self._kept().people.answer(question, text)

    def cancel(self, run: str) -> bool:
        """Wants a run to end, and gives whether it is over. Raises `NotFoundError`."""
        return self._kept().people.cancel(self._head(run).id)


def _is_same(one: str, other: Path) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False
