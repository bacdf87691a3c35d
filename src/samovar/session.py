"""One conversation: the messages so far, and how the next answer is got.

Above: `executors/local.py`, and scripts that need no workflow. Below: `pool.py`. A session holds messages,
not memory: it borrows the model for a turn and gives the sequence back after it, on every path; what the
model has evaluated may stay parked there and be found again by the next turn.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from samovar.engines.base import Conversation, Finished, GenerationEvent, ModelSpec, TextPart
from samovar.errors import ClosedError
from samovar.generation import FinishReason, Message, Options, TokenCounts
from samovar.pool import Pool

OnGenerationEvent = Callable[[GenerationEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer and what it cost."""

    text: str
    reason: FinishReason
    tokens: TokenCounts
    first_token_s: float | None
    """From the call, waiting and loading included; None when no token came."""
    duration_s: float


def _ignore(_event: object) -> None:
    """Nobody listens."""


class Session:
    """One conversation with one model. Answers one turn at a time; further calls wait."""

    def __init__(self, pool: Pool, spec: ModelSpec, on_close: Callable[[], None]) -> None:
        self._pool, self._spec, self._on_close = pool, spec, on_close
        self._messages: list[Message] = []
        self._turn = anyio.Lock()
        self._conversation = Conversation()
        self._closed = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far. A turn that did not come to its end is not in it."""
        return tuple(self._messages)

    async def ask(
        self,
        messages: Sequence[Message],
        options: Options | None = None,
        *,
        on_event: OnGenerationEvent = _ignore,
        on_load: Callable[[float], None] = _ignore,
    ) -> Turn:
        """Says `messages` and returns the answer.

        A `system` message replaces the one the conversation has. Both callbacks run on the event loop; an
        exception in one stops the turn and comes out. Raises `ModelError`, and `ClosedError` after `close`.
        """
        async with self._turn:
            if self._closed:
                raise ClosedError("The session was closed.")
            started = time.monotonic()
            said = self._with(messages)
            text: list[str] = []
            first_token_s: float | None = None
            end: Finished | None = None
            async with (
                self._pool.lease(self._spec, on_load) as model,
                model.generate(said, options or Options(), self._conversation) as events,
            ):
                async for event in events:
                    if isinstance(event, TextPart):
                        if first_token_s is None:
                            first_token_s = time.monotonic() - started
                            self._pool.has_generated(model)
                        text.append(event.text)
                    elif isinstance(event, Finished):
                        end = event
                    on_event(event)
            assert end is not None, "an engine's events end with Finished"
            answer = "".join(text)
            if end.reason is not FinishReason.CANCELLED:
                self._messages = [*said, Message(role="assistant", content=answer)]
            return Turn(
                text=answer,
                reason=end.reason,
                tokens=end.tokens,
                first_token_s=first_token_s,
                duration_s=time.monotonic() - started,
            )

    def _with(self, messages: Sequence[Message]) -> list[Message]:
        before = self._messages
        if any(message.role == "system" for message in messages):
            before = [message for message in before if message.role != "system"]
        system = [message for message in (*before, *messages) if message.role == "system"]
        return system + [message for message in (*before, *messages) if message.role != "system"]

    def close(self) -> None:
        """The conversation is over. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._messages = []
            self._conversation.leave()
            self._on_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatistics:
    """How many sessions there were."""

    opened: int
    closed: int


class Sessions:
    """Opens sessions on one pool, and counts them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._opened = 0
        self._closed = 0

    @asynccontextmanager
    async def open(self, spec: ModelSpec) -> AsyncIterator[Session]:
        """A fresh conversation with the model; closed when the context ends."""
        session = Session(self.pool, spec, self._count_closed)
        self._opened += 1
        try:
            yield session
        finally:
            session.close()

    def _count_closed(self) -> None:
        self._closed += 1

    def statistics(self) -> SessionStatistics:
        return SessionStatistics(opened=self._opened, closed=self._closed)

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        assert 0 <= self._closed <= self._opened
        self.pool.check()
