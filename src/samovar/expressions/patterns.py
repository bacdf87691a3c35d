"""Regular expressions that take a bounded time on any text.

Above: `matches` and `find` of expressions, and `pattern` of parameters. Below: `pattern_syntax.py`, which
reads them, and `pattern_program.py`.
All readings of a text are followed at once, one character after the other, and what was found for a set of
readings and a character is kept: so the time grows with the text and never with the number of readings. For
that there is neither look-around nor back-reference. Steps are counted by a meter, like all else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from samovar.expressions.meter import Meter, SpentError
from samovar.expressions.pattern_classes import Around
from samovar.expressions.pattern_program import Characters, Program, Span
from samovar.expressions.pattern_syntax import PatternError, read_pattern

__all__ = ["Pattern", "PatternError"]

MAX_LENGTH = 1000
"""Characters of a pattern."""
_MOST_KEPT = 10_000
"""Characters for which what follows is kept, over all sets of readings; large sets count as several."""
_CHUNK = 1024
"""Characters between two countings of steps."""
_CHARACTERS_A_STEP = 2


class _Readings:
    """A set of places in the program that a text may have reached. Changed only by keeping what was found."""

    __slots__ = ("after", "before", "places")

    def __init__(self, places: tuple[int, ...], before: Around) -> None:
        self.places = places
        self.before = before
        """What the character before is."""
        self.after: dict[str, _Readings] = {}
        """By the next character. `_MATCH` if it matches whatever follows."""


_MATCH = _Readings((), Around.EDGE)


@dataclass(slots=True)
class _Finder:
    """Looks for one pattern in texts. Changed by what it keeps between them."""

    program: Program
    is_whole: bool
    """The whole text must match, not a part of it."""
    known: dict[tuple[tuple[int, ...], Around], _Readings] = field(default_factory=dict)
    kept: int = 0

    def search(self, text: str, meter: Meter) -> bool:
        readings = self._of((self.program.start,), Around.EDGE)
        for begin in range(0, len(text), _CHUNK):
            chunk = text[begin : begin + _CHUNK]
            meter.spend(len(chunk) // _CHARACTERS_A_STEP + 1)
            for character in chunk:
                following = readings.after.get(character)
                if following is None:
                    following = self._follow(readings, character, meter)
                if following is _MATCH:
                    return True
                readings = following
            if not readings.places:
                return False
        return self.program.accepts(self._closed(readings, None, meter))

    def _of(self, places: tuple[int, ...], before: Around) -> _Readings:
        key = places, before
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = _Readings(places, before)
        return found

    def _closed(self, readings: _Readings, character: str | None, meter: Meter) -> set[int]:
        """All places that are reached before the next character is read."""
        after = Around.EDGE if character is None else self.program.around(character)
        found = self.program.closure(readings.places, readings.before, after)
        meter.spend(2 * len(found) + 1)
        return found

    def _follow(self, readings: _Readings, character: str, meter: Meter) -> _Readings:
        program = self.program
        closed = self._closed(readings, character, meter)
        if not self.is_whole and program.accepts(closed):
            following = _MATCH
        else:
            places = {program.next[one] for one in closed if program.takes(one, character)}
            if not self.is_whole:
                places.add(program.start)
            if self.kept >= _MOST_KEPT:
                self.known.clear()
                self.kept = 0
                readings.after.clear()
            following = self._of(tuple(sorted(places)), program.around(character))
        readings.after[character] = following
        self.kept += 1 + len(following.places) // 8
        return following


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A regular expression. Made by `Pattern.parse`."""

    text: str
    """As written."""
    atoms: int
    """How many single characters it is made of, with repetitions written out."""
    _whole: _Finder = field(compare=False, repr=False)
    _part: _Finder = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Reads a pattern. Raises `PatternError`."""
        if len(text) > MAX_LENGTH:
            raise PatternError(f"it has more than {MAX_LENGTH} characters")
        program = read_pattern(text)
        atoms = sum(isinstance(one, Characters) for one in program.operations)
        return cls(
            text=text,
            atoms=atoms,
            _whole=_Finder(program, is_whole=True),
            _part=_Finder(program, is_whole=False),
        )

    def matches_whole(self, text: str) -> bool:
        """Whether all of the text is what the pattern means. Raises `PatternError` if it takes too long."""
        try:
            return self._whole.search(text, Meter())
        except SpentError:
            raise PatternError(
                f"it expands to {self.atoms} characters, which takes too long for a text of {len(text)}"
            ) from None

    def is_in(self, text: str, meter: Meter) -> bool:
        """Whether a part of the text is what the pattern means. Raises what the meter does."""
        return self._part.search(text, meter)

    def first(self, text: str, begin: int, meter: Meter) -> tuple[int, int] | None:
        """Where the first match at or behind `begin` begins and ends. Raises what the meter does."""
        return Span(self._part.program).search(text, begin, meter)
