"""The record of a run so far, and its listeners, in one place.

Above: the runner and its loop, which say what happens. Below: the record and the events. Mutable: `tell`
makes every change. It drives nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from samovar.actions.base import Action, Outcome
from samovar.actions.clock import Clock
from samovar.actions.list_items import CommonAnswer
from samovar.errors import Place
from samovar.events import (
    NOTHING,
    AttemptFailed,
    Event,
    OnEvent,
    RunEnded,
    RunError,
    RunStarted,
    StateEntered,
    StateLeft,
    TransitionTaken,
    VisitStatus,
    Warned,
)
from samovar.generation import PartKind, TextGenerated, TokenCounts
from samovar.journal.base import KeptStep, KeptVisit, VisitKey
from samovar.language.workflow import State, Transition, Workflow
from samovar.running.frame import Frame
from samovar.running.run import Run
from samovar.values.secrecy import HIDDEN, LEAST_CHARS, Secrets, Stream

SHORT = (
    f"A secret of fewer than {LEAST_CHARS} characters is hidden only if it is the whole text, not inside "
    f"other texts."
)
"""Said once in a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunVisit:
    """A visit that has begun."""

    number: int
    """In the run, from 1, the visits of sub-workflows counted along."""
    path: str
    """`Sub/A` for a state of a sub-workflow."""
    key: VisitKey
    """What the journal knows it by."""
    entered_s: float
    """Since the run's start."""
    is_of_item: bool
    """It is of an item of a list, and so one of many."""
    kept_duration_s: float | None = None
    """How long it took in an earlier process; None: it is performed in this one."""
    kept_tokens: TokenCounts = field(default_factory=TokenCounts)
    """See `StateLeft`."""


