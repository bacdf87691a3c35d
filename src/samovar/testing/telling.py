"""Gives out the entries of a case on request, and knows which were never used.

Above: `stage.py`. Below: cases, and the paths of items. Mutable: how often each was asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from samovar.language.item_paths import said_of
from samovar.testing.cases import Case
from samovar.testing.difference import Difference
from samovar.testing.expectations import Told

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed(Generic[T]):
    """What a case gives of one visit."""

    value: T | None
    """None: nothing."""
    told: Told[T] | None
    """All entries for the state; None: nothing."""
    number: int
    """Which of a list's values is meant, from 1."""


class Telling:
    """The entries of one case, while it runs."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._used: dict[tuple[str, str], set[int]] = {}
        """By the kind of entry (`answers`, `commands` …) and under which path: the numbers of its values."""
        self._visits: Counter[tuple[str, str]] = Counter()
        """The same by the path of the visit: how often it was asked for."""

    def next(self, what: str, path: str, states: Mapping[str, Told[T]]) -> Handed[T]:
        """The entries of a visit. In a list each value is for one visit in turn, or for one item."""
        self._visits[what, path] += 1
        number = self._visits[what, path]
        found = said_of(path, states)
        if found is None:
            return Handed(value=None, told=None, number=number)
        key, told, item = found
        number = number if item is None else item + 1
        self._used.setdefault((what, key), set()).add(number)
        return Handed(value=told.at(number), told=told, number=number)

    def unused(self) -> Iterator[Difference]:
        """What the case gives and the run never asked for."""
        given: dict[str, Mapping[str, Told[object]]] = {
            "answers": self._case.answers,
            "commands": self._case.shell,
            "waits": self._case.waits,
            "replies": self._case.replies,
            "tools": self._case.tools,
        }
        for what, states in given.items():
            for path, told in states.items():
                used, there = len(self._used.get((what, path), ())), len(told.values)
                if not used or (told.is_list and used < there):
                    how = f"only {used} of {there} were used" if used else "it was never used"
                    message = (
                        f"The entry of `{what}` for {path!r} is not needed: {how}. Remove it from the case."
                    )
                    yield Difference(what="unused", name=path, message=message, place=told.place)
