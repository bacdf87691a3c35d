"""Regular expressions that take a bounded time on any text.

Above: `parameters.py`, `parameter_list.py`, and `effort.py` for CEL's `matches`. Below: the engine that CEL
has, whose steps grow with the text and never with its number of readings; so it has neither look-around nor
back-references. What is left to bound is the pattern itself: `a{1,1000}` stands for a thousand atoms at each
character.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 1000
"""Characters of a pattern."""
MAX_STEPS = 50_000_000
"""Atoms times characters of a text; about a second."""
_UNICODE_ATOMS = 4
"""A class of Unicode is as many atoms: one for each byte of a character."""

_PIECE = re.compile(
    r"""
    (?P<class>\[(?:\^?\]?(?:\\.|[^\\\]])*)\])
  | (?P<unicode>\\[pP](?:\{[^}]*\}|.)|\\[wWdDsS]|\.)
  | (?P<escape>\\(?:[xuU]\{[^}]*\}|.))
  | (?P<open>\()
  | (?P<close>\))
  | (?P<repeat>\{\s*(?P<least>\d*)\s*(?P<comma>,?)\s*(?P<most>\d*)\s*\})
  | (?P<atom>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class PatternError(ValueError):
    """A pattern that cannot be used, or not on this text; the message says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression. Made by `Pattern.parse`."""

    text: str
    """As it was written."""
    atoms: int
    """How many single characters it is made of, with repetitions written out; an upper bound."""

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Reads a pattern. Raises `PatternError`."""
        if len(text) > MAX_LENGTH:
            raise PatternError(f"it has more than {MAX_LENGTH} characters")
        pattern = cls(text, atoms_of(text))
        pattern._check_effort("")
        _matches(text, "")
        _matches(pattern._whole(), "")
        return pattern

    def matches_whole(self, text: str) -> bool:
        """Whether all of the text is what the pattern means. Raises `PatternError` for too long a text."""
        self._check_effort(text)
        return _matches(self._whole(), text)

    def _whole(self) -> str:
        return f"^(?:{self.text})$"

    def _check_effort(self, text: str) -> None:
        if self.atoms * (len(text) + 1) > MAX_STEPS:
            raise PatternError(
                f"it stands for {self.atoms} characters, which takes too long for a text of {len(text)}"
            )


def atoms_of(pattern: str) -> int:
    """How many atoms a pattern has when its counted repetitions are written out; an upper bound."""
    sums, last = [0], 0
    for piece in _PIECE.finditer(pattern):
        kind = piece.lastgroup
        if piece["repeat"]:
            times = int((piece["most"] or piece["least"] or "1")[:9])
            sums[-1] += last * (max(times, 1) - 1)
            last *= max(times, 1)
        elif kind == "open":
            sums.append(1)
        elif kind == "close" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        else:
            last = _UNICODE_ATOMS if kind == "unicode" else 1
            sums[-1] += last
    return max(sum(sums), 1)


@functools.cache
def _program() -> Any:
    import cel

    return cel.compile("text.matches(pattern)")


def _matches(pattern: str, text: str) -> bool:
    try:
        return bool(_program().execute({"text": text, "pattern": pattern}))
    except RuntimeError as error:
        said = str(error)
        reason = re.search(r"error: ([^\n]*?)(?:\. Check function.*)?$", said, re.DOTALL)
        if "size limit" in said:
            raise PatternError("it stands for too many characters") from error
        raise PatternError(reason.group(1).strip() if reason else "it cannot be read") from error
