"""The contract of a journal, in plain values: runs, their visits, and who drives a run.

Above: the runner and the doors. Below: the events. A run is kept by its visits: each is written before its
action is performed (the intent) and after it has ended (the outcome). A run that continues is driven again
from its first state, and takes the outcome of each visit that has one, so that nothing of it is done twice.

What holds for every journal:

- A visit is named by its key, which does not depend on the order in which branches and items reach it.
- `intend` returns when the intent is kept; that of a visit that may not be repeated survives a loss of power.
- `leave` returns when the outcome is kept: a process killed after it loses nothing of the visit.
- One process drives a run at a time: the one that holds the run's lease. A lease that was not renewed until
  `until_s` may be taken by another. A write under a lease that was lost raises `LeaseLostError`, and changes
  nothing. Nothing but the lease decides this, and no start of a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from samovar.events import NOTHING, PromptFigures, RunError
from samovar.generation import Message, TokenCounts
from samovar.journal.row_key import KeptRow, RowKey
from samovar.journal.run_status import RunStatus as RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitKey:
    """Names one visit within its run, the same in whatever order branches and items come."""

    path: str
    """Path of the state, with its sub-workflows and items: `Build/Each[3]/Ask`."""
    line: str = ""
    """The branches around it, the outermost first, as `Left/Inner`; empty outside of forks."""
    nth: int = 1
    """Which visit of that state on that line, from 1."""

    def __str__(self) -> str:
        branch = f" in branch {self.line}" if self.line else ""
        times = f" (visit {self.nth})" if self.nth > 1 else ""
        return f"{self.path}{branch}{times}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A visit that begins."""

    key: VisitKey
    number: int
    """In the run, from 1, in the order in which they began. The journal counts on from process to process."""
    verb: str | None
    """Verb of its action; None: it passes through."""
    entered_at: float
    """Seconds since 1970: what the visit counts as now, also when it is performed again."""
    is_repeatable: bool
    """It may be performed again if nobody knows whether it was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request of a prompt and what was answered, so that a conversation can be reported again."""

    session: str | None
    fork: str | None
    messages: tuple[Message, ...]
    answer: Message | None
    """None if there was none."""
    model: str = ""
    """The reference of the model that answered."""
    executor: str = ""
    """The name of the one that answered; empty if it is not told."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    duration_s: float = 0.0
    """From the request to the last token, waiting and loading included."""
    first_token_s: float | None = None
    """From the request to the first token; None when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadWait:
    """A visit waited for a model that was loaded meanwhile."""

    model: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitOutcome:
    """How a visit ended: all that the run needs to continue from it. Values are without loss."""

    value: object = NOTHING
    is_new: bool = True
    sets: Mapping[str, object] = field(default_factory=dict)
    error: RunError | None = None
    abort: str | None = None
    figures: PromptFigures | None = None
    answer: tuple[str, bool] | None = None
    """The text, and whether it was picked among choices."""
    what: str = ""
    left_at: float = 0.0
    """Seconds since 1970."""
    duration_s: float = 0.0
    exchanges: tuple[Exchange, ...] = ()
    spent: TokenCounts = field(default_factory=TokenCounts)
    """By attempts that failed, besides what is in `figures`."""
    is_concealed: bool = False
    """There are references in place of secrets, and marks are escaped."""
    inputs: str = ""
    """Digest of what it was performed with: what a model, a command or a person was asked, and how. Empty:
    it is performed again whenever another run wants to know."""
    stamp: str = ""
    """Names the one time that it was performed, in whatever run that was."""
    after: tuple[str, str] = ("", "")
    """Names of all that was done before it and by it: outside of the run, and at all."""
    origin: str | None = None
    """The run that it was taken from, which paid for it; None: it was performed in this run."""
    memory_bytes: int | None = None
    """Resident bytes of the process when it ended; None: not measured."""
    loads: tuple[LoadWait, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStep:
    """A transition that was taken."""

    source: VisitKey
    """The visit that it leaves."""
    target: str | None
    """Path of the state that it leads to; None: the end."""
    label: str
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEnd:
    """What a run ended with."""

    variables: Mapping[str, object]
    is_concealed: bool = False
    """As in `VisitOutcome`."""
    result: str | None = None
    """Of a row that completed: what it was for, as JSON, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptVisit:
    """A visit as it is in the journal."""

    intent: Intent
    outcome: VisitOutcome | None
    """None: it was begun, and nobody knows how far it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrigin:
    """The earlier run that a run takes outcomes from."""

    run: str
    """Its id."""
    at: VisitKey | None = None
    """The visit from which on all is done again; None: whatever was performed with something else."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """What variables are at that visit in place of what they were."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """By name, the texts of prompts in place of those of the library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What a run begins with: enough to drive it again in another process."""

    id: str
    workflow: str
    """Its name."""
    path: Path | None
    """Its file."""
    folder: str
    """Where it was started, whole."""
    started_at: float
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of the texts of the workflow and of all it runs, by file."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """What it begins with, typed; a secret is not among them."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The texts of the workflow and of all it runs, by file, as they were when it began."""
    secrets: tuple[str, ...] = ()
    """The names of the secret variables that had a value, which has to be given again."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the door was reported, by the names of `RunnerSettings`; only what JSON has."""
    row: RowKey | None = None
    """The row that it is for; None: it is for no row."""
    given: tuple[str, ...] | None = None
    """The variables that somebody gave, the others being defaults; None: that is not known."""
    origin: RunOrigin | None = None
    """Where it takes outcomes from; None: it performs everything itself."""
    is_outline: bool = False
    """Only states, times, tokens and endings are kept: it can be listed, and cannot continue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A line of a list of runs."""

    id: str
    workflow: str
    path: Path | None
    folder: str
    status: RunStatus
    started_at: float
    touched_at: float
    """When something was last written of it; seconds since 1970."""
    ended_at: float | None
    visits: int
    tokens: TokenCounts
    owner: str
    """The process that drives it, in words; empty if none does."""
    until_s: float
    """When its lease ends, in seconds since 1970; 0 if nobody has one."""
    message: str
    """Why it did not complete, or what it waits for; empty otherwise."""
    origin: str | None = None
    """The run that it takes outcomes from."""


class KeptRun(Protocol):
    """One run that this process drives: it holds the lease until it is closed."""

    head: RunHead

    def recall(self, key: VisitKey) -> KeptVisit | None:
        """What the journal had of a visit when the run was opened."""
        ...

    @property
    def kept(self) -> Sequence[KeptVisit]:
        """All visits that the journal had when the run was opened, in the order in which they began."""
        ...

    async def intend(self, intent: Intent) -> None:
        """A visit begins, or begins again. Raises `JournalError`."""
        ...

    async def leave(self, key: VisitKey, outcome: VisitOutcome) -> None:
        """A visit has ended. Raises `JournalError`."""
        ...

    async def step(self, step: KeptStep) -> None:
        """A transition was taken. It is kept with what is written next. Raises `JournalError`."""
        ...

    async def end(self, status: RunStatus, message: str = "", ending: KeptEnd | None = None) -> None:
        """The run is over, or waits. Raises `JournalError`."""
        ...

    def key(self) -> bytes:
        """For digests of what has a secret in it; it is not in the journal itself. Raises `JournalError`."""
        ...

    async def abandon(self, message: str) -> None:
        """The run goes on without being kept: what it does from here on nobody will know.

        Returns once that is kept, as `RunStatus.UNKEPT`. Raises `JournalError` if not even that can be.
        """
        ...


class Journal(Protocol):
    """A place where runs are kept."""

    def begin(self, head: RunHead) -> AbstractAsyncContextManager[KeptRun]:
        """A new run. Leaving it gives the lease back: without `end`, the run counts as interrupted.

        Raises `RowTakenError` if it is for a row that another run has completed, or may still.
        """
        ...

    def reopen(self, run: str) -> AbstractAsyncContextManager[KeptRun]:
        """A run that continues. Raises `NotFoundError`, and `LeaseError` while another process drives it."""
        ...

    async def of_row(self, key: RowKey) -> KeptRow | None:
        """The last run that began for a row; None if none did. Raises `JournalError`."""
        ...

    async def before_row(self, key: RowKey) -> KeptRow | None:
        """The last run that completed what a row is about, also for another text of the workflow.

        If none did, the last that began; None if none did.
        """
        ...

    def runs(self, *, most: int | None = None) -> Iterator[RunSummary]:
        """The newest first."""
        ...

    def summary(self, run: str) -> RunSummary:
        """A run as a list has it. Raises `NotFoundError`."""
        ...

    def newest(self, workflow: Path) -> RunSummary | None:
        """The run of that file that began last."""
        ...

    def head(self, run: str) -> RunHead:
        """What a run began with. Raises `NotFoundError`."""
        ...

    def visits(self, run: str) -> Iterator[KeptVisit]:
        """All visits of a run so far, in the order in which they began. Raises `NotFoundError`."""
        ...

    def steps(self, run: str) -> Iterator[KeptStep]:
        """The transitions of a run so far, in the order in which they were taken. Raises `NotFoundError`."""
        ...

    def ending(self, run: str) -> KeptEnd | None:
        """What a run ended with; None: it has not. Raises `NotFoundError`."""
        ...

    def remove(self, runs: Sequence[str]) -> Sequence[str]:
        """Removes runs and what only they have. Gives those removed: one that is driven or waits stays."""
        ...
