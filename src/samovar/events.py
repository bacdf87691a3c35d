"""What happens in a run, as it happens: plain values for reports, `--events`, and the record itself.

Above: `run.py`, whose record is made of these; the runner, which tells them; whoever shows them. Below:
the generation values. Nothing here knows how a run is driven.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from samovar.errors import FaultsError, Place, SamovarError
from samovar.generation import FinishReason, Options, PartKind, PromptEvent, TokenCounts


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

    @property
    def exit_status(self) -> int:
        """What the command line exits with."""
        return _EXIT_STATUS.get(self, 1)


_EXIT_STATUS = {Ending.COMPLETED: 0, Ending.STUCK: 3, Ending.CANCELLED: 130}


class VisitStatus(StrEnum):
    """How a visit of a state went."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    """It was not finished: the run was cancelled, aborted or limited meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a visit failed, or a run did not complete."""

    code: str
    """Stable, as in `errors/`; also `stuck` and `aborted`."""
    message: str
    """For a person, without the place."""
    state: str | None = None
    """The path of the state."""
    place: Place | None = None

    @classmethod
    def of(cls, error: SamovarError, state: str | None = None, place: Place | None = None) -> RunError:
        """`place` is where it happened, for an error that does not know its own."""
        if isinstance(error, FaultsError) and error.faults:
            place = error.faults[0].place
        return cls(code=error.code, message=error.message, state=state, place=error.place or place)


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
    """The part of the answer that did not come to its end; None if all of it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    run: str
    """The run's id."""
    workflow: str
    path: Path | None
    """The workflow's file."""
    started_at: float
    """Seconds since 1970."""
    secrets: tuple[str, ...] = ()
    """Parameters whose values are shown to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntered:
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
class Logged:
    visit: int
    level: str
    """`debug`, `info`, `warning` or `error`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something doubtful that nobody asked for."""

    visit: int | None
    """None: it is about the workflow's file."""
    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLeft:
    visit: int
    path: str
    status: VisitStatus
    duration_s: float
    error: RunError | None
    figures: PromptFigures | None
    """Of a prompt that was answered."""
    time_s: float
    what: str = ""
    """What was done, with its values, in a few words; empty where `StateEntered.what` says enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionTaken:
    visit: int
    """The visit that it leaves."""
    source: str
    target: str | None
    """None: the end."""
    label: str
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    ending: Ending
    error: RunError | None
    variables: Mapping[str, object]
    """Those of the workflow at its end."""
    time_s: float


Event = RunStarted | StateEntered | PromptEvent | Logged | Warned | StateLeft | TransitionTaken | RunEnded
OnEvent = Callable[[Event], None]
"""Called on the run's event loop, in order. When it raises, the run ends as failed and the exception comes
out of the runner, after everything is given back."""
