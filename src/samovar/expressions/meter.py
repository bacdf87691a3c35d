"""Limits on an evaluation, counted while it runs: steps, and bytes of new values.

Above: everything here that computes, and Liquid. Below: what a value may take. A step is about a tenth of a
microsecond, on any machine the same one, so that an expression is refused on all machines or on none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from samovar.values import MOST_VALUE_BYTES, VALUE_BYTES

Look = Callable[[int], None]
"""Is informed of microseconds' worth of steps before they are taken, now and then. It raises what ends the
computation, a `BaseException` that nothing on the way catches."""


def _go_on(_: int) -> None:
    return


LOOK: ContextVar[Look] = ContextVar("look", default=_go_on)
"""The look of the one who waits for the current computation."""
MOST_STEPS = 5_000_000
"""Steps of one evaluation: about a second."""
MOST_BYTES = MOST_VALUE_BYTES
"""Bytes of all the texts, lists and maps that one evaluation makes, those within others too."""
_BLOCK = 4096
"""Steps between two looks at `stop`, and at anyone who waits."""
_FIRST_BLOCK = 256
"""Before the second look. Most evaluations take fewer, and several of them in a text are still short."""
_STEPS_A_US = 10
_BYTES_A_STEP = 256
"""Bytes that are copied or compared in about the time of a step."""


class SpentError(Exception):
    """The evaluation would use more than it may; the message says what."""


class OversizeError(SpentError):
    """It would make more than this many bytes."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"it makes too much: more than {most_bytes / 1e6:g} MB of texts and lists")
        self.most_bytes = most_bytes


class GivenUpError(Exception):
    """Anyone who wanted the value wants it no longer."""


class Meter:
    """The rest of one evaluation's steps and bytes. Changed by `spend` and `made`."""

    __slots__ = ("_block", "_bytes", "_given", "_left", "_look", "_most_bytes", "_rest", "_stop")

    def __init__(
        self,
        *,
        steps: int = MOST_STEPS,
        size_bytes: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """`stop` is asked now and then whether to give up. None for `size_bytes`: what a value may take."""
        self._given, self._rest, self._left, self._block = steps, steps, 0, _FIRST_BLOCK
        self._most_bytes = max(MOST_BYTES, VALUE_BYTES.get()) if size_bytes is None else size_bytes
        self._bytes, self._stop, self._look = self._most_bytes, stop, LOOK.get()

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
        """Counts the steps of looking at this many bytes or characters."""
        self.spend(1 + size_bytes // _BYTES_A_STEP)

    def made(self, size_bytes: int) -> None:
        """Counts what is about to be made. Raises as `spend` does."""
        self._bytes -= size_bytes
        if self._bytes < 0:
            raise OversizeError(self._most_bytes)
        self.spend(1 + size_bytes // _BYTES_A_STEP)

    def _renew(self) -> None:
        if self._stop is not None and self._stop():
            raise GivenUpError
        block = min(self._rest, self._block - self._left)
        self._look(block // _STEPS_A_US)
        self._block = _BLOCK
        self._rest -= block
        self._left += block
        if self._left < 0:
            raise SpentError(f"it takes too long: more than {self._given:,} steps")
