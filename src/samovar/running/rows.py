"""Runs one workflow for many rows: a run for each, several at once, on the models that are loaded once.

Above: the command line, the Python API. Below: the runner, the journal's contract. As many tasks as rows are
worked on together take one row after the other from an iterator, so that what is held does not grow with the
rows. In a journal each row is a run of its own: what another start of the same has done is taken from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import anyio
from anyio.lowlevel import checkpoint

from samovar.errors import JournalError
from samovar.events import Ending, RunError
from samovar.journal.base import Journal, RunOrigin, RunStatus
from samovar.journal.row_key import KeptRow, RowKey
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner
from samovar.running.uncertain import undecided

MOST_LATER = 1000
"""Rows that are put off because somebody else does them; with more, they are waited for first."""
LOOK_S = 0.5
"""How long until it is looked again at a row that another process does."""
_TAKEN = frozenset(("row-taken", "driven", "lease-lost"))
"""Codes of errors that say that another run does the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTask:
    """A row that is to be run."""

    index: int
    """In its file, from 0."""
    where: str
    """Its file and line, for people."""
    prepared: Prepared
    key: RowKey | None = None
    """What it is known by in the journal; None: it is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDone:
    """What came of a row."""

    task: RowTask
    run: Run | None = None
    """Its run, in this process; None: it is as the journal has it."""
    kept: KeptRow | None = None
    """As an earlier run of it ended; None: it was run now."""
    error: RunError | None = None
    """Why it did not complete; None: it did."""

    @property
    def ending(self) -> str:
        """One of `Ending`, or how the journal has it."""
        if self.run is not None:
            return str(self.run.ending)
        return str(self.kept.status) if self.kept else str(Ending.FAILED)

    @property
    def is_undecided(self) -> bool:
        """It was interrupted or asks something, and a person must say how it goes on."""
        return self.error is not None and self.ending in (RunStatus.INTERRUPTED, RunStatus.WAITING)

    @property
    def id(self) -> str:
        """Of its run."""
        return self.run.id if self.run else self.kept.run if self.kept else ""


MakeRunner = Callable[[Keeping | None], Runner]
"""A runner for one row. Only how it is kept differs from row to row."""
OnRow = Callable[[RowDone], None]


@dataclass(slots=True, kw_only=True)
class RowsRunner:
    """Runs rows. For one file. Mutable: what runs now, and what is put off."""

    make_runner: MakeRunner
    on_done: OnRow
    """Told of each row once it is over, in the order in which they end."""
    at_once: int
    keeping: Keeping | None = None
    """Where the rows are kept; None: nowhere."""
    retries_failed: bool = False
    """Rows whose last run did not complete are run again."""
    behind_resume: str = ""
    """What a command that continues one of the runs has behind its id, as for the journal."""
    is_stopped: bool = field(default=False, init=False)
    _running: set[Runner] = field(default_factory=set, init=False)
    _here: dict[str, anyio.Event] = field(default_factory=dict, init=False)
    """Rows that this process does now, by key: an equal one waits for it."""
    _later: deque[RowTask] = field(default_factory=deque, init=False)
    _stops: list[BaseException] = field(default_factory=list, init=False)

    def stop(self) -> None:
        """No further row begins, and those that run are cancelled. They continue another time."""
        self.is_stopped = True
        for runner in self._running:
            runner.stop()

    async def run(self, rows: Iterator[RowTask]) -> None:
        """Runs all rows. What is wrong with one is told of it; anything else ends them all and is raised."""
        async with anyio.create_task_group() as tasks:

            async def work() -> None:
                try:
                    await self._work(rows)
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as stop:  # handed on: it is raised when the others have ended
                    self._stops.append(stop)
                    tasks.cancel_scope.cancel()

            for number in range(self.at_once):
                tasks.start_soon(work, name=f"rows ({number})")
        if self._stops:
            raise self._stops[0]

    async def _work(self, rows: Iterator[RowTask]) -> None:
        while not self.is_stopped:
            if len(self._later) < MOST_LATER and (task := next(rows, None)) is not None:
                if not await self._one(task):
                    self._later.append(task)
            elif self._later:
                task = self._later.popleft()
                if not await self._one(task):
                    self._later.append(task)
                    await anyio.sleep(LOOK_S)
            else:
                return
            await checkpoint()

    async def _one(self, task: RowTask) -> bool:
        """Does a row, or takes what was done. False: somebody else does it, and it is not over."""
        keeping, key = self.keeping, task.key
        if keeping is None or key is None:
            return await self._run(task, keeping)
        while (here := self._here.get(key.work)) is not None:
            await here.wait()
        self._here[key.work] = over = anyio.Event()
        try:
            return await self._kept(task, keeping, key)
        finally:
            del self._here[key.work]
            over.set()

    async def _kept(self, task: RowTask, keeping: Keeping, key: RowKey) -> bool:
        kept = await keeping.journal.of_row(key)
        if kept is None or (kept.status.is_over and self._is_again(kept)):
            return await self._begin(task, keeping, key)
        if kept.status.is_over:
            self.on_done(RowDone(task=task, kept=kept, error=_error_of(kept)))
            return True
        if kept.status is RunStatus.RUNNING:
            return False
        head = keeping.journal.head(kept.run)
        if (error := self._undecided(keeping.journal, kept.run)) is not None:
            self.on_done(RowDone(task=task, kept=kept, error=error))
            return True
        return await self._run(task, replace(keeping, row=key, goes_on=head, origin=None))

    async def _begin(self, task: RowTask, keeping: Keeping, key: RowKey) -> bool:
        """A new run of the row. What of an earlier one would be done with the same is taken from that."""
        earlier, origin = await keeping.journal.before_row(key), None
        if earlier is not None and earlier.status is not RunStatus.RUNNING:
            if (error := self._undecided(keeping.journal, earlier.run)) is not None:
                self.on_done(RowDone(task=task, kept=earlier, error=error))
                return True
            origin = RunOrigin(run=earlier.run)
        return await self._run(task, replace(keeping, row=key, goes_on=None, origin=origin))

    def _is_again(self, kept: KeptRow) -> bool:
        return self.retries_failed and kept.status is not RunStatus.COMPLETED

    def _undecided(self, journal: Journal, run: str) -> RunError | None:
        """Why a row that was interrupted cannot simply continue."""
        visits = undecided(journal.visits(run))
        if not visits:
            return None
        names = ", ".join(str(one.intent.key) for one in visits[:5])
        message = (
            f"It was interrupted in {names}, and it is unknown whether that was done. Check it, then "
            f"`samovar resume {run}{self.behind_resume}` with --redo, --skip or --fail."
        )
        return RunError(code=str(RunStatus.INTERRUPTED), message=message)

    async def _run(self, task: RowTask, keeping: Keeping | None) -> bool:
        runner = self.make_runner(keeping)
        self._running.add(runner)
        try:
            run = await runner.run(task.prepared)
        finally:
            self._running.discard(runner)
        error = run.error
        if run.ending is Ending.CANCELLED or (error is not None and error.code in _TAKEN):
            return self.is_stopped
        if error is not None and error.code == JournalError.code:
            raise JournalError(error.message)
        if run.ending is not Ending.COMPLETED and error is None:
            error = RunError(code=str(run.ending), message=f"The run was {run.ending}.")
        self.on_done(RowDone(task=task, run=run, error=error))
        return True


def _error_of(kept: KeptRow) -> RunError | None:
    if kept.status is RunStatus.COMPLETED:
        return None
    return RunError(code=str(kept.status), message=kept.message or f"The run was {kept.status}.")
