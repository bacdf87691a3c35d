"""Background tasks that end with a block; and work in a thread that nobody has to wait for.

Above: the command line, fetches, executors and servers that are kept open: what watches, listens or waits
while something runs. Below: anyio, the errors. An exception comes out as itself, in no group.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel

from samovar.errors import SamovarError

T = TypeVar("T")
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


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises, in a thread of its own.

    Cancelled, it is left behind, and does not keep the process from ending: `work` must not matter then.
    """
    token, finished = anyio.lowlevel.current_token(), anyio.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed on: it is raised below
            errors.append(error)
        with suppress(RuntimeError):  # the event loop has ended
            anyio.from_thread.run_sync(finished.set, token=token)

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
