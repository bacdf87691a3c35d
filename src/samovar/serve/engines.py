"""The worker as the daemon sees it: started with the first wire, and again after it has ended.

Above: the daemon. Below: `worker.py`, which is a process of its own. What the worker writes to standard error
is kept, so that what a crash says is in the message of those who waited. Mutable: the process.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, Process, TaskGroup, UNIXSocketStream

from samovar.config import Settings
from samovar.errors import EngineLostError
from samovar.serve.worker import END, NO_DAEMON, WIRE, to_json

ENDS_S = 15.0
"""A worker that was told to end has this long to give everything back."""
KEPT_LINES = 20

_log = logging.getLogger("samovar.serve")


class Engines:
    """Use as `async with engines(settings) as made`."""

    def __init__(self, settings: Settings, tasks: TaskGroup) -> None:
        self._settings, self._tasks = settings, tasks
        self._starting = anyio.Lock()
        self._process: Process | None = None
        self._control: UNIXSocketStream | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._ended = anyio.Event()
        self.starts = 0
        """How often a worker was started."""
        self.crashes = 0
        """How often one ended that was not told to."""
        self.last_end: str | None = None
        """How the last one ended that was not told to, for a person."""
        self._is_closing = False

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none."""
        return None if self._process is None else self._process.pid

    async def connect(self) -> ByteStream:
        """A wire to the worker, which is started if there is none. Raises `EngineLostError`."""
        async with self._starting:
            if self._process is None:
                with anyio.CancelScope(shield=True):  # one without its settings would wait for them for ever
                    await self._start()
            here, there = socket.socketpair()
            try:
                assert self._control is not None
                await self._control.send_fds(WIRE, [there.fileno()])
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                here.close()
                await self._ended.wait()
                raise EngineLostError(self.why_lost()) from None
            finally:
                there.close()
            return await UNIXSocketStream.from_socket(here)

    async def ended(self) -> None:
        """Returns when there is no worker any more."""
        await self._ended.wait()

    def why_lost(self) -> str:
        """The message for those who waited when it ended."""
        how = self.last_end or "ended"
        return f"The process that has the models {how}. The next prompt starts another one and loads again."

    async def _start(self) -> None:
        here, there = socket.socketpair()
        with there:
            try:
                process = await anyio.open_process(
                    [sys.executable, "-P", "-m", "samovar.serve.worker", str(there.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(there.fileno(),),
                    start_new_session=True,  # what interrupts the daemon must not interrupt it
                )
            except OSError as error:
                here.close()
                raise EngineLostError(
                    f"The process for the models cannot be started: {error.strerror}."
                ) from None
        self._process, self._control = process, await UNIXSocketStream.from_socket(here)
        self._ended = anyio.Event()
        self._lines.clear()
        self.starts += 1
        self._tasks.start_soon(self._watch, process, name="watches the worker")
        assert process.stdin is not None
        with suppress(anyio.BrokenResourceError, OSError):
            await process.stdin.send(to_json(self._settings))
            await process.stdin.aclose()

    async def _watch(self, process: Process) -> None:
        try:
            await self._read_errors(process)
            await process.wait()
            if not self._is_closing:
                self.crashes += 1
                self.last_end = _ending(process.returncode, self._lines)
                _log.error("the worker %s", self.last_end)
        finally:
            with anyio.CancelScope(shield=True):
                await self._forget(process)

    async def _read_errors(self, process: Process) -> None:
        assert process.stderr is not None
        rest = ""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                text = rest + (await process.stderr.receive()).decode("utf-8", "replace")
                *lines, rest = text[-10_000:].split("\n")
                self._lines += [line for line in lines if line.strip()]
        if rest.strip():
            self._lines.append(rest)

    async def _forget(self, process: Process) -> None:
        if process.returncode is None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await process.aclose()
        if self._control is not None:
            await self._control.aclose()
        self._process = self._control = None
        self._ended.set()

    async def close(self) -> None:
        """The worker gives everything back, and ends."""
        self._is_closing = True
        with anyio.CancelScope(shield=True):
            if self._process is None or self._control is None:
                return
            with anyio.move_on_after(ENDS_S), suppress(OSError, anyio.BrokenResourceError):
                await self._control.send(END)
                await self._ended.wait()


def _ending(status: int | None, lines: deque[str]) -> str:
    if status is not None and status < 0:
        try:
            how = f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            how = f"was ended by signal {-status}"
    else:
        how = "ended" if status == NO_DAEMON else f"ended with status {status}"
    said = lines[-1].strip()[:300] if lines else ""
    return f"{how} ({said})" if said else how


@asynccontextmanager
async def engines(settings: Settings) -> AsyncIterator[Engines]:
    """No worker yet; on leaving, none any more."""
    async with anyio.create_task_group() as tasks:
        made = Engines(settings, tasks)
        try:
            yield made
        finally:
            await made.close()
            tasks.cancel_scope.cancel()
