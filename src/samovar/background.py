"""Background tasks that end with a block, what is kept open until it ends, and threads nobody waits for.

Above: the command line, fetches, executors and servers that are kept open: what watches, listens or waits
while something runs. Below: anyio, the errors. An exception comes out as itself, in no group.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from samovar.errors import SamovarError

T = TypeVar("T")
R = TypeVar("R")
Call = Callable[[Callable[[], object]], None]
"""Has a function called on an event loop, from any thread."""


def caller_here() -> Call:
    """Has functions called on the running event loop, in the order given, by whatever thread asks for it.

    They run in the context of whoever made this: a thread's own says nothing of the loop, and anyio, if
    sniffio is installed, would not know what it runs on. Nothing happens once the loop is closed.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()

    def call(function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            loop.call_soon_threadsafe(function, context=context)

    return call


@asynccontextmanager
async def beside(**functions: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Runs each function as a task, named by its keyword, until the body ends.

    The first exception, of the body or of a task, ends the rest and is raised.
    """
    errors: list[Exception] = []

    async def guarded(function: Callable[[], Awaitable[object]]) -> None:
        try:
            await function()
        except Exception as error:  # handed on: it is raised below
            errors.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for name, function in functions.items():
            tasks.start_soon(guarded, function, name=name)
        try:
            yield
        except Exception as error:  # handed on: it is raised below
            errors.append(error)
        finally:
            tasks.cancel_scope.cancel()
    if errors:
        raise errors[0]


@dataclass(slots=True, eq=False)
class KeptOpen(Generic[R]):
    """Something that is open. Changed by the task that keeps it."""

    it: R
    asking: set[anyio.CancelScope] = field(default_factory=set)
    """The scopes of those who wait for an answer of it."""
    error: Exception | None = None
    """Why it is open no more, although somebody may ask it."""

    async def asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What it answers. Raises what it failed with, also while it is asked."""
        with anyio.CancelScope() as scope:
            self.asking.add(scope)
            try:
                if self.error is None:
                    return await ask()
            finally:
                self.asking.discard(scope)
        assert self.error is not None, "only what has failed stops those who ask"
        raise self.error


class KeepsOpen(Generic[R]):
    """Opens things when they are first asked for, and closes them all at the end (`keeping_open`).

    One task opens a thing and closes it, so that it may keep tasks of its own in between. Mutable: those that
    are open; `is_over` closes them; `errors` are raised then.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._open: dict[str, KeptOpen[R]] = {}
        self._opening: dict[str, anyio.Lock] = {}
        self.is_over = anyio.Event()
        self.errors: list[BaseException] = []

    def all(self) -> tuple[R, ...]:
        """Those that are open."""
        return tuple(kept.it for kept in self._open.values())

    async def opened(self, name: str, opens: Callable[[], AbstractAsyncContextManager[R]]) -> KeptOpen[R]:
        """The one of this name, which `opens` opens, if it is the first time. Raises what that raises."""
        async with self._opening.setdefault(name, anyio.Lock()):
            if name not in self._open:
                self._open[name] = await self._tasks.start(self._keep, opens, name=f"keeps {name}")
            return self._open[name]

    async def _keep(
        self, opens: Callable[[], AbstractAsyncContextManager[R]], *, task_status: TaskStatus[KeptOpen[R]]
    ) -> None:
        kept: KeptOpen[R] | None = None
        try:
            async with opens() as it:
                kept = KeptOpen(it)
                task_status.started(kept)
                await self.is_over.wait()
        except Exception as raised:  # handed on: to who asks, or by `keeping_open` when all are closed
            error = alone(raised)
            if kept is None:
                raise error from None
            if self.is_over.is_set():
                self.errors.append(error)
            kept.error = error
            for scope in kept.asking:
                scope.cancel()


@asynccontextmanager
async def keeping_open() -> AsyncIterator[KeepsOpen[Any]]:
    """What is opened in the body is closed when that ends. The first error is raised: the body's, if any."""
    async with anyio.create_task_group() as tasks:
        keeps = KeepsOpen[Any](tasks)
        try:
            yield keeps
        except BaseException as error:  # handed on: it is raised below, in no group
            keeps.errors.insert(0, error)
        finally:
            keeps.is_over.set()
    if keeps.errors:
        raise keeps.errors[0]


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises, in a thread of its own.

    Cancelled, it is left behind, and does not keep the process from ending: `work` must not matter then.
    """
    call, finished = caller_here(), anyio.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed on: it is raised below
            errors.append(error)
        call(finished.set)  # without waiting for it: the loop may be busy, or end before

    threading.Thread(target=run, name=name, daemon=True).start()
    await finished.wait()
    if errors:
        raise errors[0]
    return results[0]


def alone(error: Exception) -> Exception:
    """What was raised, without the groups around it: an error of this project first, if there is one."""
    found: list[Exception] = [error]
    while any(isinstance(one, ExceptionGroup) for one in found):
        found = [
            inner
            for one in found
            for inner in (one.exceptions if isinstance(one, ExceptionGroup) else (one,))
        ]
    return next((one for one in found if isinstance(one, SamovarError)), found[0])
