"""An expression as a tree: what was written, with the offsets of each part.

Above: the parser makes it, the compiler and the checks of types read it. Below: nothing. Runs of operators
and of steps behind a value are one node each, so that a long expression makes a wide tree and not a deep one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MACROS = frozenset(("all", "exists", "exists_one", "existsOne", "map", "filter"))
"""They bind a variable to each item."""
TYPE_NAMES = frozenset(
    ("bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type")
)
"""What `type(x)` can be compared with."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression."""

    at: int
    """The offset of its first character."""
    end: int
    """The offset behind its last one."""


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: object


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class TypeName(Node):
    """The name of a type, beside `type(x)`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`.name`, a step behind a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`[key]`, a step behind a value."""

    key: Node


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """`.map(item, …)` and its like, a step behind a value."""

    kind: str
    variable: str
    bodies: tuple[Node, ...]
    """One, or a condition and what is made of an item."""


@dataclass(frozen=True, slots=True)
class Method(Node):
    """`.name(…)`, a step behind a value."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Steps(Node):
    """A value and what stands behind it."""

    base: Node
    steps: tuple[Member | Index | Macro | Method, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name(…)`."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Has(Node):
    """`has(path.name)`."""

    path: Steps


@dataclass(frozen=True, slots=True)
class Default(Node):
    """`default(path, value)`."""

    path: Name | Steps
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Signs(Node):
    """`!` and `-` before a value, the innermost first."""

    signs: tuple[str, ...]
    operand: Node


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """Values with operators of one rank between them, taken from the left."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`a && b && c`, or with `||`."""

    sign: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    pairs: tuple[tuple[Node, Node], ...]


def children(node: Node) -> Iterator[Node]:
    """The parts of a part, in the order of the text."""
    match node:
        case Index(key=key):
            yield key
        case Macro(bodies=parts) | Logic(parts=parts) | ListOf(items=parts):
            yield from parts
        case Method(arguments=arguments) | Call(arguments=arguments):
            yield from arguments
        case Steps(base=base, steps=steps):
            yield base
            yield from steps
        case Has(path=path):
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
        case Choice(condition=condition, then=then, otherwise=otherwise):
            yield from (condition, then, otherwise)
        case MapOf(pairs=pairs):
            for key, value in pairs:
                yield key
                yield value


@dataclass(frozen=True, slots=True)
class Reads:
    """The variables that an expression reads."""

    needed: frozenset[str]
    """They must be there."""
    defaulted: frozenset[str]
    """They stand in `default(…)` and need not."""


def reads_of(tree: Node) -> Reads:
    """The variables that are read, but for those that macros bind."""
    needed: set[str] = set()
    defaulted: set[str] = set()
    waiting: list[tuple[Node, frozenset[str]]] = [(tree, frozenset())]
    while waiting:
        node, bound = waiting.pop()
        if isinstance(node, Name):
            if node.name not in bound:
                needed.add(node.name)
            continue
        if isinstance(node, Macro):
            bound |= {node.variable}
        if isinstance(node, Default):
            root = node.path if isinstance(node.path, Name) else node.path.base
            if isinstance(root, Name) and root.name not in bound:
                defaulted.add(root.name)
            steps = node.path.steps if isinstance(node.path, Steps) else ()
            waiting += [(part, bound) for part in (*steps, node.otherwise)]
            continue
        waiting += [(part, bound) for part in children(node)]
    return Reads(frozenset(needed), frozenset(defaulted))


def with_types(left: Node, rest: list[tuple[str, Node]]) -> tuple[Node, list[tuple[str, Node]]]:
    """With the names of types as such, where they are compared with `type(x)`."""
    operands = [left, *(operand for _, operand in rest)]
    if not any(isinstance(one, Call) and one.name == "type" for one in operands):
        return left, rest
    named = [_type_name(one) for one in operands]
    return named[0], [(sign, one) for (sign, _), one in zip(rest, named[1:], strict=True)]


def _type_name(node: Node) -> Node:
    if isinstance(node, Name) and node.name in TYPE_NAMES:
        return TypeName(node.at, node.end, node.name)
    if isinstance(node, ListOf):
        return ListOf(node.at, node.end, tuple(map(_type_name, node.items)))
    return node
