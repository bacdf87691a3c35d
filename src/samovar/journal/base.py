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

from samovar.generation import Begun, TokenCounts
from samovar.journal.people import AskedPeople, People
from samovar.journal.row_key import KeptRow, RowKey
from samovar.journal.run_status import RunStatus as RunStatus
from samovar.journal.visit_parts import Charges as Charges
from samovar.journal.visit_parts import Exchange as Exchange
from samovar.journal.visit_parts import ForkEnds as ForkEnds
from samovar.journal.visit_parts import Intent as Intent
from samovar.journal.visit_parts import KeptEnd as KeptEnd
from samovar.journal.visit_parts import KeptStep as KeptStep
from samovar.journal.visit_parts import KeptVisit as KeptVisit
from samovar.journal.visit_parts import LoadWait as LoadWait
from samovar.journal.visit_parts import Performed as Performed
from samovar.journal.visit_parts import VisitKey as VisitKey
from samovar.journal.visit_parts import VisitOutcome as VisitOutcome


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
    proofs: Mapping[str, str] = field(default_factory=dict)
    """By name, a keyed hash of each of them, which tells it from another value."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the door was reported, by the names of `RunnerSettings`; only what JSON has."""
    row: RowKey | None = None
    """The row that it is for; None: it is for no row."""
    given: tuple[str, ...] | None = None
    """The variables that somebody gave, the others being defaults; None: that is not known."""
    origin: RunOrigin | None = None
    """Where it takes outcomes from; None: it performs everything itself."""
    is_outline: bool = False
    """Only states, times, tokens and endings are kept, whatever is given to the journal: the run can be
    listed, and cannot continue."""


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
    driven_s: float
    """How long it was driven before it was opened; the time in which nobody did does not count."""

    @property
    def asked(self) -> AskedPeople:
        """Its questions."""
        ...

    def recall(self, key: VisitKey) -> KeptVisit | None:
        """What the journal had of a visit when the run was opened, unless it was for a cancellation."""
        ...

    @property
    def kept(self) -> Sequence[KeptVisit]:
        """All visits that the journal had when the run was opened, in the order in which they began."""
        ...

    async def intend(self, intent: Intent) -> None:
        """A visit begins, or begins again. Raises `JournalError`."""
        ...

    async def leave(self, key: VisitKey, outcome: VisitOutcome, *, within: str | None = None) -> None:
        """A visit has ended. `within`: what the paths of the visits that it is made of begin with, before a
        `/` or `[`; those that have not ended are given up. Raises `JournalError`.
        """
        ...

    def begun(self, key: VisitKey) -> Sequence[Begun]:
        """What the journal had of a visit's answers in progress when the run was opened, in the order of its
        prompts."""
        ...

    def keep_begun(self, key: VisitKey, prompt: int, begun: Begun) -> None:
        """There is so much of the answer to one of a visit's prompts, counted from 1. Does not wait; if it
        cannot be kept, nothing is lost but the time that it took. It is gone once the visit has ended."""
        ...

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        """How the branches that began with a visit had ended when the run was opened, if that was kept."""
        ...

    async def decide(self, fork: ForkEnds) -> None:
        """A fork is over, and what did not end in its lost branches is given up. Raises `JournalError`."""
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

    @property
    def people(self) -> People:
        """What any process may do about the runs, whoever drives them."""
        ...

    def proof(self, name: str, value: object) -> str:
        """A keyed hash of a secret, to tell it from another one. Raises `JournalError`."""
        ...

    def is_proved(self, proof: str, name: str, value: object) -> bool:
        """Whether a secret is the one of that hash. Raises `JournalError` if the key is gone."""
        ...

    def begin(self, head: RunHead) -> AbstractAsyncContextManager[KeptRun]:
        """A new run. Leaving it gives the lease back: without `end`, the run counts as interrupted.

        Raises `RowTakenError` if it is for a row that another run has completed, or may still.

        If somebody wants the run to end, what is within is cancelled, the run is over as cancelled, and
        `CalledOffError` comes out; as with `reopen`.
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

    def visits(self, run: str, *, after: int = 0, also: Sequence[int] = ()) -> Iterator[KeptVisit]:
        """All visits of a run so far, in the order in which they began. Raises `NotFoundError`.

        `after`: only those with higher numbers; `also`: and those of these numbers.
        """
        ...

    def forks(self, run: str) -> Iterator[ForkEnds]:
        """How the branches of a run's forks have ended. Raises `NotFoundError`."""
        ...

    def steps(self, run: str) -> Iterator[KeptStep]:
        """The transitions of a run so far, in the order in which they were taken. Raises `NotFoundError`."""
        ...

    def ending(self, run: str) -> KeptEnd | None:
        """What a run ended with; None: it has not. Raises `NotFoundError`."""
        ...

    def remove(self, runs: Sequence[str]) -> Sequence[str]:
        """Removes runs and what only they have. Gives those removed.

        One that is driven or waits stays, and one that another takes outcomes from which can continue.
        """
        ...
