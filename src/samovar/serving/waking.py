"""Wakes those who got an answer: a limited number in each turn of the event loop.

Above: `ledger.py`, `pool.py`. Below: anyio. Anyone who is woken continues in the next turn, and if thousands
did that in one turn, nothing else would move meanwhile. It does not know what they waited for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable

import anyio

WOKEN_AT_ONCE = 16


class Waking:
    """Mutable: who is to be woken, and how many still can be in this turn; changed by `wake` and `_turn`."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Hashable, deque[anyio.Event]] = OrderedDict()
        self._left = WOKEN_AT_ONCE
        self._is_due = False

    def wake(self, event: anyio.Event, kind: Hashable) -> None:
        """Sets `event` now or in one of the next turns. On the event loop's thread.

        Those of one kind come in the order of asking, and the kinds have turns.
        """
        self._lines.setdefault(kind, deque()).append(event)
        self._wake_some()

    def _wake_some(self) -> None:
        while self._left and self._lines:
            self._left -= 1
            kind, line = self._lines.popitem(last=False)
            line.popleft().set()
            if line:
                self._lines[kind] = line
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A turn later."""
        self._is_due = False
        self._left = WOKEN_AT_ONCE
        if self._lines:
            self._wake_some()
