"""The kinds of values in expressions, and their names.

Above: operators, functions, types. Below: `moments.py`, `values.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samovar.expressions.moments import Duration, Moment
from samovar.values import Record

NUMBERS = frozenset(("int", "double"))
ANY = frozenset(
    ("null", "bool", "int", "double", "text", "bytes", "list", "map", "time", "duration", "type", "other")
)
"""All kinds; `other` is a value from outside that no expression can compute with."""
CALLED = {
    "null": "null",
    "bool": "true or false",
    "int": "a whole number",
    "double": "a fractional number",
    "text": "a text",
    "bytes": "bytes",
    "list": "a list",
    "map": "a map",
    "time": "a time",
    "duration": "a duration",
    "type": "a type",
    "other": "a value of another kind",
}
TYPE_OF = {
    "null": "null_type",
    "text": "string",
    "time": "timestamp",
    "other": "dyn",
}
"""What CEL calls a kind, if that is another word."""


class WrongError(Exception):
    """Something cannot be computed. The message is a sentence; `at` the offset of where, once it is known."""

    def __init__(self, message: str, at: int = -1) -> None:
        super().__init__(message)
        self.message, self.at = message, at

    def placed(self, at: int) -> WrongError:
        """The same, with the offset of where if it has none."""
        return self if self.at >= 0 else type(self)(self.message, at)


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What `type(x)` gives."""

    name: str

    def __str__(self) -> str:
        return self.name


_EXACT = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "text",
    Record: "text",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    Moment: "time",
    Duration: "duration",
    TypeValue: "type",
}


def kind_of(value: object) -> str:
    """The kind of a value."""
    exact = _EXACT.get(type(value))
    if exact is not None:
        return exact
    for kind, classes in _SUBCLASSES:
        if isinstance(value, classes):
            return kind
    return "other"


_SUBCLASSES: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("bool", bool),
    ("int", int),
    ("double", float),
    ("text", str),
    ("list", (list, tuple)),
    ("map", Mapping),
)


def called(value: object) -> str:
    """What a value is, for a message: `a text`."""
    return CALLED[kind_of(value)]


def either(kinds: frozenset[str]) -> str:
    """Several kinds in words: `a text, a list or a map`."""
    if kinds >= ANY:
        return "any value"
    names = [name for kind, name in CALLED.items() if kind in kinds and kind not in NUMBERS]
    numbers = NUMBERS & kinds
    if numbers:
        names.append("a number" if len(numbers) == 2 else CALLED[next(iter(numbers))])
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
