"""Tasks beside a body: they end with it, and an exception comes out as itself, in no group.

Above: the command line and fetches, which watch and listen while something goes on. Below: anyio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio


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
