"""The parts of what is kept of visits: their names, what they used and said, where they led, ends of forks.

Above: the contract, its members, the questions to people. Below: messages and counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
class Step:
    """A transition that was taken."""

    source: VisitKey
    """The visit that it leaves."""
    target: str | None
    """Path of the state that it leads to; None: the end."""
    label: str
    at: float
    """Seconds since 1970."""