class Recorder:
    """The record of one run while it is in progress."""

    def __init__(self, started: RunStarted, on_event: OnEvent, clock: Clock) -> None:
        self.secrets = Secrets()
        """What nobody is shown. The record and the listener get copies, but for variables at the end."""
        self.record = replace(Run.begin(started), hidden=self.secrets)
        """The newest."""
        self._texts: dict[int, tuple[Stream, PartKind]] = {}
        """Texts that come in pieces, by visit."""
        self.broken: BaseException | None = None
        """What `on_event` raised."""
        self._on_event = on_event
        self._clock, self._began_s = clock, clock.time_s()
        self._told = 0
        """How many events."""
        self._warned: set[Path | None] = set()
        self._warned_short = False
        self._on_line: Counter[tuple[str, str]] = Counter()
        """Visits by the path in their keys and the branches around it."""
        self._numbers: Mapping[VisitKey, int] = {}
        """Of visits that began in an earlier process."""
        self._last = 0
        """The highest number of a visit."""

    def time_s(self) -> float:
        """Since the run's start."""
        return self._clock.time_s() - self._began_s

    def continue_with(self, kept: Iterable[KeptVisit]) -> None:
        """Visits of earlier processes have the numbers that they had, and others the next ones."""
        visits = tuple(kept)
        self._numbers = {one.intent.key: one.intent.number for one in visits if not one.is_at_cancel}
        self._last = max((one.intent.number for one in visits), default=0)

    def learn(self, values: object) -> None:
        """These are shown to nobody from now on. Warns once, after the run's start, of what is too short."""
        self.secrets.learn(values)
        if self._told and not self._warned_short and self.secrets.has_short:
            self._warned_short = True
            self.warn(SHORT, Place(path=self.record.path, line=1))

    def tell(self, event: Event) -> None:
        """Records an event and tells it. An exception of `on_event` continues; nothing is reported after
        it."""
        if isinstance(event, TextGenerated) and not self.secrets.is_empty:
            self._tell_piece(event)
            return
        if isinstance(event, AttemptFailed | StateLeft):
            self._tell_rest(event.visit)
        copy = self.secrets.copy(event)
        if isinstance(copy, RunStarted):
            shown = {name: HIDDEN if name in copy.secrets else one for name, one in copy.variables.items()}
            copy = replace(copy, variables=shown)
        copy = self._numbered(copy)
        if isinstance(copy, RunEnded) and isinstance(event, RunEnded):  # a program gets what the run was for
            self.record = self.record.after(replace(copy, variables=event.variables))
        else:
            self.record = self.record.after(copy)
        self._pass_on(copy)

    def _numbered(self, event: Event) -> Event:
        """The event with its run, number and time in it."""
        self._told += 1
        return replace(event, run=self.record.id, number=self._told, time=self._clock.now_s())

    def _pass_on(self, event: Event) -> None:
        """Tells an event."""
        if self.broken is not None:
            return
        try:
            self._on_event(event)
        except BaseException as error:  # kept, since nothing may be reported after it
            self.broken = error
            raise

    def _tell_piece(self, event: TextGenerated) -> None:
        """A piece of a text without secrets: it is held back while it may become one."""
        if event.visit in self._texts and self._texts[event.visit][1] != event.kind:
            self._tell_rest(event.visit)
        stream, _ = self._texts.setdefault(event.visit, (Stream(self.secrets), event.kind))
        piece = stream.next(event.piece)
        if piece:  # the tokens of another text would say what it was
            shown = event if piece == event.piece else replace(event, piece=piece, tokens=())
            self._pass_on(self._numbered(shown))

    def _tell_rest(self, visit: int) -> None:
        """The held-back part of a text that has ended."""
        if visit in self._texts:
            stream, kind = self._texts.pop(visit)
            if rest := stream.rest():
                self._pass_on(self._numbered(TextGenerated(visit=visit, piece=rest, kind=kind)))

    def tell_quietly(self, event: Event) -> None:
        """Where something else is already on its way out."""
        with suppress(Exception):
            self.tell(event)

    def warn(self, message: str, place: Place, visit: int | None = None) -> None:
        """Something doubtful; without `visit` it is about the file."""
        self.tell(Warned(visit=visit, message=message, place=place))

    def warn_of(self, workflow: Workflow) -> None:
        """Warnings about a workflow's file, once for each file. Hints are for `samovar check`."""
        if workflow.path not in self._warned:
            self._warned.add(workflow.path)
            for fault in workflow.warnings:
                if fault.severity == "warning":
                    self.warn(fault.message, fault.place)

    def enter(self, frame: Frame, state: State, action: Action | None) -> BegunVisit:
        """A visit begins; without an action it passes through."""
        path = frame.prefix + state.name
        strand, place = frame.strand, frame.strand.path_of(state.name)
        self._on_line[place, strand.line] += 1
        key = VisitKey(path=place, line=strand.line, nth=self._on_line[place, strand.line])
        if (number := self._numbers.get(key)) is None:
            self._last = number = self._last + 1
        entry = BegunVisit(
            number=number,
            path=path,
            key=key,
            entered_s=self.time_s(),
            is_of_item=frame.spending.is_in_item,
        )
        self.tell(
            StateEntered(
                visit=entry.number,
                state=state.name,
                path=entry.path,
                verb=action.verb if action else None,
                what=action.what if action else "",
                branch=frame.branch,
                time_s=entry.entered_s,
            )
        )
        return entry

    def leave(
        self,
        entry: BegunVisit,
        status: VisitStatus,
        *,
        error: RunError | None = None,
        outcome: Outcome | None = None,
        secrets: frozenset[str] = frozenset(),
        quietly: bool = False,
    ) -> None:
        """A visit ends. `secrets`: the variables of its workflow whose values nobody is shown."""
        now_s = self.time_s()
        if outcome is not None and status is VisitStatus.SUCCESS and not entry.is_of_item:
            answer = outcome.answer
            if outcome.figures is not None:
                answer = CommonAnswer(str(outcome.value), is_picked=bool(outcome.figures.options.choices))
            if answer is not None:
                self.record = self.record.answered(answer.text, is_picked=answer.is_picked)
        sets: Mapping[str, object] = {}
        value: object = NOTHING
        if outcome is not None:
            sets = {name: HIDDEN if name in secrets else one for name, one in outcome.sets.items()}
            value = HIDDEN if not secrets.isdisjoint(sets) else outcome.value
        event = StateLeft(
            visit=entry.number,
            path=entry.path,
            status=status,
            duration_s=entry.kept_duration_s or now_s - entry.entered_s,
            is_kept=entry.kept_duration_s is not None,
            kept_tokens=entry.kept_tokens,
            error=error,
            figures=outcome.figures if outcome else None,
            what=outcome.what if outcome else "",
            value=value,
            is_new=outcome.is_new if outcome else True,
            sets=sets,
            time_s=now_s,
        )
        if quietly:
            self.tell_quietly(event)
        else:
            self.tell(event)

    def take(self, frame: Frame, transition: Transition, entry: BegunVisit) -> KeptStep:
        """A transition is taken, out of a visit. Gives it as a journal keeps it."""
        target = None if transition.target is None else frame.prefix + transition.target
        self.tell(
            TransitionTaken(
                visit=entry.number,
                source=frame.prefix + transition.source,
                target=target,
                label=transition.label,
                time_s=self.time_s(),
            )
        )
        return KeptStep(source=entry.key, target=target, label=transition.label, at=self._clock.now_s())
