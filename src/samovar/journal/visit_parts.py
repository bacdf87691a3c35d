"""What is kept of visits: names, beginnings and outcomes, what was said, where they led, ends of forks.

Above: the contract, its members, the questions to people. Below: the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from samovar.events import NOTHING, PromptFigures, RunError
from samovar.generation import Message, TokenCounts


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
class Charges:
    """What counts toward the limits of a run."""

    transitions: int = 0
    tokens: int = 0
    """Generated."""
    tool_calls: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEnds:
    """How the branches of a fork ended, where that depends on which of them was first."""

    key: VisitKey
    """Of the visit that the branches began with."""
    prefix: str
    """Of the paths of the states of its workflow."""
    ends: Mapping[str, str]
    """By first state: came, failed or cancelled."""
    ended_by: str | None = None
    """The branch whose end is that of the fork; None: enough of them have come."""

    @property
    def lost(self) -> tuple[str, ...]:
        """The branches that were cancelled, as lines of visits."""
        around = f"{self.key.line}/" if self.key.line else ""
        return tuple(around + branch for branch, end in self.ends.items() if end == "cancelled")


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
class Performed:
    """Something that a visit did outside of the run, or looked at there, with the values that it had."""

    kind: str
    """`command`, `write`, `append`, `read`, `find`, `wait`, `question`; `call`: of a tool by a program."""
    what: str
    """The command, the path as written, the pattern, the duration, the question, or the name of the tool."""
    folder: str = ""
    """Where a command was run."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the state gave to a command."""
    text: str | None = None
    """What a command read from its standard input, what a file was to hold, or the arguments of a call."""


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
    used: Charges = field(default_factory=Charges)
    """By the visit and all within it."""
    is_given_up: bool = False
    """It did not end: what it was within has ended without it, as a fork that did not wait for its branch."""
    is_at_cancel: bool = False
    """It was performed because its workflow was cancelled, as its `finally` or within that: a run that
    continues performs it again, at its own end."""
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
    performed: tuple[Performed, ...] = ()
    """In the order in which it was begun; of a prompt also what tools did by way of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEnd:
    """What a run ended with."""

    variables: Mapping[str, object]
    is_concealed: bool = False
    """As in `VisitOutcome`."""
    result: str | None = None
    """Of a run for a row or for another program that completed: what it gives, as JSON, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptVisit:
    """A visit as it is in the journal."""

    intent: Intent
    outcome: VisitOutcome | None
    """None: it was begun, and nobody knows how far it came."""

    @property
    def is_at_cancel(self) -> bool:
        """See `VisitOutcome`."""
        return self.outcome is not None and self.outcome.is_at_cancel
