"""The grammar of state diagrams as a parser, and the result of each of its rules.

Above: `mermaid.py`, `statements.py`. Below: `mermaid.lark` and the library lark, which is imported with the
first diagram.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lark import Lark, Token


class EdgeStatement(NamedTuple):
    """One or more arrows on a line."""

    parts: Sequence[Token]
    """Ends and arrows in turn, then perhaps a label."""


class StateStatement(NamedTuple):
    """A mention, a description or a declaration of a state."""

    title: Token | None
    name: Token
    kind: Token | None
    text: Token | None
    is_declared: bool = False
    """By the keyword."""


class CompositeStatement(NamedTuple):
    """A state with statements in it."""

    title: Token | None
    name: Token
    inside: Sequence[Any]
    end: Token
    is_bare: bool = False
    """Without the keyword."""


class _Statements:
    """What becomes of each rule, from its parts, as soon as it has been read."""

    def start(self, parts: list[Any]) -> Any:
        return parts[0]

    def body(self, parts: list[Any]) -> Any:
        return parts

    inside = body

    def edge(self, parts: list[Token]) -> EdgeStatement:
        return EdgeStatement(parts)

    def mention(self, parts: list[Token]) -> StateStatement:
        return StateStatement(None, parts[0], None, None)

    def description(self, parts: list[Token]) -> StateStatement:
        name, text = parts
        return StateStatement(None, name, None, text)

    def state(self, parts: list[Any]) -> StateStatement:
        title, name, kind, text = parts
        return StateStatement(title, name, kind, text, is_declared=True)

    def composite(self, parts: list[Any]) -> CompositeStatement:
        return CompositeStatement(*parts)

    def bare(self, parts: list[Any]) -> CompositeStatement:
        name, inside, end = parts
        return CompositeStatement(None, name, inside, end, is_bare=True)


@cache
def grammar() -> Lark:
    """The parser, made once. It gives the statements; one that is a single token is that token."""
    from lark import Lark

    statements: Any = _Statements()  # with no more of a `Transformer` than is called, for speed
    return Lark.open(
        "mermaid.lark", rel_to=__file__, parser="lalr", maybe_placeholders=True, transformer=statements
    )
