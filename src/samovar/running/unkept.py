"""A run that is kept if it can be: one that goes on without its journal if that fails.

Above: `keeping.py`, which makes these. Below: the journal's contract. Nobody asked for the journal by name,
so it may not break a run. But what a run does unkept must never be done again by a later process: the journal
is told that the run is not kept any more, and before that is known, nothing is done that may not be repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from samovar.errors import JournalError, LeaseLostError
from samovar.generation import Begun
from samovar.journal.base import (
    ForkEnds,
    Intent,
    KeptEnd,
    KeptRun,
    KeptStep,
    KeptVisit,
    RunHead,
    RunStatus,
    VisitKey,
    VisitOutcome,
)
from samovar.journal.people import AskedPeople, KeptQuestion

T = TypeVar("T")


class _AskedAtBest:
    """See `journal.people.AskedPeople`: a question that cannot be kept is asked here alone."""

    def __init__(self, run: BestEffort, asked: AskedPeople) -> None:
        self._run, self._asked = run, asked
        self.was_answered, self.answered = asked.was_answered, asked.answered

    async def ask(self, question: KeptQuestion) -> str | None:
        return await self._run.tried(lambda: self._asked.ask(question))


class BestEffort:
    """See `base.KeptRun`. Mutable: whether it is still kept, and whether the journal knows that it is not."""

    def __init__(self, run: KeptRun, lose: Callable[[JournalError], None]) -> None:
        """`lose`: told once, with the reason, if the run is not kept any more."""
        self.head: RunHead = run.head
        self.asked, self.driven_s = _AskedAtBest(self, run.asked), run.driven_s
        self._run, self._lose = run, lose
        self._lost: JournalError | None = None
        self._is_abandoned = False

    @property
    def kept(self) -> Sequence[KeptVisit]:
        return self._run.kept

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return self._run.recall(key)

    async def intend(self, intent: Intent) -> None:
        """Raises `JournalError` before what may not be repeated, if the journal would not know of it."""
        await self.tried(lambda: self._run.intend(intent))
        if self._lost is None or intent.is_repeatable:
            return
        await self._abandon()
        if not self._is_abandoned:
            raise JournalError(
                f"{self._lost} The run stops before {intent.key}, which must not be done twice. Once the "
                "journal can be written, `samovar resume` continues; `samovar run --no-journal` needs none."
            ) from self._lost

    async def leave(self, key: VisitKey, outcome: VisitOutcome, *, within: str | None = None) -> None:
        await self.tried(lambda: self._run.leave(key, outcome, within=within))

    def begun(self, key: VisitKey) -> Sequence[Begun]:
        return self._run.begun(key)

    def keep_begun(self, key: VisitKey, prompt: int, begun: Begun) -> None:
        if self._lost is None:
            self._run.keep_begun(key, prompt, begun)

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        return self._run.fork_of(key)

    async def decide(self, fork: ForkEnds) -> None:
        await self.tried(lambda: self._run.decide(fork))

    async def step(self, step: KeptStep) -> None:
        await self.tried(lambda: self._run.step(step))

    async def end(self, status: RunStatus, message: str = "", ending: KeptEnd | None = None) -> None:
        await self.tried(lambda: self._run.end(status, message, ending))
        await self._abandon()

    def key(self) -> bytes:
        return self._run.key()

    async def abandon(self, message: str) -> None:
        await self._run.abandon(message)

    async def tried(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """What a write gives; None if the run is not kept (any more)."""
        if self._lost is not None:
            return None
        try:
            return await write()
        except LeaseLostError:
            raise
        except JournalError as error:
            self._lost = error
            self._lose(error)
            await self._abandon()
            return None

    async def _abandon(self) -> None:
        if self._lost is None or self._is_abandoned:
            return
        try:
            await self._run.abandon(str(self._lost))
        except JournalError:  # as the writes before it: it is tried again before it matters
            return
        self._is_abandoned = True
