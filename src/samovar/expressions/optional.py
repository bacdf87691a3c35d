"""Optional parts of values that are read without checking that they exist.

Above: the checks of a workflow. Below: the tree, `checking.py` for types. `has(path)` before `&&` or `?`
guards what follows, `!has(path)` before `||`, and `default(path, value)` needs no guard.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.expressions.checking import Scope, TypeCheck
from samovar.expressions.tree import (
    Default,
    Has,
    ItemOf,
    Literal,
    Logic,
    Macro,
    Method,
    Name,
    Operation,
    PartOf,
    Signs,
    Steps,
    Term,
    Ternary,
    children,
    until,
)
from samovar.expressions.types import ANYTHING

Safe = frozenset[str]
"""Paths that are known to be there, as `path_of` writes them."""


def unguarded(tree: Term, text: str, types: Scope, safe: Safe = frozenset()) -> Iterator[tuple[str, int]]:
    """Each part that may be left out and is read all the same: its path, and the offset of where.

    `text`: the expression as written. `safe`: what is known to be there.
    """
    yield from _Reading(text).of(tree, types, safe)


def asked(tree: Term) -> Iterator[str]:
    """The paths of which an expression asks whether they are there."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield from _proven(node, is_true=True)
        waiting += children(node)


def path_of(node: Term) -> str | None:
    """A path of names, as written without blanks; None if it is none, or has other keys."""
    if isinstance(node, Name):
        return node.name
    if not isinstance(node, Steps) or not isinstance(node.base, Name):
        return None
    names = [node.base.name]
    for step in node.steps:
        if isinstance(step, PartOf):
            names.append(step.name)
        elif isinstance(step, ItemOf) and isinstance(step.key, Literal):
            names.append(str(step.key.value))
        else:
            return None
    return ".".join(names)


class _Reading:
    """Goes through one expression."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, node: Term, types: Scope, safe: Safe) -> Iterator[tuple[str, int]]:
        match node:
            case Steps():
                yield from self._steps(node, types, safe)
            case Has(path=path):
                yield from self.of(until(path, len(path.steps) - 1), types, safe)
            case Default(otherwise=otherwise):
                yield from self.of(otherwise, types, safe)
            case Logic(sign=sign, parts=parts):
                for part in parts:
                    yield from self.of(part, types, safe)
                    safe |= _proven(part, is_true=sign == "&&")
            case Ternary(condition=condition, then=then, otherwise=otherwise):
                yield from self.of(condition, types, safe)
                yield from self.of(then, types, safe | _proven(condition, is_true=True))
                yield from self.of(otherwise, types, safe | _proven(condition, is_true=False))
            case _:
                for part in children(node):
                    yield from self.of(part, types, safe)

    def _steps(self, node: Steps, types: Scope, safe: Safe) -> Iterator[tuple[str, int]]:
        yield from self.of(node.base, types, safe)
        for count, step in enumerate(node.steps, start=1):
            before = until(node, count - 1)
            if isinstance(step, Macro):
                found = TypeCheck(self._text).of(before, types)
                within = {**types, step.variable: found.item or ANYTHING}
                for body in step.bodies:
                    yield from self.of(body, within, safe)
            elif isinstance(step, Method):
                for argument in step.arguments:
                    yield from self.of(argument, types, safe)
            else:
                way = until(node, count)
                path = path_of(way)
                if path is not None and path not in safe and TypeCheck(self._text).of(way, types).is_optional:
                    yield path, step.at
                    return


def _proven(node: Term, *, is_true: bool) -> Safe:
    """The paths that are there if a part is true, or if it is false."""
    match node:
        case Has(path=path) if is_true:
            return _one(path_of(path))
        case Signs(signs=signs, operand=operand) if set(signs) == {"!"}:
            return _proven(operand, is_true=is_true == (len(signs) % 2 == 0))
        case Logic(sign=sign, parts=parts) if (sign == "&&") == is_true:
            return frozenset().union(*(_proven(part, is_true=is_true) for part in parts))
        case Operation(first=Literal(value=str(name)), rest=(("in", whole),)) if is_true:
            outer = path_of(whole)
            return _one(None if outer is None else f"{outer}.{name}")
    return frozenset()


def _one(path: str | None) -> Safe:
    return frozenset() if path is None else frozenset((path,))
