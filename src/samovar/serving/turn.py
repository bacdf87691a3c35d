"""One answer of a conversation: while it arrives, and its result and cost afterwards.

Above: `session.py`, which makes the events of a turn, and programs, which read them. Below: only the events.
It knows no pool and no messages: whatever the events hold is given back when they are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Self
from weakref import ref

import anyio

from samovar.engines.base import Finished, GenerationEvent
from samovar.errors import ClosedError, UsageError
from samovar.generation import (
    FinishReason,
    MessagePart,
    PartKind,
    TextGenerated,
    TokenCounts,
    ToolCall,
    joined,
)
from samovar.values import Record
from samovar.values.certainty import ChosenValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer and what it cost."""

    text: str
    """Without the reasoning."""
    reason: FinishReason
    """Why it ended."""
    tokens: TokenCounts
    first_token_s: float | None
    """From the call, waiting and loading included; None when no token came."""
    duration_s: float
    """From the call to the end, waiting and loading included."""
    dropped_messages: int = 0
    """The oldest ones that were left out to make room (`overflow="drop_oldest"`)."""
    parts: tuple[MessagePart, ...] = ()
    """All of it in its order, reasoning and text."""
    cut: PartKind | None = None
    """The part that did not end; None if all of it did."""
    chosen: tuple[ChosenValue, ...] = ()
    """The choices that the answer holds, with how sure the model was of each; empty if nobody says."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that the model calls (`FinishReason.CALLS`)."""
    tools_tokens: int = 0
    """Of the prompt: those of the tools' definitions."""
    context_tokens: int = 0
    """That the prompt and the answer had room for."""

    @classmethod
    def ended(
        cls,
        end: Finished,
        parts: tuple[MessagePart, ...],
        *,
        dropped: int,
        first_s: float | None,
        all_s: float,
    ) -> Self:
        """What came to its end so; `dropped` messages were left out. `first_s`, `all_s`: seconds from the
        call to the first token, and to the end."""
        return cls(
            text=joined(parts),
            reason=end.reason,
            tokens=end.tokens,
            first_token_s=first_s,
            duration_s=all_s,
            dropped_messages=dropped,
            parts=parts,
            cut=end.cut,
            chosen=end.chosen,
            calls=end.calls,
            tools_tokens=end.tools_tokens,
            context_tokens=end.context_tokens,
        )

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered."""
        return joined(self.parts, "reasoning")

    @property
    def json(self) -> Any:
        """The text read as JSON, which it is with `schema`; None if it is not JSON."""
        return Record(self.text).part("json") if self.text else None


def parts_of(pieces: Iterable[TextGenerated]) -> tuple[MessagePart, ...]:
    """The parts that an answer's pieces make: one for each stretch of a kind. Calls are no parts."""
    pieces = [piece for piece in pieces if piece.kind != "call"]
    parts: list[MessagePart] = []
    for kind, group in groupby(pieces, key=lambda piece: piece.kind):
        run = list(group)
        tokens = tuple(chain.from_iterable(piece.tokens for piece in run))
        parts.append(MessagePart(kind=kind, text="".join(piece.piece for piece in run), tokens=tokens))
    return tuple(parts)


def current_task() -> asyncio.Task[object]:
    """The task that calls."""
    task = asyncio.current_task()
    assert task is not None, "a session is used in a task"
    return task


class AnswerStream:
    """One answer as it comes: iterate over its pieces of text; `turn` has the whole of it afterwards.

    What the model thinks first is not among the pieces of text; `next_event` has it.

    It begins with the first piece that is asked for. Leaving `async with`, or `aclose`, stops it; so does
    the cancellation of the task that waits for a piece. A stream that is dropped in a loop is stopped
    when the interpreter finds it. Mutable: whether somebody waits for an event, and what came of it.
    """

    def __init__(self, events: AsyncGenerator[GenerationEvent | Turn, None]) -> None:
        self._events = events
        self._use = anyio.Lock(fast_acquire=True)
        self._waiting: anyio.CancelScope | None = None
        self._closed = False
        self._turn: Turn | None = None
        self.paused_in: ref[asyncio.Task[object]] | None = None
        """The task that had the last event, while the stream waits to be asked for the next one."""

    @property
    def turn(self) -> Turn:
        """The whole answer and what it cost. Raises `UsageError` before the stream has ended."""
        if self._turn is None:
            raise UsageError("The answer has not ended: iterate over the stream first.")
        return self._turn

    async def next_event(self) -> GenerationEvent | None:
        """What happens next; None after the last.

        Raises what the model raised, and `ClosedError` when it was closed before its end.
        """
        async with self._use:
            self.paused_in = None
            item: GenerationEvent | Turn | None = None
            if not self._closed:
                with anyio.CancelScope() as self._waiting:
                    item = await anext(self._events, None)
                self._waiting = None
            if isinstance(item, Turn):
                self._turn = item
            elif self._closed and self._turn is None:
                raise ClosedError("The answer was closed before its end.")
            elif item is not None:
                self.paused_in = ref(current_task())
                return item
            return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while (event := await self.next_event()) is not None:
            if isinstance(event, TextGenerated) and event.kind == "text" and event.piece:
                return event.piece
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stops the answer. When it returns everything has been given back. From any task; safe twice."""
        self._closed = True
        self.paused_in = None
        if self._waiting is not None:
            self._waiting.cancel()
        with anyio.CancelScope(shield=True):
            async with self._use:
                await self._events.aclose()
