"""From the decode loop's thread to the caller's task: one answer's events, in order.

Above: `model.py` reads, `arena.py` writes. Below: nothing of the engine. Putting never blocks the decode
loop; reading waits on the event loop the stream was made on. Each wake of that loop takes time from the
engine's threads, so text that comes faster than eyes can follow is handed over in one piece.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial

import anyio

from samovar.background import caller_here
from samovar.engines.base import Finished, GenerationEvent, OnEnd
from samovar.generation import TextGenerated

WAKE_EVERY_S = 0.05
"""Text waits at most this long for more, and then goes with the next piece."""


class EventStream:
    """`put` and `fail` may be called from any thread; the rest belongs to the event loop's thread."""

    def __init__(self, on_end: OnEnd = lambda: None) -> None:
        """`on_end` is called when `Finished` or an error has been put, read or not."""
        self._on_end = on_end
        self._call = caller_here()
        self._events: deque[GenerationEvent | BaseException] = deque()
        self._wake = anyio.Event()
        self._woken_s = 0.0
        self.finished = anyio.Event()
        """Set when `Finished` or an error has been put: the arena holds nothing for this request."""

    def put(self, event: GenerationEvent) -> None:
        self._events.append(event)
        now_s = time.monotonic()
        if isinstance(event, TextGenerated):
            if now_s - self._woken_s < WAKE_EVERY_S:
                return
            self._woken_s = now_s
        self._tell(isinstance(event, Finished))

    def tell(self, what: Callable[[], None]) -> None:
        """Has something done on the event loop, before what is put later is read."""
        self._call(what)

    def fail(self, error: BaseException) -> None:
        """The reader gets `error` raised, and nothing after it."""
        self._events.append(error)
        self._tell(True)

    def _tell(self, finished: bool) -> None:
        self._call(partial(self._notice, finished))

    def _notice(self, finished: bool) -> None:
        if finished:
            self.finished.set()
            self._on_end()
        self._wake.set()

    async def next(self, timeout_s: float | None) -> GenerationEvent | None:
        """The next event, text joined; None when none came in time. Raises what `fail` was given."""
        if timeout_s is None:
            await self._wait()
        elif not self._events:
            with anyio.move_on_after(timeout_s):
                await self._wait()
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, BaseException):
            raise event
        return self._joined(event) if isinstance(event, TextGenerated) else event

    def _joined(self, event: TextGenerated) -> TextGenerated:
        """`event`, and what has come after it of the same kind."""
        pieces, tokens = [event.piece], list(event.tokens)
        while self._events and isinstance(following := self._events[0], TextGenerated):
            if following.kind != event.kind:
                break
            self._events.popleft()
            pieces.append(following.piece)
            tokens += following.tokens
        return TextGenerated(piece="".join(pieces), kind=event.kind, tokens=tuple(tokens))

    async def _wait(self) -> None:
        while not self._events:
            self._wake = anyio.Event()
            await self._wake.wait()
