"""The program of a regular expression, and where in a text it matches first.

Above: `pattern_syntax.py`, which writes programs, and `patterns.py`, which runs them. Below: `meter.py`, and
`pattern_classes.py`, the sets of characters. All readings of a text are followed at once, the preferred ones
first, so that the time grows with the text and the program and never with the number of readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from samovar.expressions.meter import Meter
from samovar.expressions.pattern_classes import Around, CharacterSet, around


class Characters(NamedTuple):
    """Takes one character of a set."""

    set: CharacterSet


class Split(NamedTuple):
    """Goes on in several places at once."""

    places: tuple[int, ...]


class Assertion(NamedTuple):
    """Goes on if the characters around are right."""

    kind: str


class Match(NamedTuple):
    """The end."""


Operation = Characters | Split | Assertion | Match


@dataclass(slots=True)
class Program:
    """What a pattern does, operation by operation; built up by `read_pattern`, then never changed."""

    operations: list[Operation] = field(default_factory=list)
    next: list[int] = field(default_factory=list)
    """Where each continues."""
    start: int = 0
    knows_words: bool = False
    knows_lines: bool = False

    def around(self, character: str) -> Around:
        """What a character is to assertions, as far as there are any."""
        return around(character, words=self.knows_words, lines=self.knows_lines)

    def takes(self, place: int, character: str) -> bool:
        operation = self.operations[place]
        return isinstance(operation, Characters) and operation.set.has(character)

    def accepts(self, closed: set[int]) -> bool:
        return 0 in closed

    def closure(self, places: Sequence[int], before: Around, after: Around) -> set[int]:
        """The places that are reached from some, without taking a character."""
        found: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place in found:
                continue
            found.add(place)
            operation = self.operations[place]
            if isinstance(operation, Split):
                waiting += operation.places
            elif isinstance(operation, Assertion) and holds(operation.kind, before, after):
                waiting.append(self.next[place])
        return found


def holds(kind: str, before: Around, after: Around) -> bool:
    if kind == "start":
        return before is Around.EDGE
    if kind == "end":
        return after is Around.EDGE
    if kind == "line start":
        return before in (Around.EDGE, Around.LINE)
    if kind == "line end":
        return after in (Around.EDGE, Around.LINE)
    is_border = (before is Around.WORD) != (after is Around.WORD)
    return is_border == (kind == "border")


@dataclass(slots=True)
class Span:
    """Looks for the first match in a text, character by character. Changed by each."""

    program: Program
    found: tuple[int, int] | None = None
    """Where the best match until now begins and ends."""

    def search(self, text: str, begin: int, meter: Meter) -> tuple[int, int] | None:
        """The match that begins first at or behind `begin`; of several, the one that Perl would take."""
        program = self.program
        before = Around.EDGE if begin == 0 else program.around(text[begin - 1])
        readings: list[tuple[int, int]] = []
        for at in range(begin, len(text) + 1):
            if self.found is None:
                readings.append((program.start, at))
            if not readings:
                break
            character = text[at] if at < len(text) else None
            after = Around.EDGE if character is None else program.around(character)
            readings = self._step(readings, at, character, (before, after), meter)
            before = after
        return self.found

    def _step(
        self,
        readings: Sequence[tuple[int, int]],
        at: int,
        character: str | None,
        sides: tuple[Around, Around],
        meter: Meter,
    ) -> list[tuple[int, int]]:
        """The readings behind a character, each a place and where it began, the preferred ones first."""
        program, seen, following = self.program, set[int](), list[tuple[int, int]]()
        for first, begin in readings:
            waiting = [first]
            while waiting:
                place = waiting.pop()
                if place in seen:
                    continue
                seen.add(place)
                operation = program.operations[place]
                if isinstance(operation, Match):
                    self.found = begin, at
                    meter.spend(2 * len(seen) + 1)
                    return following
                if isinstance(operation, Split):
                    waiting += reversed(operation.places)
                elif isinstance(operation, Assertion):
                    waiting += [program.next[place]] if holds(operation.kind, *sides) else []
                elif character is not None and operation.set.has(character):
                    following.append((program.next[place], begin))
        meter.spend(2 * len(seen) + 1)
        return following
