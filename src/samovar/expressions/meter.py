"""What an evaluation may use, counted while it goes on: steps, and bytes of what it makes.

Above: everything here that computes. Below: nothing. A step is about a tenth of a microsecond, on any machine
the same one, so that an expression is refused on all machines or on none.
"""

from __future__ import annotations

from collections.abc import Callable

MOST_STEPS = 5_000_000
"""Of one evaluation: about a second."""
MOST_BYTES = 64 * 1024 * 1024
"""Of all the texts, lists and maps that one evaluation makes, those within others too."""
ITEM_BYTES = 16
"""Of an item in a list or a map."""
_BLOCK = 4096
"""Steps between two looks at `stop`."""
_BYTES_A_STEP = 256
"""Bytes that are copied or compared in about the time of a step."""


class SpentError(Exception):
    """The evaluation would use more than it may; the message says what."""


class GivenUpError(Exception):
    """Whoever wanted the value wants it no longer."""


class Meter:
    """What is left of one evaluation's steps and bytes. Changed by `spend` and `made`."""

    __slots__ = ("_bytes", "_given", "_left", "_rest", "_stop")

    def __init__(
        self, *, steps: int = MOST_STEPS, size_bytes: int = MOST_BYTES, stop: Callable[[], bool] | None = None
    ) -> None:
        """`stop` is asked every few thousand steps whether to give up."""
        self._given, self._rest, self._left = steps, steps, 0
        self._bytes, self._stop = size_bytes, stop

    @property
    def steps(self) -> int:
        """Steps used so far."""
        return self._given - self._rest - self._left

    def spend(self, steps: int = 1) -> None:
        """Counts steps before they are taken. Raises `SpentError`, `GivenUpError`."""
        self._left -= steps
        if self._left < 0:
            self._renew()

    def read(self, size_bytes: int) -> None:
        """Counts the steps of looking at so many bytes or characters."""
        self.spend(1 + size_bytes // _BYTES_A_STEP)

    def made(self, size_bytes: int) -> None:
        """Counts what is about to be made. Raises as `spend` does."""
        self._bytes -= size_bytes
        if self._bytes < 0:
            raise SpentError("it makes too much: more than 64 MB of texts and lists")
        self.spend(1 + size_bytes // _BYTES_A_STEP)

    def _renew(self) -> None:
        if self._stop is not None and self._stop():
            raise GivenUpError
        block = min(self._rest, _BLOCK - self._left)
        self._rest -= block
        self._left += block
        if self._left < 0:
            raise SpentError(f"it takes too long: more than {self._given:,} steps")
