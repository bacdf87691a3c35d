"""How long an expression may take at most, before it is evaluated.

Above: `expression.py`. Below: `expression_tokens.py`, `patterns.py`, `values.py`. CEL always ends, but macros
within macros take their items to the power of their depth, and one behind another can double a text each
time. This is an upper bound from the expression's tokens and the sizes of its variables, generous so that
only bombs go past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from samovar.language.expression_tokens import ExpressionToken, is_macro
from samovar.language.patterns import atoms_of
from samovar.values import Record

MAX_NS = 2_000_000_000
"""Nanoseconds an expression may take by the bound."""
FEW_SUMS = 8
"""Each may copy all that those before it joined."""
_COLLECT = ("map", "filter")
_TOKEN_NS, _BYTE_NS, _ATOM_NS, _CALLED_NS = 50, 0.3, 20, 100
"""Of a token in a loop, a byte that is copied, an atom of a pattern, a byte for a function in Python."""
_ANY_PATTERN_ATOMS = 150_000
"""Of a pattern that is computed: about what the engine takes at most."""
_ITEM_BYTES = 16


@dataclass(slots=True)
class _Macro:
    """A macro while its brackets are read."""

    kind: str
    variable: str
    depth: int
    """Of brackets, where it stands."""
    inner: int = 0
    """How deep macros within it go."""
    reads: int = 0
    """How often its own variable is read."""
    grows: bool = False
    """Whether it can make more of an item than there was."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What there is to do in an expression, whatever the variables are."""

    tokens: int
    sums: int
    """Signs that may copy what they join."""
    commas: int
    power: int
    """How many loops stand within one another, or feed one another with what they made."""
    growth: int
    """By how much macros can multiply a text."""
    reads: tuple[str, ...]
    """Each reading of a variable."""
    collected: frozenset[str]
    """Variables that are read while a list is made."""
    patterns: tuple[str | None, ...]
    """Of each `matches`: a pattern's literal, `$` and a variable's name, or None for a computed one."""
    calls: int
    """Of functions in Python."""
    contains: int
    """Calls of `contains`, which is one of them where there is a list or a map."""
    lists: int
    """How many macros make a list; each copies it as often as it has items."""

    @property
    def is_small(self) -> bool:
        """No variable of any size makes it take long: each byte is looked at a few times at most."""
        return not (self.power or self.lists or self.patterns or self.calls or self.sums > FEW_SUMS)

    def bound_ns(self, variables: Mapping[str, object]) -> float:
        """Nanoseconds this takes at most with these variables."""
        sizes = {name: _size(variables.get(name)) for name in set(self.reads)}
        most_items = max((items for _, items in sizes.values()), default=0) + self.commas + 1
        size = sum(sizes[name][0] for name in self.reads) + self.tokens * _ITEM_BYTES
        collected = sum(sizes[name][0] for name in self.collected)
        loops = float(most_items) ** self.power
        copied = (self.sums + 1) * loops * size * min(float(self.growth), 1e30)
        made = collected + _ITEM_BYTES * float(most_items) ** max(self.power - 1, 0)
        # One behind another may carry along all that those before it made.
        copied += self.lists**2 * loops * most_items * made
        matched = sum(self._atoms(pattern, variables) for pattern in self.patterns) * loops * size
        called = self.calls + (self.contains if any(items for _, items in sizes.values()) else 0)
        given = called * (self.sums + 1) * loops * size * min(float(self.growth), 1e30)
        return loops * self.tokens * _TOKEN_NS + copied * _BYTE_NS + matched * _ATOM_NS + given * _CALLED_NS

    @staticmethod
    def _atoms(pattern: str | None, variables: Mapping[str, object]) -> int:
        if pattern is not None and pattern.startswith("$"):
            value = variables.get(pattern[1:])
            return atoms_of(str(value)) if isinstance(value, str | Record) else 1
        return _ANY_PATTERN_ATOMS if pattern is None else atoms_of(pattern)


