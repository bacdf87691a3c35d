"""Waits for people: a run whose tasks all wait for an answer is left waiting, and can go on in any process.

Above: the loop and the items, whose tasks are counted here; the contexts of visits, which ask. Below: the
journal's contract. Each question is kept before it is asked. Whoever is at the terminal may answer, or any
process, by `samovar answer`. If nobody is at the terminal, the task waits while others of the run go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, get_args

import anyio

from samovar.actions.question import Filled, Question, QuestionKind, Reply
from samovar.background import beside
from samovar.journal.base import KeptRun, VisitKey
from samovar.journal.people import KeptQuestion


class WaitsForPersonError(Exception):
    """All that is left of a run waits for people. It is no failure: nothing takes it, and the run is left."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = tuple(questions)
        first, more = self.questions[0], len(self.questions) - 1
        others = f" ({more} more)" if more else ""
        super().__init__(f"It waits for an answer to {first.path}: {first.line}{others}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBy:
    """The visit that asks."""

    key: VisitKey
    asked_at: float
    """Seconds since 1970, as `until_s`."""
    until_s: float | None
    """When it is too late to answer; None: never."""


class Waiting:
    """The tasks of one run: those that work, and those that wait for a person. Mutable."""

    def __init__(self, journal: KeptRun | None = None, *, parks: bool = False) -> None:
        """`parks`: the run is left if all of its tasks wait; otherwise nobody is waited for."""
        if journal is not None and journal.head.is_outline:
            journal = None  # which has no text, and so no question
        self._journal, self._parks = journal, parks and journal is not None
        self._working = 1
        self._open: list[Question] = []
        self._left = anyio.Event()

    @contextmanager
    def forked(self, count: int) -> Iterator[ForkedTasks]:
        """Around the task group of a task that starts `count` others, at least one, and waits for them."""
        fork = ForkedTasks(self, count)
        self._working += count - 1
        try:
            yield fork
        finally:
            self._working -= max(fork.left - 1, 0)  # those that were cancelled before they began

    def done(self, left: int) -> None:
        """A task has ended, and so many of the same fork have not; the last one hands on to who waits."""
        if left:
            self._working -= 1
            self._look()

    async def ask(
        self, question: Question, by: AskedBy, ask_here: Callable[[], Awaitable[Reply | None]]
    ) -> Reply | None:
        """Asks whoever is here, and any process that can write the journal; None: there is nobody.

        Raises `WaitsForPersonError` if nobody is here, and no task of the run works any more.
        """
        journal = self._journal
        if journal is None:
            return await ask_here()
        if (given := await journal.asked.ask(_kept(question, by))) is not None:
            return Reply(given)
        found: list[Reply] = []
        with anyio.CancelScope() as here:

            async def elsewhere() -> None:
                found.append(Reply(await journal.asked.answered(by.key)))
                here.cancel()

            async with beside(elsewhere=elsewhere):
                reply = await ask_here()
        if found:
            return found[0]
        if reply is not None or not self._parks:
            return reply
        return await self._away(question, journal, by)

    async def leave(self, question: Question) -> NoReturn:
        """The task goes no further, as if nobody answered, while others of the run go on.

        Raises `WaitsForPersonError` once none of them works any more.
        """
        with self._apart(question):
            await self._left.wait()
        raise WaitsForPersonError(self._open)

    @contextmanager
    def _apart(self, question: Question) -> Iterator[None]:
        """The task waits; the run is left if all others wait as well."""
        self._open.append(question)
        self._working -= 1
        try:
            self._look()
            yield
        finally:
            self._working += 1
            if not self._left.is_set():
                self._open.remove(question)

    async def _away(self, question: Question, journal: KeptRun, by: AskedBy) -> Reply:
        found: list[Reply] = []
        with self._apart(question):
            with anyio.CancelScope() as here:

                async def left() -> None:
                    await self._left.wait()
                    here.cancel()

                async with beside(left=left):
                    found.append(Reply(await journal.asked.answered(by.key)))
            if not found:
                raise WaitsForPersonError(self._open)
        return found[0]

    def _look(self) -> None:
        if self._working == 0 and self._open:
            self._left.set()


class ForkedTasks:
    """The tasks of one fork or list. Mutable: how many have not ended."""

    def __init__(self, waiting: Waiting, count: int) -> None:
        self.left, self._waiting = count, waiting

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around the whole of each of the tasks, within it."""
        try:
            yield
        finally:
            self.left -= 1
            self._waiting.done(self.left)


def _kept(question: Question, by: AskedBy) -> KeptQuestion:
    return KeptQuestion(
        run=question.run,
        key=by.key,
        kind=question.kind,
        parts=tuple((_text(one), isinstance(one, Filled)) for one in question.parts),
        choices=question.choices,
        default=question.default,
        asked_at=by.asked_at,
        until_s=by.until_s,
    )


def _text(part: str | Filled) -> str:
    return part if isinstance(part, str) else part.text


def question_from(kept: KeptQuestion) -> Question:
    """The question of a journal, for a person who is asked in another process."""
    kinds: dict[str, QuestionKind] = {one: one for one in get_args(QuestionKind)}
    return Question(
        run=kept.run,
        visit=0,
        path=kept.key.path,
        kind=kinds[kept.kind],
        parts=tuple(Filled(text) if is_value else text for text, is_value in kept.parts),
        choices=kept.choices,
        default=kept.default,
    )
