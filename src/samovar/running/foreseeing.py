"""How far a run comes that takes from an earlier one, if nothing is performed: what would be, and why.

Above: the doors, for `--dry-run`; `visiting.py`, which stops before it performs. Below: the journal's
contract; a run in memory takes the place of a kept one. Each task of the run ends where it
would perform something; what comes after that is decided in the run itself. Values are computed and files are
read, as in a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from samovar.generation import Begun
from samovar.journal.base import (
    ForkEnds,
    Intent,
    Journal,
    KeptEnd,
    KeptRun,
    KeptStep,
    KeptVisit,
    RunHead,
    RunOrigin,
    RunStatus,
    VisitKey,
    VisitOutcome,
)
from samovar.journal.people import AskedPeople, KeptQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A visit that would be performed."""

    key: VisitKey
    verb: str
    why: str
    """A sentence: what is not as it was."""


@dataclass(slots=True, kw_only=True)
class Foresight:
    """Of one run. Mutable: what was found."""

    journal: Journal
    """Where the earlier run is; it is only read."""
    origin: RunOrigin
    key: Callable[[], bytes]
    """As of `KeptRun`."""
    taken: list[Intent] = field(default_factory=list)
    """The visits that would be taken from the earlier run."""
    done: list[Intent] = field(default_factory=list)
    """Those that perform nothing outside: they look, compute, and are made of others."""
    stops: list[Stop] = field(default_factory=list)
    _earlier: dict[VisitKey, KeptVisit] | None = None

    @property
    def earlier(self) -> dict[VisitKey, KeptVisit]:
        """The visits of the earlier run, in their order."""
        if self._earlier is None:
            self._earlier = {one.intent.key: one for one in self.journal.visits(self.origin.run)}
        return self._earlier

    @property
    def open(self) -> Sequence[Intent]:
        """Visits of the earlier run of which it is not known whether there will be one like them."""
        known = {one.key for one in (*self.taken, *self.done)} | {one.key for one in self.stops}
        return [one.intent for key, one in self.earlier.items() if key not in known]

    def begin(self, head: RunHead) -> KeptRun:
        """What takes the place of the run in a journal."""
        return _InMemory(head, self)


class _Nobody:
    """See `AskedPeople`: nobody is asked."""

    def was_answered(self, key: VisitKey) -> bool:
        return False

    async def ask(self, question: KeptQuestion) -> str | None:
        return None

    async def answered(self, key: VisitKey) -> str:
        raise AssertionError("a visit that asks is not performed")


class _InMemory:
    """See `KeptRun`. Mutable: the visits that have begun."""

    driven_s = 0.0

    def __init__(self, head: RunHead, foresight: Foresight) -> None:
        self.head, self._foresight = head, foresight
        self._begun: dict[VisitKey, Intent] = {}

    @property
    def asked(self) -> AskedPeople:
        return _Nobody()

    @property
    def kept(self) -> Sequence[KeptVisit]:
        return ()

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return None

    async def intend(self, intent: Intent) -> None:
        self._begun[intent.key] = intent

    async def leave(self, key: VisitKey, outcome: VisitOutcome, *, within: str | None = None) -> None:
        visits = self._foresight.taken if outcome.origin else self._foresight.done
        visits.append(self._begun[key])

    def begun(self, key: VisitKey) -> Sequence[Begun]:
        return ()

    def keep_begun(self, key: VisitKey, prompt: int, begun: Begun) -> None:
        raise AssertionError("no prompt is performed")

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        return None

    async def decide(self, fork: ForkEnds) -> None:
        return

    async def step(self, step: KeptStep) -> None:
        return

    async def end(self, status: RunStatus, message: str = "", ending: KeptEnd | None = None) -> None:
        return

    def key(self) -> bytes:
        return self._foresight.key()

    async def abandon(self, message: str) -> None:
        return
