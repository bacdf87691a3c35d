"""Fills texts and evaluates expressions within bounds: short ones at once, long ones in the background.

Above: the actions, and the loop of a run for its conditions. Below: `values.py` and `meter.py`, where the
bounds of the current computation are. What is long is begun again in a thread, so that branches, live lines,
time limits and Ctrl-C continue meanwhile. It knows nothing of what is computed, but that it changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import anyio
from anyio.to_thread import run_sync

from samovar.expressions.meter import LOOK, Look
from samovar.values import MOST_VALUE_BYTES, limited

SHORT_US = 3000
"""What the event loop waits for, in steps of about a microsecond: counted, so that the same texts are long on
any machine."""
BREATH_S = 0.00005
"""How long a thread lets go of the interpreter at each look, so that an engine's need not ask for it."""
THREADS = 2
"""For what is long in one run; more would only wait for each other."""

T = TypeVar("T")


class Compute(Protocol):
    """Computes something; see `Computer.compute`."""

    async def __call__(self, work: Callable[[], T]) -> T: ...


class _LongError(BaseException):
    """Others should not wait for it."""


class _UnwantedError(BaseException):
    """Nobody waits for it any more."""


class Computer:
    """Computes what one run fills in. Mutable: its threads, and how many computations were long."""

    def __init__(self, value_bytes: int = MOST_VALUE_BYTES) -> None:
        self.long = 0
        """Computations that went into a thread."""
        self._value_bytes = value_bytes
        self._threads: anyio.CapacityLimiter | None = None

    async def compute(self, work: Callable[[], T]) -> T:
        """What `work` gives, or raises. It may be called twice, the second time in a thread.

        Cancelled, it returns at once; the thread ends at its next look.
        """
        left_us = SHORT_US

        def look(steps_us: int) -> None:
            nonlocal left_us
            left_us -= steps_us
            if left_us < 0:
                raise _LongError

        try:
            with self._bounds(look):
                return work()
        except _LongError:
            pass
        return await self._compute_beside(work)

    async def _compute_beside(self, work: Callable[[], T]) -> T:
        self.long += 1
        unwanted = threading.Event()

        def look(_: int) -> None:
            if unwanted.wait(BREATH_S):
                raise _UnwantedError

        def bounded() -> T:
            with self._bounds(look):
                return work()

        self._threads = self._threads or anyio.CapacityLimiter(THREADS)
        try:
            return await run_sync(bounded, abandon_on_cancel=True, limiter=self._threads)
        finally:
            unwanted.set()

    @contextmanager
    def _bounds(self, look: Look) -> Iterator[None]:
        told = LOOK.set(look)
        try:
            with limited(self._value_bytes):
                yield
        finally:
            LOOK.reset(told)


async def compute_at_once(work: Callable[[], T]) -> T:
    """For anyone who has no others to wait for it."""
    return work()
