"""The clock of a case: time passes at once, and only while all tasks of the run wait.

Above: the stage. Below: the contract of clocks, `actions/clock.py`. Whatever is due first happens first: a
sleep ends, or a limit is reached. What takes as long as its limit is over it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio
from anyio.lowlevel import checkpoint

FOREVER_S = math.inf

_SCOPES: ContextVar[tuple[anyio.CancelScope, ...]] = ContextVar("scopes", default=())
"""What this task can be cancelled by, as far as the clock knows of it."""


class EndlessError(Exception):
    """All tasks of the run sleep, none of them ever ends, and no limit is there to end them."""


class _Sleeper:
    """A task that sleeps. Mutable: whether it is awake again."""

    def __init__(self, due_s: float) -> None:
        self.due_s = due_s
        self.scopes = _SCOPES.get()
        self.woken = anyio.Event()
        self.is_awake = False


class SimulatedClock:
    """See `actions.clock.Clock`. Mutable: the time, who sleeps, and which limits there are."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._began_s = time.time()
        self._busy = 1
        """Tasks of the run that do not sleep, nor wait for branches of theirs."""
        self._sleepers: list[_Sleeper] = []
        """In the order in which they fell asleep."""
        self._limits: list[tuple[float, anyio.CancelScope]] = []
        """When each is reached."""

    def now_s(self) -> float:
        return self._began_s + self._now_s

    def time_s(self) -> float:
        return self._now_s

    async def sleep(self, duration_s: float) -> None:
        """Raises `EndlessError`."""
        await checkpoint()
        if duration_s <= 0:
            return
        sleeper = _Sleeper(self._now_s + duration_s)
        self._sleepers.append(sleeper)
        try:
            self._rest()
            await sleeper.woken.wait()
        finally:
            self._wake(sleeper)

    @contextmanager
    def move_on_after(self, duration_s: float | None) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope, self._within(scope):
            limit = (self._now_s + (FOREVER_S if duration_s is None else duration_s), scope)
            self._limits.append(limit)
            try:
                yield scope
            finally:
                if limit in self._limits:
                    self._limits.remove(limit)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        token = _SCOPES.set(())
        try:
            with anyio.CancelScope(shield=True):
                yield
        finally:
            _SCOPES.reset(token)

    def branches(self, count: int, scope: anyio.CancelScope) -> _SimulatedBranches:
        self._busy += count - 1
        return _SimulatedBranches(self, count, scope)

    # For branches.

    @contextmanager
    def _within(self, scope: anyio.CancelScope) -> Iterator[None]:
        token = _SCOPES.set((*_SCOPES.get(), scope))
        try:
            yield
        finally:
            _SCOPES.reset(token)

    def _cancel(self, scope: anyio.CancelScope) -> None:
        """Cancels, and counts all that sleep within as awake at once: time must not pass before they are."""
        for sleeper in [one for one in self._sleepers if scope in one.scopes]:
            self._wake(sleeper, rings=False)
        scope.cancel()

    # Time.

    def _rest(self) -> None:
        """One task less is busy. With the last of them, time passes until something happens."""
        self._busy -= 1
        while not self._busy:
            self._pass_time()

    def _pass_time(self) -> None:
        sleeper = min(self._sleepers, key=lambda one: one.due_s)
        limit = min(self._limits, key=lambda one: one[0], default=None)
        if limit is not None and limit[0] <= sleeper.due_s and limit[0] < FOREVER_S:
            self._now_s = max(self._now_s, limit[0])
            self._limits.remove(limit)
            self._cancel(limit[1])
        elif sleeper.due_s < FOREVER_S:
            self._now_s = sleeper.due_s
            self._wake(sleeper)
        else:
            raise EndlessError

    def _wake(self, sleeper: _Sleeper, *, rings: bool = True) -> None:
        if not sleeper.is_awake:
            sleeper.is_awake = True
            self._sleepers.remove(sleeper)
            self._busy += 1
            if rings:
                sleeper.woken.set()


class _SimulatedBranches:
    """See `actions.clock.Branches`. Mutable: how many are not done."""

    def __init__(self, clock: SimulatedClock, count: int, scope: anyio.CancelScope) -> None:
        self._clock, self._left, self._scope = clock, count, scope

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._clock._within(self._scope):
            try:
                yield
            finally:
                self._left -= 1
                if self._left:  # the last one hands its turn back to the task that started them
                    self._clock._rest()

    def cancel(self) -> None:
        self._clock._cancel(self._scope)
