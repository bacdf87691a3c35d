"""`samovar mcp`: the server of the Model Context Protocol on standard input and output.

Above: the command. Below: the package `mcp`. Standard output carries the protocol alone:
while the server runs, whatever else writes to it, children too, writes to standard error, and nobody but the
protocol reads standard input. Nothing here waits in a thread that a signal could not end.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from samovar.errors import UsageError

MOST_LINE_BYTES = 16 << 20
"""Of one message."""
PIECE_BYTES = 1 << 16
AT_ONCE_BYTES = 512
"""A pipe that takes anything takes as much without waiting (POSIX: PIPE_BUF is no less)."""


async def serve_stdio(server: Server[Any]) -> None:
    """Serves one client until it closes standard input, or goes. Raises `UsageError` for endless lines."""
    with _taken() as (read, write):
        lines, out = _Lines(read), _Out(write)
        try:
            async with stdio_server(lines, out) as (received, sent):  # type: ignore[arg-type]
                await server.run(received, sent, server.create_initialization_options())
        except* (BrokenPipeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client is gone


@contextmanager
def _taken() -> Iterator[tuple[int, int]]:
    """The two streams for the protocol alone: descriptors that no child inherits."""
    read, write = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        yield read, write
    finally:
        os.dup2(read, 0)
        os.dup2(write, 1)
        for one in (read, write, nothing):
            os.close(one)


class _Lines:
    """The lines of a descriptor, as the package reads them. Mutable: what has come of the next one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._come = descriptor, bytearray()

    def __aiter__(self) -> AsyncIterator[str]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[str]:
        while piece := await self._piece():
            *whole, rest = piece.split(b"\n")
            for line in whole:
                self._come += line
                text, self._come = self._come.decode("utf-8", "replace"), bytearray()
                if text.strip():
                    yield text
            self._come += rest
            if len(self._come) > MOST_LINE_BYTES:
                raise UsageError(f"A message has more than {MOST_LINE_BYTES >> 20} MB.")

    async def _piece(self) -> bytes:
        try:
            await anyio.wait_readable(self._descriptor)
        except PermissionError:  # a file can always be read
            await anyio.lowlevel.checkpoint()
        return os.read(self._descriptor, PIECE_BYTES)


class _Out:
    """A descriptor as the package writes to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, text: str) -> None:
        left = memoryview(text.encode("utf-8", "replace"))
        while left:
            try:
                await anyio.wait_writable(self._descriptor)
            except PermissionError:  # a file can always be written
                await anyio.lowlevel.checkpoint()
            left = left[os.write(self._descriptor, left[:AT_ONCE_BYTES]) :]

    async def flush(self) -> None:
        pass
