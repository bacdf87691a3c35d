"""What a client is told of a run while it is in progress: the states entered, and the items that are done.

Above: `mcp_tools.py`. Below: events. Nobody waits for a client that does not listen: what it is too slow for
is left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from samovar.background import beside
from samovar.events import Event, ItemsProgressed, RunStarted, StateEntered

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Progress so far, in all, and a line about it."""
MOST_WAITING = 64
MOST_LINE_CHARS = 200


class Progress:
    """The progress of one call. Mutable: how many lines there were."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._count = 0
        self._send, self._receive = anyio.create_memory_object_stream[str](MOST_WAITING)
        self._is_told = anyio.Event()
        self._names: dict[int, str] = {}

    def hear(self, event: Event) -> None:
        """See `events.OnEvent`."""
        line = self._line(event)
        if line is not None:
            try:
                self._send.send_nowait(line[:MOST_LINE_CHARS])
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    def _line(self, event: Event) -> str | None:
        if isinstance(event, RunStarted):
            return None if self._names else f"run {event.run} of {event.workflow}"
        if isinstance(event, StateEntered):
            if event.visit in self._names:  # of a run that goes on, what was done before it asked
                return None
            self._names[event.visit] = event.path
            return f"{event.path}: {event.what}" if event.what else event.path
        if isinstance(event, ItemsProgressed):
            return f"{self._names.get(event.visit, 'items')}: {event.done} of {event.total} items are done"
        return None

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """While it is open, the client hears what there is; on leaving without an error, all of it."""
        with self._send, self._receive:
            async with beside(progress=self._tell):
                yield
                self._send.close()
                await self._is_told.wait()

    async def _tell(self) -> None:
        try:
            async for line in self._receive:
                self._count += 1
                await self._report(float(self._count), None, line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):  # the client is gone
            return
        finally:
            self._is_told.set()
