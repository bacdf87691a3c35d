"""The clock of a run: it waits, limits time, and tells the time.

Above: `outside.py`, where a run finds its clock; the loop, which limits runs and sub-workflows by it. Below:
anyio. A clock of another kind, as that of the tests of workflows, needs to know only how many tasks of a run
continue at once: it lets time pass when all of them wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import anyio


class Branches(Protocol):
    """The tasks that a run continues in at once, until the last of them is done."""

    def one(self) -> AbstractContextManager[None]:
        """Around the whole of each of the tasks, within it."""
        ...

    def cancel(self) -> None:
        """Cancels all of them."""
        ...


class Clock(Protocol):
    """The time of one run."""

    def now_s(self) -> float:
        """Seconds since 1970. It may be set, forward and back."""
        ...

    def time_s(self) -> float:
        """Seconds since some moment; never less than before."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Returns when this much time has passed."""
        ...

    def move_on_after(self, duration_s: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """Cancels its body when this much time has passed, as `anyio.move_on_after` does; None: never."""
        ...

    def shielded(self) -> AbstractContextManager[object]:
        """Around what no cancellation from outside reaches: it comes when the body is left."""
        ...

    def branches(self, count: int, scope: anyio.CancelScope) -> Branches:
        """The task that calls this starts `count` tasks, at least one, in `scope`, and waits for them."""
        ...


class _TheseBranches:
    """See `Branches`: of a time that passes by itself."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope

    @contextmanager
    def one(self) -> Iterator[None]:
        yield

    def cancel(self) -> None:
        self._scope.cancel()


class MachineClock:
    """See `Clock`: the time of this machine."""

    def now_s(self) -> float:
        return time.time()

    def time_s(self) -> float:
        return time.perf_counter()

    async def sleep(self, duration_s: float) -> None:
        await anyio.sleep(duration_s)

    def move_on_after(self, duration_s: float | None) -> AbstractContextManager[anyio.CancelScope]:
        return anyio.move_on_after(duration_s)

    def shielded(self) -> AbstractContextManager[object]:
        return anyio.CancelScope(shield=True)

    def branches(self, count: int, scope: anyio.CancelScope) -> Branches:
        return _TheseBranches(scope)
