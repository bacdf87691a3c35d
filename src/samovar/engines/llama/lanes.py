"""Work with one model's vocabulary in the background: short texts do not wait for long ones.

Above: `model.py`. Below: anyio. A caller that is cancelled continues at once; its work, which nothing can
interrupt, ends by itself, and until then nothing else begins in its lane, and nothing that it uses is freed.
It does not know what the work is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.to_thread

from samovar.background import caller_here
from samovar.errors import ClosedError

T = TypeVar("T")

LONG_CHARACTERS = 20_000
"""Characters of all messages together. Work on more is long."""


class Lanes:
    """One piece of work in each lane, the others in the order in which they ask.

    Mutable: how much is under way, and whether it is closed, both changed under the lock.
    """

    def __init__(self) -> None:
        self._short, self._long = anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)
        self._change = threading.Condition()
        self._under_way = 0
        self._is_closed = False

    async def run(self, work: Callable[[], T], characters: int) -> T:
        """What `work` returns or raises. `characters`: how long that is which it works on.

        Raises `ClosedError` after `close`, and then does nothing.
        """
        lane = self._long if characters > LONG_CHARACTERS else self._short
        call = caller_here()
        is_begun, is_given_up = False, threading.Event()
        borrower = object()

        def give_back() -> None:
            with suppress(RuntimeError):  # it was given back before
                lane.release_on_behalf_of(borrower)

        def run_here() -> T:
            nonlocal is_begun
            is_begun = True
            try:
                return self._run(work, is_given_up)
            finally:
                call(give_back)

        await lane.acquire_on_behalf_of(borrower)
        try:
            return await anyio.to_thread.run_sync(run_here, abandon_on_cancel=True)
        finally:
            is_given_up.set()
            if not is_begun:  # it was cancelled before a thread took it
                give_back()

    def _run(self, work: Callable[[], T], is_given_up: threading.Event) -> T:
        with self._change:
            if self._is_closed or is_given_up.is_set():
                raise ClosedError("The model was closed.")
            self._under_way += 1
        try:
            return work()
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify_all()

    def close(self) -> None:
        """Blocks until nothing is under way; nothing begins any more. Safe to call twice."""
        with self._change:
            self._is_closed = True
            self._change.wait_for(lambda: not self._under_way)
