"""The record of one run: a frozen value; each event gives the next one.

Above: the runner, which keeps the newest; reports, which read the last. Below: `events.py`. The record has
no clock and drives nothing. It costs the same for each visit however many there were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from samovar.events import (
    AttemptFailed,
    Ending,
    Event,
    PromptFigures,
    RunEnded,
    RunError,
    RunStarted,
    StateEntered,
    StateLeft,
    TransitionTaken,
    VisitStatus,
    Warned,
)
from samovar.generation import TokenCounts, ToolFinished
from samovar.language.returning import ReturnedValues
from samovar.values import plain
from samovar.values.secrecy import Secrets

E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One entry of a run into a state."""

    number: int
    """In the run, from 1, the visits of sub-workflows counted along."""
    name: str
    """The state's, in its own workflow."""
    path: str
    """`Sub/A` for a state of a sub-workflow."""
    verb: str | None
    """None: the state passes through."""
    what: str
    """What the action does, in a few words."""
    status: VisitStatus
    started_s: float
    """Since the run's start."""
    duration_s: float | None
    """None while it is in progress."""
    error: RunError | None = None
    """Why the action failed; None if it did not, or is in progress."""
    figures: PromptFigures | None = None
    """Figures of a prompt that was answered."""
    branch: str | None = None
    """The first state of the branch it is in; None outside of forks."""
    attempts: tuple[AttemptFailed, ...] = ()
    """Those that failed before the one that counts."""
    tools: tuple[ToolFinished, ...] = ()
    """The calls of tools, as they came to their ends; without what they gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitEnd:
    """What is kept of `StateLeft`: not what the action gave back, so that a record costs the same for each
    visit."""

    visit: int
    status: VisitStatus
    duration_s: float
    error: RunError | None
    figures: PromptFigures | None


class Trail(Generic[E]):
    """Events in their order. A longer trail shares what it has in common with a shorter one."""

    __slots__ = ("_length", "_shared")

    def __init__(self) -> None:
        self._shared: list[E] = []
        self._length = 0

    def __iter__(self) -> Iterator[E]:
        return iter(self._shared[: self._length])

    def then(self, event: E) -> Trail[E]:
        """The trail with one more; this one does not change."""
        longer: Trail[E] = Trail()
        is_newest = len(self._shared) == self._length
        longer._shared = self._shared if is_newest else self._shared[: self._length]
        longer._shared.append(event)
        longer._length = self._length + 1
        return longer


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a workflow, as far as it has come."""

    id: str
    workflow: str
    """Its name."""
    path: Path | None
    """The workflow's file."""
    started_at: float
    """Seconds since 1970."""
    secrets: tuple[str, ...] = ()
    """Variables whose values are shown to nobody."""
    hidden: Secrets = field(default_factory=Secrets, repr=False, compare=False)
    """What nobody is shown, in `variables` and `answer` too; the rest has none of it."""
    trail: Trail[StateEntered | AttemptFailed | ToolFinished | VisitEnd] = field(default_factory=Trail)
    """Visits entered and left, and what failed or was called in between."""
    warned: Trail[Warned] = field(default_factory=Trail, repr=False)
    visits_begun: int = 0
    """Those of sub-workflows counted along."""
    transitions: int = 0
    """Those of sub-workflows counted along."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    """Tokens of all prompts that were answered."""
    ending: Ending | None = None
    """None while it is in progress."""
    error: RunError | None = None
    """Why it did not complete; None if it did, was cancelled, or is in progress."""
    variables: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Those of the workflow at its end."""
    duration_s: float | None = None
    """None while it is in progress."""
    returns: ReturnedValues | None = field(default=None, repr=False)
    """What the workflow says that it returns."""
    names_result: bool = False
    """The workflow sets `result` by name somewhere."""
    answer: str | None = field(default=None, repr=False)
    """The last answer of a prompt that was not picked among choices; if all were, the last."""
    is_answer_picked: bool = field(default=True, repr=False)

    @classmethod
    def begin(cls, event: RunStarted) -> Run:
        return cls(
            id=event.run,
            workflow=event.workflow,
            path=event.path,
            started_at=event.started_at,
            secrets=event.secrets,
        )

    def after(self, event: Event) -> Run:
        """The record after this happened. Raises `ValueError` for what cannot happen to it any more."""
        if self.ending is not None:
            raise ValueError(f"Run {self.id} has ended; {type(event).__name__} cannot happen.")
        if isinstance(event, StateEntered):
            return self._with(trail=self.trail.then(event), visits_begun=self.visits_begun + 1)
        if isinstance(event, AttemptFailed):
            tokens = self.tokens + event.figures.tokens if event.figures else self.tokens
            return self._with(trail=self.trail.then(event), tokens=tokens)
        if isinstance(event, StateLeft):
            tokens = self.tokens + event.figures.tokens if event.figures else self.tokens
            if event.is_kept:
                tokens = tokens + event.kept_tokens
            left = VisitEnd(
                visit=event.visit,
                status=event.status,
                duration_s=event.duration_s,
                error=event.error,
                figures=event.figures,
            )
            return self._with(trail=self.trail.then(left), tokens=tokens)
        if isinstance(event, ToolFinished):  # its text is not kept either
            return self._with(trail=self.trail.then(replace(event, text="")))
        if isinstance(event, Warned):
            return self._with(warned=self.warned.then(event))
        if isinstance(event, TransitionTaken):
            return self._with(transitions=self.transitions + 1)
        if isinstance(event, RunEnded):
            return self._with(
                ending=event.ending,
                error=event.error,
                variables=event.variables,
                duration_s=event.time_s,
            )
        return self

    def answered(self, text: str, *, is_picked: bool) -> Run:
        """The record after a prompt was answered. What was picked among choices is for the workflow."""
        if is_picked and not self.is_answer_picked:
            return self
        return self._with(answer=text, is_answer_picked=is_picked)

    def _with(self, **changes: object) -> Run:
        """As `dataclasses.replace`, which looks at each field anew: a good part of what a step cost."""
        after = object.__new__(Run)
        after.__dict__.update(self.__dict__, **changes)
        return after

    @property
    def result(self) -> object:
        """What the run was for: what the workflow `returns`; else `result`, if it sets that, or `answer`.

        None if the run did not complete, or has neither. A secret in it is not hidden.
        """
        return self.result_of(self.variables) if self.ending is Ending.COMPLETED else None

    def result_of(self, variables: Mapping[str, object]) -> object:
        """The same for a run that ends as completed with these variables."""
        if self.returns is not None:
            return plain(self.returns.of(variables))
        return plain(variables.get("result")) if self.names_result else self.answer

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What was doubtful: about the files and variables before the run, and whatever it reached."""
        return tuple(self.warned)

    @property
    def visits(self) -> tuple[Visit, ...]:
        """One for each entry into a state, in starting order, also of branches. Made again each time."""
        visits: dict[int, Visit] = {}
        for event in self.trail:
            if isinstance(event, StateEntered):
                visits[event.visit] = Visit(
                    number=event.visit,
                    name=event.state,
                    path=event.path,
                    verb=event.verb,
                    what=event.what,
                    status=VisitStatus.RUNNING,
                    started_s=event.time_s,
                    duration_s=None,
                    branch=event.branch,
                )
            elif isinstance(event, AttemptFailed):
                visit = visits[event.visit]
                visits[event.visit] = replace(visit, attempts=(*visit.attempts, event))
            elif isinstance(event, ToolFinished):
                visit = visits[event.visit]
                visits[event.visit] = replace(visit, tools=(*visit.tools, event))
            else:
                visits[event.visit] = replace(
                    visits[event.visit],
                    status=event.status,
                    duration_s=event.duration_s,
                    error=event.error,
                    figures=event.figures,
                )
        return tuple(visits.values())
