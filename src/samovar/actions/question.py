"""A question of a run to a person, and the person's reply: the only way for a run to ask.

Above: the actions that ask, and anyone who answers: a terminal, a case, a program. Below: nothing. Values in
a question are apart from the words of its author, since they come from commands, files and models.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

QuestionKind = Literal["go_on", "approve", "tool", "choice", "text"]
"""What may be answered: `yes` or `no` to the first three, one of the choices, or any text. To `go_on` a
person may say yes by saying nothing; to the others never. `tool`: may a model do this?"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A value within a question."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A question, as an action asks it."""

    kind: QuestionKind = "go_on"
    parts: tuple[str | Filled, ...]
    """The text, as its author wrote it, with values."""
    choices: tuple[str, ...] = ()
    """The answers that there are to a `choice`."""
    is_from_server: bool = False
    """A server of tools asks: only a person who reads it answers, and nothing that was said before."""
    default: str | None = None
    """What an empty answer to a `choice` or a `text` means; None: it is asked again."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def line(self) -> str:
        """The text in one line, for whoever is told of the question."""
        return " ".join(self.text.split()) or "May it go on?"

    @property
    def is_approval(self) -> bool:
        """The answers are yes and no."""
        return self.kind in ("go_on", "approve", "tool")

    def reply(self, text: str) -> Reply | None:
        """What an answer means, as a person writes it; None: it is not one."""
        said = text.strip()
        if self.is_approval:
            return {"y": YES, "yes": YES, "n": NO, "no": NO}.get(said.lower())
        if self.kind == "text":
            return Reply(said) if said else None
        alike = [one for one in self.choices if one.strip().lower() == said.lower()]
        found = said if said in self.choices else alike[0] if len(alike) == 1 else None
        return None if found is None else Reply(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Asking):
    """One question of one visit."""

    run: str
    """The id of the run."""
    visit: int
    """The number of the visit in the run."""
    path: str
    """Path of the state."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was said to a question."""

    text: str


YES, NO = Reply("yes"), Reply("no")

Ask = Callable[[Question], Awaitable[Reply | None]]
"""Asks somebody. None: there is nobody who could answer."""
AskAction = Callable[[Asking], Awaitable[Reply | None]]
"""Asks on behalf of an action."""


def no_answer(asking: Asking, text: str) -> str | None:
    """Why a text does not answer; None if it does."""
    return None if asking.reply(text) is not None else f"takes {accepted(asking)}"


def accepted(asking: Asking) -> str:
    """The answers that there are, in words, for anyone who gave none of them."""
    if asking.is_approval:
        return "yes or no"
    return "a text" if asking.kind == "text" else f"one of {', '.join(asking.choices)}"
