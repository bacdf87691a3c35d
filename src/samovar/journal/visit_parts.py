"""What names a visit within its run, whatever the order in which visits begin; what one used; ends of forks.

Above: the contract and its members. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
class Used:
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
