"""What people have to do with runs that are kept: the questions that they ask, and a wish that one ends.

Above: `base.py`, whose runs and journals have these; the doors. Below: the keys of visits. A question is kept
before anyone is asked, so that any process can answer it, also when none drives the run any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from samovar.journal.visit_parts import VisitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptQuestion:
    """A question of a visit, without secrets."""

    run: str
    """The id of the run."""
    key: VisitKey
    kind: str
    """See `actions.question.QuestionKind`."""
    parts: tuple[tuple[str, bool], ...]
    """The text in its parts, each with whether it is a value, and not its author's words."""
    choices: tuple[str, ...] = ()
    default: str | None = None
    asked_at: float
    """Seconds since 1970, as `until_s`."""
    until_s: float | None = None
    """When it is too late to answer; None: never."""
    number: int = 0
    """Which question of its run it is, from 1, as the journal counts; 0: it is not kept yet."""

    def is_late(self, now_s: float) -> bool:
        """It is too late to answer."""
        return self.until_s is not None and self.until_s <= now_s

    def is_like(self, other: KeptQuestion) -> bool:
        """It asks the same, at whatever time."""
        return replace(self, asked_at=0.0, until_s=None) == replace(other, asked_at=0.0, until_s=None)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(text for text, _ in self.parts)


class AskedPeople(Protocol):
    """The questions of one run, for the process that drives it."""

    def was_answered(self, key: VisitKey) -> bool:
        """Somebody had answered the question of that visit when the run was opened."""
        ...

    async def ask(self, question: KeptQuestion) -> str | None:
        """The question is kept. Gives the answer, if the visit had one when the run was opened: once.

        Raises `JournalError`.
        """
        ...

    async def answered(self, key: VisitKey) -> str:
        """Returns once a process, this one or another, has answered."""
        ...


class People(Protocol):
    """What any process may do about the runs of a journal, whoever drives them."""

    def questions(self, run: str | None = None) -> Sequence[KeptQuestion]:
        """Those without an answer, of one run or of all that are not over, the oldest first."""
        ...

    def asked(self, run: str) -> Sequence[KeptQuestion]:
        """All that a run has asked so far, in their order, answered or not."""
        ...

    def answer(self, question: KeptQuestion, text: str) -> bool:
        """Keeps an answer; False if the question has one by now, or its visit is over, or asks another one.

        Raises `JournalError`.
        """
        ...

    def is_taken(self, question: KeptQuestion) -> bool:
        """The visit that asked has gone on."""
        ...

    def cancel(self, run: str) -> bool:
        """Wants a run to end: a process that drives it ends it soon, and if none does, it is over now.

        Gives whether it is over. Raises `NotFoundError`.
        """
        ...
