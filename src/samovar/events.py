"""The events of a run, when they happen: plain values for reports, `--events`, and the record itself.

Above: `run.py`, whose record is made of these; the runner, which tells them; anyone who shows them. Below:
the generation values. Nothing here knows how a run is driven.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from samovar.errors import ChildError, FaultsError, Place, SamovarError
from samovar.generation import FinishReason, Happening, Options, PartKind, PromptEvent, TokenCounts
from samovar.values.certainty import ChosenValue


class _Nothing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""What an action gave back that yields no value."""


class Ending(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """An action failed and no transition took the failure."""
    ABORTED = "aborted"
    """By `Abort`, or by the file `.abort`."""
    LIMITED = "limited"
    """It went past one of its limits."""
    STUCK = "stuck"
    """No transition was true."""
    CANCELLED = "cancelled"
    WAITING = "waiting"
    """All that is left of it waits for people; it is kept, and can continue."""

    @property
    def exit_status(self) -> int:
        """What the command line exits with."""
        return _EXIT_STATUS.get(self, 1)


_EXIT_STATUS = {Ending.COMPLETED: 0, Ending.STUCK: 3, Ending.WAITING: 4, Ending.CANCELLED: 130}


class VisitStatus(StrEnum):
    """How a visit of a state went."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    """It was not finished: the run was cancelled, aborted or limited meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A state that runs a workflow."""

    workflow: str
    """The name of the workflow that the state is in."""
    state: str
    """Its path in the run."""
    place: Place
    """Where it names what it runs."""

    def __str__(self) -> str:
        return f"run by {self.state} at {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a visit failed, or a run did not complete."""

    code: str
    """Stable, as in `errors/`; also `stuck` and `aborted`."""
    message: str
    """For a person, without the place."""
    state: str | None = None
    """The path of the state; of one in a sub-workflow, if it happened there."""
    place: Place | None = None
    """Where it happened: in the file of the sub-workflow, if it happened there."""
    chain: tuple[Caller, ...] = ()
    """Who ran the workflow it happened in, the outermost first; empty if that is the run's own."""
    retryable: bool = False
    """What failed may pass, so that `retries=` performs it again."""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}{self.run_by}"

    @property
    def run_by(self) -> str:
        """The chain as the end of a sentence, the innermost first; empty without one."""
        return f" ({'; '.join(map(str, reversed(self.chain)))})" if self.chain else ""

    @classmethod
    def of(cls, error: SamovarError, state: str | None = None, place: Place | None = None) -> RunError:
        """`place` is where it happened, for an error that does not know its own."""
        if isinstance(error, FaultsError) and error.faults:
            place = error.faults[0].place
        if isinstance(error, ChildError):
            why: RunError = error.why
            return replace(why, state=why.state or state, place=why.place or place)
        return cls(
            code=error.code,
            message=error.message,
            state=state,
            place=error.place or place,
            retryable=error.retryable,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFigures:
    """What one prompt cost, and the values in force."""

    model: str
    finish_reason: FinishReason
    tokens: TokenCounts
    options: Options
    duration_s: float
    """From the request to the last token."""
    first_token_s: float | None
    """From the request to the first token; None when there was none."""
    session: str | None
    """The named conversation it belongs to."""
    fork: str | None = None
    """The named conversation it began with a copy of."""
    dropped_messages: int = 0
    """The oldest ones of the conversation, left out to make room."""
    reasoning: str = ""
    """What the model thought before its answer."""
    cut: PartKind | None = None
    """The part of the answer that did not end; None if all of it did."""
    chosen: tuple[ChosenValue, ...] = ()
    """The choices that the answer holds, with how sure the model was of each; empty if nobody says."""
    executor: str = ""
    """The name of the one that answered; empty if it is not told."""
    cost: float | None = None
    """In the currency of the executor's prices; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Happening):
    workflow: str
    path: Path | None
    """The workflow's file."""
    started_at: float
    """Seconds since 1970."""
    secrets: tuple[str, ...] = ()
    """Parameters whose values are shown to nobody."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """Those that the run begins with: what was given, typed, and the defaults of the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntered(Happening):
    visit: int
    """The number of the visit in the run, from 1, those of sub-workflows counted along."""
    state: str
    path: str
    """The state's name; for a state of a sub-workflow behind that of the state that runs it: `Sub/A`."""
    verb: str | None
    """None: it passes through."""
    what: str
    """What the action does, in a few words."""
    branch: str | None = None
    """The first state of the branch it is in; None outside of forks."""
    time_s: float
    """Since the run's start; so everywhere below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsProgressed(Happening):
    """How far a state has come with the items of its list; for very many, not sent for each one."""

    visit: int
    """Number of the visit to the state."""
    total: int
    """How many items there are."""
    done: int
    """Those that are over, the failed ones among them."""
    failed: int
    running: int
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged(Happening):
    visit: int
    level: str
    """`debug`, `info`, `warning` or `error`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Happening):
    """Something doubtful that nobody asked for."""

    visit: int | None
    """None: it is about the workflow's file."""
    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Happening):
    """An attempt at an action failed, and another one follows within the same visit."""

    visit: int
    path: str
    """Path of the state."""
    error: RunError
    figures: PromptFigures | None
    """Figures of a prompt that was answered."""
    wait_s: float | None
    """Until the action is performed again; None: the model is asked at once to repair its answer."""
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLeft(Happening):
    visit: int
    path: str
    status: VisitStatus
    duration_s: float
    error: RunError | None
    figures: PromptFigures | None
    """Figures of a prompt that was answered."""
    time_s: float
    what: str = ""
    """What was done, with its values, in a few words; empty if `StateEntered.what` says enough."""
    value: object = NOTHING
    """What the action gave back: it becomes `result`."""
    is_new: bool = True
    """The action made the value; else it yields to a `result` set by name."""
    sets: Mapping[str, object] = field(default_factory=dict)
    """The variables that the action set, by name."""
    is_kept: bool = False
    """It was done in an earlier process, and is taken from the journal."""
    kept_tokens: TokenCounts = field(default_factory=TokenCounts)
    """Tokens of an earlier process that no other event has: of attempts that failed, and of visits within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionTaken(Happening):
    visit: int
    """The visit that it leaves."""
    source: str
    target: str | None
    """None: the end."""
    label: str
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Happening):
    ending: Ending
    error: RunError | None
    variables: Mapping[str, object]
    """Those of the workflow at its end."""
    time_s: float


Event = (
    RunStarted
    | StateEntered
    | PromptEvent
    | ItemsProgressed
    | Logged
    | Warned
    | AttemptFailed
    | StateLeft
    | TransitionTaken
    | RunEnded
)
OnEvent = Callable[[Event], None]
"""Called on the run's event loop, in order. When it raises, the run ends as failed and the exception comes
out of the runner, after everything is given back."""
