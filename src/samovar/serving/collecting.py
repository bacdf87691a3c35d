"""Delays Python's full garbage collections while very many turns are open.

Above: `pool.py`. Below: nothing. A full collection walks over all objects that there are, some 90 for each
open turn, and holds the event loop for that time: 0.1 s for 4,000 turns. Younger objects are collected as
always, and the full collection comes when most turns have ended.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY_TURNS = 500
_NEVER = 2**31 - 1


class Collecting:
    """Mutable: how many turns are open, and what the thresholds were before there were many."""

    def __init__(self) -> None:
        self._open = 0
        self._before: tuple[int, int, int] | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While it lasts a turn is open."""
        self._open += 1
        if self._open > MANY_TURNS and self._before is None:
            young, middle, full = gc.get_threshold()
            if full != _NEVER:  # which somebody else sets back
                self._before = young, middle, full
                gc.set_threshold(young, middle, _NEVER)
        try:
            yield
        finally:
            self._open -= 1
            if self._open <= MANY_TURNS // 2 and self._before is not None:
                if gc.get_threshold()[2] == _NEVER:  # nobody has changed it meanwhile
                    gc.set_threshold(*self._before)
                self._before = None
