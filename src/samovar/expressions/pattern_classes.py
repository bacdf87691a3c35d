"""Sets of characters in regular expressions: single ones, ranges, classes, and other letter cases.

Above: `pattern_syntax.py`. Below: Python's table of Unicode, which `\\w`, `\\d`, `\\s` and `\\b` go by.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache


class PatternError(ValueError):
    """A pattern that cannot be used, or not on this text; the message says why."""


class Around(Enum):
    """What a character is to those beside it."""

    EDGE = "edge"
    """There is none: the text begins or ends."""
    LINE = "line"
    """A line feed."""
    WORD = "word"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Flags:
    """How a pattern is read: `i` any letter case, `m` lines, `s` dot takes all, `x` without blanks.

    `U` has repetitions take as few as possible, and those with a `?` as many.
    """

    i: bool = False
    m: bool = False
    s: bool = False
    x: bool = False
    U: bool = False

    def changed(self, on: str, off: str) -> Flags:
        return replace(self, **{one: one in on for one in on + off})


Test = Callable[[str], bool]
MOST_NESTED = 20
"""Classes within one another."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """Some characters."""

    singles: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, str], ...] = ()
    tests: tuple[Test, ...] = ()
    is_negated: bool = False
    any_case: bool = False

    def has(self, character: str) -> bool:
        found = self._has(character)
        if not found and self.any_case:
            found = any(self._has(one) for one in _cases(character))
        return found != self.is_negated

    def _has(self, character: str) -> bool:
        return (
            character in self.singles
            or any(first <= character <= last for first, last in self.ranges)
            or any(test(character) for test in self.tests)
        )


def _cases(character: str) -> set[str]:
    """The same letter in other cases."""
    found = {character.lower(), character.upper(), character.lower().upper(), character.upper().lower()}
    found |= {one.lower() for one in found} | set(_FOLDED.get(character, ""))
    return {one for one in found if len(one) == 1}


_FOLDED = {"s": "ſ", "S": "ſ", "k": "\u212a", "K": "\u212a", "å": "\u212b", "Å": "\u212b", "ß": "ẞ"}
"""Letters whose other cases have no case that leads back."""


@lru_cache(maxsize=4096)
def is_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or character in "\u200c\u200d"


def _is_digit(character: str) -> bool:
    return unicodedata.category(character) == "Nd"


def _is_blank(character: str) -> bool:
    return character.isspace() and not "\x1c" <= character <= "\x1f"


_CLASSES: dict[str, Test] = {"w": is_word, "d": _is_digit, "s": _is_blank}
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\0-\x7f", "blank": "\t ", "cntrl": "\0-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@[-`{-~",
    "space": "\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_CODE = re.compile(r"(?:x|u|U)\{([0-9a-fA-F]{1,8})\}|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")
_PROPERTY = re.compile(r"([pP])(?:([A-Za-z])|\{(\^?)([^}]*)\})")
_CATEGORIES = frozenset(
    (
        *("L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No"),
        *("P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So"),
        *("Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cs", "Co", "Cn"),
    )
)
_LONG = {
    "letter": "L", "mark": "M", "number": "N", "punctuation": "P", "symbol": "S", "separator": "Z",
    "uppercase": "Lu", "lowercase": "Ll", "upper": "Lu", "lower": "Ll", "alphabetic": "L",
}  # fmt: skip


def _named(match: re.Match[str]) -> Test:
    """`\\p{…}`. Raises `PatternError`."""
    written = match[2] or match[4]
    name = _LONG.get(written.lower(), written)
    if name not in _CATEGORIES:
        known = "the general categories, as \\p{L} and \\p{Lu}"
        raise PatternError(f"`\\p{{{written}}}` is not known: there are {known}")
    is_not = (match[1] == "P") != bool(match[3])
    return lambda character: unicodedata.category(character).startswith(name) != is_not


def around(character: str, *, words: bool, lines: bool) -> Around:
    """What a character is to those beside it, as far as that matters."""
    if lines and character == "\n":
        return Around.LINE
    return Around.WORD if words and is_word(character) else Around.OTHER


def single(character: str, flags: Flags) -> CharacterSet:
    return CharacterSet(singles=frozenset(character), any_case=flags.i)


def any_character(flags: Flags) -> CharacterSet:
    return CharacterSet(singles=frozenset() if flags.s else frozenset("\n"), is_negated=True)


def escape(text: str, at: int, flags: Flags) -> tuple[CharacterSet, int]:
    """What comes after a back-slash, and where that ends. Raises `PatternError`."""
    found, end = _escape(text, at)
    if isinstance(found, str):
        return single(found, flags), end
    return CharacterSet(tests=(found,)), end


def _escape(text: str, at: int) -> tuple[str | Test, int]:
    character = text[at : at + 1]
    if (test := _CLASSES.get(character.lower())) is not None:
        if character.islower():
            return test, at + 1
        return (lambda one: not test(one)), at + 1
    if character in _PLAIN and character:
        return _PLAIN[character], at + 1
    if (code := _CODE.match(text, at)) is not None:
        number = int(code[1] or code[2] or code[3] or code[4], 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise PatternError(f"`\\{code.group()}` is not a character")
        return chr(number), code.end()
    if (named := _PROPERTY.match(text, at)) is not None:
        return _named(named), named.end()
    if character and not character.isalnum() and character.isascii():
        return character, at + 1
    if character.isdigit():
        raise PatternError("backreferences are not supported")
    raise PatternError(f"`\\{character}` means nothing")


def read_class(text: str, begin: int, flags: Flags, depth: int = 0) -> tuple[CharacterSet, int]:
    """The class in brackets that begins at an offset, and where it ends. Raises `PatternError`."""
    if depth > MOST_NESTED:
        raise PatternError(f"its classes are nested more than {MOST_NESTED} deep")
    singles: set[str] = set()
    ranges: list[tuple[str, str]] = []
    tests: list[Test] = []
    at = begin + 1
    is_negated = text.startswith("^", at)
    at += is_negated
    first = at
    while at < len(text) and (text[at] != "]" or at == first):
        if text.startswith(("&&", "--", "~~"), at):
            raise PatternError(f"`{text[at : at + 2]}` within brackets is not supported")
        if text[at] == "[":
            inner, at = _nested(text, at, flags, depth + 1)
            tests.append(inner.has)
            continue
        low, at = _member(text, at)
        if not isinstance(low, str):
            tests.append(low)
        elif text.startswith("-", at) and text[at + 1 : at + 2] not in ("]", "-", ""):
            high, at = _member(text, at + 1)
            if not isinstance(high, str) or high < low:
                raise PatternError("a range of characters ends before it begins")
            ranges.append((low, high))
        else:
            singles.add(low)
    if at >= len(text):
        raise PatternError("unclosed character class: a `[` without its `]`")
    found = CharacterSet(frozenset(singles), tuple(ranges), tuple(tests), is_negated, flags.i)
    return found, at + 1


def _member(text: str, at: int) -> tuple[str | Test, int]:
    if text[at] == "\\":
        if text[at + 1 : at + 2] == "b":
            raise PatternError("`\\b` has no meaning within brackets")
        return _escape(text, at + 1)
    return text[at], at + 1


def _nested(text: str, at: int, flags: Flags, depth: int) -> tuple[CharacterSet, int]:
    """A class within a class: `[:alpha:]`, or brackets of its own."""
    posix = re.compile(r"\[:(\^?)([a-z]+):\]").match(text, at)
    if posix is None:
        return read_class(text, at, flags, depth)
    if posix[2] not in _POSIX:
        raise PatternError(f"`{posix.group()}` is not known")
    members = re.escape(_POSIX[posix[2]]).replace(r"\-", "-")
    test = re.compile(f"[{members}]").match
    tests = (lambda one: test(one) is not None,)
    return CharacterSet(tests=tests, is_negated=bool(posix[1]), any_case=flags.i), posix.end()