@dataclass(slots=True)
class _Reader:
    """Reads an `Effort` out of tokens."""

    tokens: Sequence[ExpressionToken]
    names: frozenset[str]
    """The variables of the expression."""
    open: list[_Macro] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    """How deep each outermost macro is."""
    growth: int = 1
    reads: list[str] = field(default_factory=list)
    collected: set[str] = field(default_factory=set)
    lists: int = 0

    def read(self) -> None:
        depth = 0
        for index, token in enumerate(self.tokens):
            if token.text in ("+", "[", "{"):
                for macro in self.open:
                    macro.grows = True
            if token.text in ("(", "[", "{"):
                depth += 1
                if token.text == "(" and is_macro(self.tokens, index):
                    kind, variable = self.tokens[index - 1].text, self.tokens[index + 1].text
                    self.open.append(_Macro(kind, variable, depth))
                    self.lists += kind in _COLLECT
            elif token.text in (")", "]", "}"):
                if self.open and self.open[-1].depth >= depth:
                    self._close(self.open.pop())
                depth -= 1
            elif token.kind == "name":
                self._name(token.text)
        while self.open:
            self._close(self.open.pop())

    def _name(self, name: str) -> None:
        for macro in reversed(self.open):
            if macro.variable == name:
                macro.reads += 1
                return
        if name in self.names:
            self.reads.append(name)
            if any(macro.kind in _COLLECT for macro in self.open):
                self.collected.add(name)

    def _close(self, macro: _Macro) -> None:
        if macro.grows:
            # The first is where the macro names its variable.
            self.growth *= max(1, macro.reads - 1)
        if self.open:
            self.open[-1].inner = max(self.open[-1].inner, macro.inner + 1)
        else:
            self.depths.append(macro.inner + 1)


def measure(tokens: Sequence[ExpressionToken], names: frozenset[str], calls: Sequence[str]) -> Effort:
    """What there is to do in an expression of these tokens.

    Args:
        tokens: Of the expression.
        names: The variables it reads.
        calls: The functions it calls that are not the engine's own, and `contains`; each as often as called.
    """
    reader = _Reader(tokens, names)
    reader.read()
    deep = [depth for depth in reader.depths if depth > 1]
    return Effort(
        tokens=len(tokens),
        sums=sum(token.text == "+" for token in tokens),
        commas=sum(token.text == "," for token in tokens),
        power=sum(deep) or (1 if reader.depths else 0),
        growth=reader.growth,
        reads=tuple(reader.reads),
        collected=frozenset(reader.collected),
        patterns=tuple(
            _pattern(tokens, index, names) for index, token in enumerate(tokens) if token.text == "matches"
        ),
        calls=sum(name != "contains" for name in calls),
        contains=sum(name == "contains" for name in calls),
        lists=reader.lists,
    )


def _pattern(tokens: Sequence[ExpressionToken], index: int, names: frozenset[str]) -> str | None:
    """The last argument of a `matches`, where it is one literal or one variable."""
    depth = 0
    for end in range(index + 1, len(tokens)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(tokens[end].text, 0)
        if depth <= 0:
            break
    else:
        return None
    if end - 2 <= index or tokens[end - 2].text not in ("(", ","):
        return None
    argument = tokens[end - 1]
    if argument.kind == "name" and argument.text in names:
        return "$" + argument.text
    if argument.kind != "string":
        return None
    text = argument.text.lstrip("rRbB")
    is_raw = argument.text[0] in "rR"
    hides = not is_raw and any(f"\\{mark}" in text for mark in "xXuU01234567")
    # Never taken for a variable's name: a literal begins with its quote.
    return None if hides else text if is_raw else text.replace("\\\\", "\\")


def _size(value: object) -> tuple[float, int]:
    """About how many bytes a value has, and the items of its largest list or map."""
    size, most_items, seen = 0.0, 0, 0
    waiting: list[object] = [value]
    while waiting and seen < 2_000_000:
        one = waiting.pop()
        seen += 1
        size += _ITEM_BYTES
        if isinstance(one, Record):
            size += len(str(one))
            waiting.append(dict(one.parts))
        elif isinstance(one, str):
            size += len(one)
        elif isinstance(one, Mapping):
            most_items = max(most_items, len(one))
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            most_items = max(most_items, len(one))
            waiting += one
    return (size, most_items) if not waiting else (float("inf"), most_items)
