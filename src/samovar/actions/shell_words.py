"""The words of a simple command, and the facts known about the values in them.

Above: `shell_syntax.py`, which reads them from a shell command; `command.py`, which has them as a list; and
`programs.py` and `shell_builtins.py`, which judge them. Below: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

EXPANSION = re.compile(r"\$\{[^{}]*\}")
"""What the reader writes for a `$name`, a `$(…)` or the like."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word, without its quotes."""

    text: str
    """A value in it is NUL; what the shell puts in is `${…}`."""
    value: int | None = None
    """The number of a value that it holds, itself or by what the shell puts in."""
    through: str = ""
    """What it holds the value by: `$n`, `$(…)`, `<(…)`. Empty: it is there itself."""
    quoted: bool = False
    """Some of it is in quotes."""
    splits: bool = False
    """The construct with the value is outside quotes, so the shell makes several words of it."""
    several: bool = False
    """It may become several words, whatever the values are."""
    computed: bool = False
    """What the shell puts in, or a pattern, is in it outside quotes."""

    @property
    def name(self) -> str:
        """As the name of a program: without the folder."""
        return self.text.rsplit("/", 1)[-1]

    @property
    def begins_with_value(self) -> bool:
        """What its first character is depends on a value."""
        return self.value is not None and self.text[:1] in ("\0", "$")


@dataclass(slots=True)
class SimpleCommand:
    """The words between two operators."""

    words: list[Word] = field(default_factory=list)
    redirects: list[tuple[str, Word]] = field(default_factory=list)
    """Each operator with its target."""
    fed: int | None = None
    """The number of a value that it may read from its standard input."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a value must not be where it is."""

    why: str
    number: int
    """Number of the value."""


def refused(why: str, word: Word) -> Refused:
    """A refusal of the value that a word holds."""
    assert word.value is not None
    through = f" ({word.through} holds it)" if word.through else ""
    return Refused(why + through, word.value)


def first_held(words: Sequence[Word]) -> Word | None:
    """The first that holds a value."""
    return next((word for word in words if word.value is not None), None)
