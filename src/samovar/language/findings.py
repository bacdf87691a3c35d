"""The results of reading one workflow file so far: its mistakes, and the actions of its states.

Above: `reading.py` and `action_lines.py`, which add to it. Below: the errors, and what an action is.
It reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from samovar.errors import Fault, Fix, Place, nearest
from samovar.language.parsed_action import ParsedAction
from samovar.language.workflow import Needed

MOST_OFFERS = 20
"""Faults of one file that name the nearest name; finding it takes time."""
MOST_NAMES = 2000
LONGEST_NAME = 100


@dataclass(slots=True)
class Findings:
    """What a reading has found so far."""

    faults: list[Fault] = field(default_factory=list)
    actions: dict[str, ParsedAction] = field(default_factory=dict)
    """By state."""
    joins: dict[str, Needed] = field(default_factory=dict)
    """What `Join` says, by the state that says it."""
    unread: set[str] = field(default_factory=set)
    """What may be names of variables, in actions that could not be read."""
    offers: int = 0
    """Nearest names given so far."""

    def add(
        self, code: str, message: str, place: Place, *, is_error: bool = True, fix: Fix | None = None
    ) -> None:
        severity: Any = "error" if is_error else "warning"
        self.faults.append(Fault(code=code, message=message, place=place, severity=severity, fix=fix))

    def nearest(self, name: str, known: Collection[str]) -> str:
        """As `errors.nearest`, as long as that is quick."""
        self.offers += 1
        if self.offers > MOST_OFFERS or len(known) > MOST_NAMES or len(name) > LONGEST_NAME:
            return ""
        return nearest(name, [one for one in known if len(one) <= LONGEST_NAME])
