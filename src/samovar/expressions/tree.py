"""An expression as a tree, with the offsets of each part.

Above: the parser makes it, the compiler and the checks of types read it. Below: nothing. Runs of operators
and of steps behind a value are one node each, so that a long expression makes a wide tree, not a deep one. No
node is changed once it is read; being frozen would cost ten times the time when this is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MACROS = frozenset(("all", "exists", "exists_one", "existsOne", "map", "filter"))
"""They bind a variable to each item."""
TYPE_NAMES = frozenset(
    ("bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type")
)
"""What `type(x)` can be compared with."""


@dataclass(slots=True, eq=False, repr=False)
class Term:
    """A part of an expression."""

    at: int
    """The offset of its first character."""
    end: int
    """The offset behind its last one."""


@dataclass(slots=True, eq=False, repr=False)
class Literal(Term):
    value: object


@dataclass(slots=True, eq=False, repr=False)
class Name(Term):
    name: str


@dataclass(slots=True, eq=False, repr=False)
class TypeName(Term):
    """The name of a type, beside `type(x)`."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class PartOf(Term):
    """`.name`, a step behind a value."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class ItemOf(Term):
    """`[key]`, a step behind a value."""

    key: Term


@dataclass(slots=True, eq=False, repr=False)
class Macro(Term):
    """`.map(item, …)` and so on, a step behind a value."""

    kind: str
    variable: str
    bodies: tuple[Term, ...]
    """One, or a condition and what is made of an item."""


@dataclass(slots=True, eq=False, repr=False)
class Method(Term):
    """`.name(…)`, a step behind a value."""

    name: str
    arguments: tuple[Term, ...]


@dataclass(slots=True, eq=False, repr=False)
class Steps(Term):
    """A value and what comes after it."""

    base: Term
    steps: tuple[PartOf | ItemOf | Macro | Method, ...]


@dataclass(slots=True, eq=False, repr=False)
class Call(Term):
    """`name(…)`."""

    name: str
    arguments: tuple[Term, ...]


@dataclass(slots=True, eq=False, repr=False)
class Has(Term):
    """`has(path.name)`."""

    path: Steps


@dataclass(slots=True, eq=False, repr=False)
class Default(Term):
    """`default(path, value)`."""

    path: Name | Steps
    otherwise: Term


@dataclass(slots=True, eq=False, repr=False)
class Sureness(Term):
    """`confidence(path)`, `alternatives(path)`."""

    name: str
    path: Name | Steps


@dataclass(slots=True, eq=False, repr=False)
class Signs(Term):
    """`!` and `-` before a value, the innermost first."""

    signs: tuple[str, ...]
    operand: Term


@dataclass(slots=True, eq=False, repr=False)
class Operation(Term):
    """Values with operators of one rank between them, taken from the left."""

    first: Term
    rest: tuple[tuple[str, Term], ...]


@dataclass(slots=True, eq=False, repr=False)
class Logic(Term):
    """`a && b && c`, or with `||`."""

    sign: str
    parts: tuple[Term, ...]


@dataclass(slots=True, eq=False, repr=False)
class Ternary(Term):
    """`condition ? then : otherwise`."""

    condition: Term
    then: Term
    otherwise: Term


@dataclass(slots=True, eq=False, repr=False)
class ListOf(Term):
    items: tuple[Term, ...]


@dataclass(slots=True, eq=False, repr=False)
class MapOf(Term):
    pairs: tuple[tuple[Term, Term], ...]


def as_path(node: Term) -> Name | Steps | None:
    """A value as a path: a name, and parts and items behind it; None if it is something else."""
    if isinstance(node, Steps):
        is_path = isinstance(node.base, Name) and all(isinstance(one, PartOf | ItemOf) for one in node.steps)
        return node if is_path else None
    return node if isinstance(node, Name) else None


def until(path: Steps, count: int) -> Term:
    """A path up to this many of its steps."""
    if not count:
        return path.base
    return Steps(path.at, path.steps[count - 1].end, path.base, path.steps[:count])


def children(node: Term) -> Iterator[Term]:
    """The parts of a part, in the order of the text."""
    match node:
        case ItemOf(key=key):
            yield key
        case Macro(bodies=parts) | Logic(parts=parts) | ListOf(items=parts):
            yield from parts
        case Method(arguments=arguments) | Call(arguments=arguments):
            yield from arguments
        case Steps(base=base, steps=steps):
            yield base
            yield from steps
        case Has(path=path) | Sureness(path=path):
            yield path
        case Default(path=path, otherwise=otherwise):
            yield path
            yield otherwise
        case Signs(operand=operand):
            yield operand
        case Operation(first=first, rest=rest):
            yield first
            for _, operand in rest:
                yield operand
        case Ternary(condition=condition, then=then, otherwise=otherwise):
            yield from (condition, then, otherwise)
        case MapOf(pairs=pairs):
            for key, value in pairs:
                yield key
                yield value


class Read(NamedTuple):
    """A reading of a variable."""

    name: str
    at: int
    """The offset of where."""
    is_needed: bool
    """The variable must be there; it does not begin the path of a `default(…)`."""
    is_sure: bool
    """It is read whatever the variables hold; it is not in one of the two ways of a `?:`."""


def reads_of(tree: Term) -> Iterator[Read]:
    """Each reading of a variable, in no order, but for those that macros bind."""
    waiting: list[tuple[Term, frozenset[str], bool, bool]] = [(tree, frozenset(), True, True)]
    while waiting:
        node, bound, is_needed, is_sure = waiting.pop()
        if isinstance(node, Name):
            if node.name not in bound:
                yield Read(node.name, node.at, is_needed, is_sure)
            continue
        if isinstance(node, Default):
            base = node.path.base if isinstance(node.path, Steps) else node.path
            steps = node.path.steps if isinstance(node.path, Steps) else ()
            waiting.append((base, bound, False, is_sure))
            waiting += [(part, bound, True, is_sure) for part in (*steps, node.otherwise)]
            continue
        if isinstance(node, Ternary):
            waiting.append((node.condition, bound, True, is_sure))
            waiting += [(part, bound, True, False) for part in (node.then, node.otherwise)]
            continue
        if isinstance(node, Macro):
            bound |= {node.variable}
        waiting += [(part, bound, True, is_sure) for part in children(node)]


def parts_read(tree: Term, variable: str) -> frozenset[str | None]:
    """The parts of a variable that are read, as `team` in `verdict.team == "us"`; None: all of it, or a part
    that only its value shows."""
    waiting, found = [tree], set[str | None]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name) and node.name == variable:
            found.add(None)
        base, first = (node.base, node.steps[0]) if isinstance(node, Steps) else (None, None)
        if isinstance(node, Steps) and isinstance(base, Name) and isinstance(first, PartOf):
            found |= {first.name} if base.name == variable else set()
            waiting += node.steps
        else:
            waiting += children(node)
    return frozenset(found)


def with_types(left: Term, rest: list[tuple[str, Term]]) -> tuple[Term, list[tuple[str, Term]]]:
    """With the names of types as such, if they are compared with `type(x)`."""
    operands = [left, *(operand for _, operand in rest)]
    if not any(isinstance(one, Call) and one.name == "type" for one in operands):
        return left, rest
    named = [_type_name(one) for one in operands]
    return named[0], [(sign, one) for (sign, _), one in zip(rest, named[1:], strict=True)]


def _type_name(node: Term) -> Term:
    if isinstance(node, Name) and node.name in TYPE_NAMES:
        return TypeName(node.at, node.end, node.name)
    if isinstance(node, ListOf):
        return ListOf(node.at, node.end, tuple(map(_type_name, node.items)))
    return node
