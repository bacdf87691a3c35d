"""What a run asks a person, and what the person says: the one door through which it does.

Above: the actions that ask, and whoever answers: a terminal, a case, a program. Below: nothing. Values in a
question are apart from the words of its author, since they come from commands, files and models.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Filled:
    """A value within a question."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of one visit."""

    run: str
    """The id of the run."""
    visit: int
    """The number of the visit in the run."""
    path: str
    """Of the state."""
    kind: Literal["go_on"] = "go_on"
    """What may be answered. To `go_on`: `yes` or `no`."""
    parts: tuple[str | Filled, ...]
    """The text, as its author wrote it, with values."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Reply:
    """What was said to a question."""

    text: str


YES, NO = Reply("yes"), Reply("no")

Ask = Callable[[Question], Awaitable[Reply | None]]
"""Asks somebody. None: there is nobody who could answer."""
