"""Options that are numbers or durations, checked when they are written and again when they are filled in.

Above: the options of lines, as `retries.py`, `verifying.py` and `for_each.py` have them. Below: the scanner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from samovar.actions.given import Value, whole_number
from samovar.actions.scanner import Scanner
from samovar.errors import ActionError
from samovar.values import to_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Generic[T]):
    """What an option takes."""

    key: str
    what: str
    """In words."""
    read: Callable[[object], T | None]
    """None: the value is invalid."""

    def check(self, line: Scanner, value: Value | None) -> None:
        """Notes a value that is written out and invalid."""
        if value is not None and value.is_literal and self.read(value.given) is None:
            line.note("option-value", f"`{self.key}` must be {self.what}.", value.place)

    def now(self, value: Value, variables: Mapping[str, object]) -> T:
        """Raises `ActionError`."""
        found = self.read(given := value.of(variables, is_option=True))
        if found is None:
            message = f"`{self.key}` must be {self.what}, not {to_text(given)[:60]!r}."
            raise ActionError(message, place=value.place)
        return found


def count(key: str, least: int, most: int) -> Measure[int]:
    """A whole number within bounds, or the text of one."""

    def read(value: object) -> int | None:
        number = whole_number(value)
        return number if number is not None and least <= number <= most else None

    return Measure(key=key, what=f"a whole number from {least} to {most}", read=read)
