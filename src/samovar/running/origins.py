"""What a run takes from an earlier one: of one that it branched from, or whose workflow it runs again.

Above: `visiting.py`, which asks before it performs a visit. Below: the journal's contract, frames. What was
taken costs this run nothing, and is named by the time that it was performed, in whatever run that was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from samovar.generation import TokenCounts
from samovar.journal.base import (
    Charges,
    ForkEnds,
    Journal,
    KeptRun,
    KeptVisit,
    RunOrigin,
    RunStatus,
    VisitKey,
    VisitOutcome,
)
from samovar.running.frame import Frame
from samovar.running.strand import all_around, inside, is_within


class Earlier(Protocol):
    """What a run can take from an earlier one."""

    run: str
    """Its id."""

    def arrive(self, frame: Frame, key: VisitKey) -> None:
        """A visit begins."""
        ...

    def came_back(self, frame: Frame, key: VisitKey) -> None:
        """A visit that this run has itself is not performed again."""
        ...

    def by_key(self, frame: Frame, key: VisitKey) -> KeptVisit | None:
        """What the earlier run has of this visit."""
        ...

    def begun(self, frame: Frame, key: VisitKey) -> KeptVisit | None:
        """The visit, if the earlier run was interrupted in it, and it may not simply be done again."""
        ...

    def fork_of(self, frame: Frame, key: VisitKey) -> ForkEnds | None:
        """How the branches that began with a visit ended there, if that decides how they end here."""
        ...

    def within(self, key: VisitKey) -> Sequence[KeptVisit]:
        """The visits that one of the earlier run is made of."""
        ...

    def by_inputs(self, key: VisitKey, inputs: str) -> KeptVisit | None:
        """A visit of the earlier run that was performed with the same, and that nobody took yet."""
        ...

    def moment(self, key: VisitKey) -> float | None:
        """When the earlier run had this visit, in seconds since 1970."""
        ...

    @property
    def compares(self) -> bool:
        """It is what visits are performed with that counts."""
        ...


class BranchedFrom:
    """A run goes on from a visit of an earlier one: what does not come after that is taken."""

    compares = False

    def __init__(self, kept: Iterable[KeptVisit], forks: Iterable[ForkEnds], origin: RunOrigin) -> None:
        assert origin.at is not None
        self.run = origin.run
        self._known: dict[VisitKey, KeptVisit] = {}
        self._below: dict[str, list[KeptVisit]] = {}
        """By the beginning of their paths, those that another one is made of."""
        for one in kept:
            self._known[one.intent.key] = one
            for above in all_around(one.intent.key):
                self._below.setdefault(above, []).append(one)
        self._forks = {one.key: one for one in forks}
        self._at, self._variables = origin.at, origin.variables

    def arrive(self, frame: Frame, key: VisitKey) -> None:
        if key == self._at:
            frame.strand.is_past = True
            frame.variables.update(self._variables)
            frame.changed |= self._variables.keys()

    def came_back(self, frame: Frame, key: VisitKey) -> None:
        if is_within(self._at, key):
            frame.strand.is_past = True

    def by_key(self, frame: Frame, key: VisitKey) -> KeptVisit | None:
        if frame.strand.is_past or is_within(self._at, key):
            return None
        found = self._known.get(key)
        return found if found is not None and found.outcome is not None else None

    def begun(self, frame: Frame, key: VisitKey) -> KeptVisit | None:
        found = None if frame.strand.is_past else self._known.get(key)
        return found if found and not found.outcome and not found.intent.is_repeatable else None

    def fork_of(self, frame: Frame, key: VisitKey) -> ForkEnds | None:
        fork = None if frame.strand.is_past else self._forks.get(key)
        if fork is None or not self._at.path.startswith(fork.prefix):
            return fork
        around = f"{key.line}/" if key.line else ""
        lines = tuple(f"{around}{branch}/" for branch in fork.ends)
        return None if f"{self._at.line}/".startswith(lines) else fork

    def within(self, key: VisitKey) -> Sequence[KeptVisit]:
        below = self._below.get(inside(key), ())
        return [one for one in below if is_within(one.intent.key, key) and one.outcome]

    def by_inputs(self, key: VisitKey, inputs: str) -> KeptVisit | None:
        return None

    def moment(self, key: VisitKey) -> float | None:
        return None


class RunAgain:
    """A workflow is run again as it is now: what is performed with the same as then is taken.

    Each visit of the earlier run is taken once at most, and one that failed only from a run that completed:
    from another one, a failure is what somebody wants to see again. Mutable: what was taken.
    """

    compares = True

    def __init__(
        self, kept: Iterable[KeptVisit], run: str, own: Iterable[KeptVisit], *, is_complete: bool
    ) -> None:
        """`run`: the id of the earlier one. `own`: what this run has already."""
        self.run = run
        taken = {one.outcome.stamp for one in own if one.outcome and one.outcome.origin}
        self._by_inputs: dict[str, _Alike] = {}
        self._moments: dict[VisitKey, float] = {}
        for one in kept:
            self._moments[one.intent.key] = one.intent.entered_at
            outcome = one.outcome
            if outcome is None or not outcome.inputs or outcome.stamp in taken:
                continue
            if is_complete or outcome.error is None:
                self._by_inputs.setdefault(outcome.inputs, _Alike()).add(one)

    def arrive(self, frame: Frame, key: VisitKey) -> None:
        return

    def came_back(self, frame: Frame, key: VisitKey) -> None:
        return

    def by_key(self, frame: Frame, key: VisitKey) -> KeptVisit | None:
        return None

    def begun(self, frame: Frame, key: VisitKey) -> KeptVisit | None:
        return None

    def fork_of(self, frame: Frame, key: VisitKey) -> ForkEnds | None:
        return None

    def within(self, key: VisitKey) -> Sequence[KeptVisit]:
        return ()

    def by_inputs(self, key: VisitKey, inputs: str) -> KeptVisit | None:
        alike = self._by_inputs.get(inputs)
        return None if alike is None else alike.take(key)

    def moment(self, key: VisitKey) -> float | None:
        return self._moments.get(key)


class _Alike:
    """Visits that were performed with the same, in their order. Mutable: those that nobody took yet."""

    def __init__(self) -> None:
        self._left: dict[VisitKey, KeptVisit] = {}
        self._order: deque[VisitKey] = deque()

    def add(self, one: KeptVisit) -> None:
        self._left[one.intent.key] = one
        self._order.append(one.intent.key)

    def take(self, key: VisitKey) -> KeptVisit | None:
        """The visit of this key, or else the first that is left; each once."""
        found = self._left.pop(key, None)
        while found is None and self._order:
            found = self._left.pop(self._order.popleft(), None)
        return found


def earlier_of(journal: Journal | None, run: KeptRun | None) -> Earlier | None:
    """What a run takes from an earlier one; None: nothing. Raises `NotFoundError` if that is not kept."""
    origin = None if run is None else run.head.origin
    if journal is None or run is None or origin is None:
        return None
    kept = [
        one
        for one in journal.visits(origin.run)
        if not (one.outcome and (one.outcome.is_given_up or one.is_at_cancel))
    ]
    if origin.at is not None:
        return BranchedFrom(kept, journal.forks(origin.run), origin)
    status = journal.summary(origin.run).status
    return RunAgain(kept, origin.run, run.kept, is_complete=status is RunStatus.COMPLETED)


def taken(outcome: VisitOutcome, run: str) -> VisitOutcome:
    """What another run keeps of an outcome that it took: it cost that one nothing. `run`: it is from."""
    figures = outcome.figures
    if figures is not None:
        figures = replace(figures, tokens=TokenCounts(), cost=0.0, duration_s=0.0, first_token_s=None)
    return replace(
        outcome,
        figures=figures,
        spent=TokenCounts(),
        used=Charges(transitions=outcome.used.transitions),
        duration_s=0.0,
        origin=outcome.origin or run,
    )
