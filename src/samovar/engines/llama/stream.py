"""From the decode loop's thread to the caller's task: one answer's events, in order.

Above: `model.py` reads, `arena.py` writes. Below: nothing of the engine. Putting never blocks the decode
loop; reading waits on the event loop the stream was made on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import anyio

from samovar.engines.base import Finished, GenerationEvent


class EventStream:
    """`put` and `fail` may be called from any thread; the rest belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[GenerationEvent | BaseException] = deque()
        self._wake = anyio.Event()
        self.finished = anyio.Event()
        """Set when `Finished` or an error has been put: the arena holds nothing for this request."""

    def put(self, event: GenerationEvent) -> None:
        self._append(event)

    def fail(self, error: BaseException) -> None:
        """The reader gets `error` raised, and nothing after it."""
        self._append(error)

    def _append(self, event: GenerationEvent | BaseException) -> None:
        self._events.append(event)
        # A closed event loop means that nobody is there to be told.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._notice, isinstance(event, Finished | BaseException))

    def _notice(self, finished: bool) -> None:
        if finished:
            self.finished.set()
        self._wake.set()

    async def next(self, timeout_s: float | None) -> GenerationEvent | None:
        """The next event; None when none came in time. Raises what `fail` was given."""
        if timeout_s is None:
            await self._wait()
        else:
            with anyio.move_on_after(timeout_s):
                await self._wait()
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, BaseException):
            raise event
        return event

    async def _wait(self) -> None:
        while not self._events:
            self._wake = anyio.Event()
            await self._wake.wait()
