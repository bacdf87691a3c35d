"""`retries=3 backoff=2s` in the line of an action: how often it is performed again, and how long that waits.

Above: `time_limit.py`, which performs actions by them. Below: the scanner, which takes them from any line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samovar.actions.given import OF_RETRIES, Value, whole_number
from samovar.actions.scanner import Scanner
from samovar.errors import ActionError, FaultsError
from samovar.values import duration_s, to_text

MOST_RETRIES = 100
BACKOFF_S = 1.0
"""Before the second attempt, if nothing is said."""
MOST_WAIT_S = 300.0
"""Before any attempt, unless `backoff` itself is longer."""
_COUNT = f"a whole number from 0 to {MOST_RETRIES}"
_DURATION = "a duration, as in 2, 2s or 500ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often an action is performed again after a failure that may pass."""

    count: Value
    backoff: Value | None
    """How long the first wait is; each further one is twice as long. None: `BACKOFF_S`."""

    @classmethod
    def of(cls, line: Scanner) -> Retries | None:
        """Those of a line that was read to its end. Raises `FaultsError`."""
        count, backoff = (line.again.get(key) for key in OF_RETRIES)
        if backoff is not None and count is None:
            line.note("option-value", "`backoff` belongs to `retries`, and there is none.", backoff.place)
        if count is not None and count.value.is_literal and count_of(count.value.given) is None:
            line.note("option-value", f"`retries` is {_COUNT}.", count.value.place)
        if backoff is not None and backoff.value.is_literal and _wait_s(backoff.value.given) is None:
            line.note("option-value", f"`backoff` is {_DURATION}.", backoff.value.place)
        if line.faults:
            raise FaultsError(line.faults)
        return cls(count=count.value, backoff=backoff.value if backoff else None) if count else None

    @property
    def names(self) -> frozenset[str]:
        """The variables that they read."""
        return self.count.names | (self.backoff.names if self.backoff else frozenset())

    @property
    def is_none(self) -> bool:
        """There are none, as far as it is known before the run."""
        return self.count.is_literal and count_of(self.count.given) == 0

    @property
    def text(self) -> str:
        """As they are written."""
        waits = f" backoff={self.backoff.template.text}" if self.backoff else ""
        return f"retries={self.count.template.text}{waits}"

    def waits_s(self, variables: Mapping[str, object]) -> tuple[float, ...]:
        """How long is waited before each further attempt. Raises `ActionError`."""
        count = count_of(value := self.count.of(variables, is_option=True))
        if count is None:
            message = f"`retries` is {_COUNT}, not {to_text(value)[:60]!r}."
            raise ActionError(message, place=self.count.place)
        first_s: float | None = BACKOFF_S
        if self.backoff is not None:
            first_s = _wait_s(value := self.backoff.of(variables, is_option=True))
            if first_s is None:
                message = f"`backoff` is {_DURATION}, not {to_text(value)[:60]!r}."
                raise ActionError(message, place=self.backoff.place)
        assert first_s is not None
        most_s = max(first_s, MOST_WAIT_S)
        return tuple(min(first_s * 2**number, most_s) for number in range(count))


def count_of(value: object) -> int | None:
    """A whole number from 0 to `MOST_RETRIES`, or the text of one; None for anything else."""
    number = whole_number(value)
    return number if number is not None and 0 <= number <= MOST_RETRIES else None


def _wait_s(value: object) -> float | None:
    try:
        return duration_s(value)
    except ValueError:
        return None
