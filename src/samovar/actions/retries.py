"""`retries=3 backoff=2s` on the line of an action: the number of repetitions, and the waits between them.

Above: `time_limit.py`, which performs actions by them. Below: the scanner, which takes them from any line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samovar.actions.given import OF_RETRIES, Value
from samovar.actions.measures import Measure, count
from samovar.actions.scanner import Scanner
from samovar.errors import FaultsError
from samovar.values import duration_s

MOST_RETRIES = 100
BACKOFF_S = 1.0
"""Before the second attempt, if nothing is said."""
MOST_WAIT_S = 300.0
"""Before any attempt, unless `backoff` itself is longer."""


def _wait_s(value: object) -> float | None:
    try:
        return duration_s(value)
    except ValueError:
        return None


_RETRIES = count("retries", 0, MOST_RETRIES)
_BACKOFF = Measure(key="backoff", what="a duration, as in 2, 2s or 500ms", read=_wait_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often an action is performed again after a failure that may pass."""

    count: Value
    backoff: Value | None
    """How long the first wait is; each further one is twice as long. None: `BACKOFF_S`."""

    @classmethod
    def of(cls, line: Scanner) -> Retries | None:
        """Those of a line that was read to its end. Raises `FaultsError`."""
        retries, backoff = (line.again.get(key) for key in OF_RETRIES)
        if backoff is not None and retries is None:
            line.note("option-value", "`backoff` needs `retries`, which is missing.", backoff.place)
        times, wait = (pair.value if pair else None for pair in (retries, backoff))
        _RETRIES.check(line, times)
        _BACKOFF.check(line, wait)
        if line.faults:
            raise FaultsError(line.faults)
        return cls(count=times, backoff=wait) if times else None

    @property
    def names(self) -> frozenset[str]:
        """The variables that they read."""
        return self.count.names | (self.backoff.names if self.backoff else frozenset())

    @property
    def is_none(self) -> bool:
        """There are none, as far as it is known before the run."""
        return self.count.is_literal and _RETRIES.read(self.count.given) == 0

    @property
    def text(self) -> str:
        """As written."""
        waits = f" backoff={self.backoff.template.text}" if self.backoff else ""
        return f"retries={self.count.template.text}{waits}"

    def waits_s(self, variables: Mapping[str, object]) -> tuple[float, ...]:
        """How long is waited before each further attempt. Raises `ActionError`."""
        times = _RETRIES.now(self.count, variables)
        first_s = BACKOFF_S if self.backoff is None else _BACKOFF.now(self.backoff, variables)
        most_s = max(first_s, MOST_WAIT_S)
        return tuple(min(first_s * 2**number, most_s) for number in range(times))
