"""The grammar of state diagrams as a parser, and what becomes of each of its rules.

Above: `mermaid.py`. Below: `mermaid.lark` and the library lark, which is imported with the first diagram.
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


class CompositeStatement(NamedTuple):
    """A state with statements in it."""

    title: Token | None
    name: Token
    inside: Sequence[Any]
    is_bare: bool = False
    """Without the keyword."""


@cache
def grammar() -> Lark:
    """The parser, made once. It gives the statements; one that is a single token is that token."""
    from lark import Lark, Transformer, v_args

    @v_args(inline=True)
    class Statements(Transformer[Any, Any]):
        """What becomes of each rule, as soon as it has been read."""

        def start(self, body: Any) -> Any:
            return body

        def body(self, *statements: Any) -> Any:
            return statements

        inside = body

        def edge(self, *parts: Token) -> EdgeStatement:
            return EdgeStatement(parts)

        def mention(self, name: Token) -> StateStatement:
            return StateStatement(None, name, None, None)

        def description(self, name: Token, text: Token) -> StateStatement:
            return StateStatement(None, name, None, text)

        def state(
            self, title: Token | None, name: Token, kind: Token | None, text: Token | None
        ) -> StateStatement:
            return StateStatement(title, name, kind, text)

        def composite(self, title: Token | None, name: Token, inside: Any) -> CompositeStatement:
            return CompositeStatement(title, name, inside)

        def bare(self, name: Token, inside: Any) -> CompositeStatement:
            return CompositeStatement(None, name, inside, is_bare=True)

    return Lark.open(
        "mermaid.lark",
        rel_to=__file__,
        parser="lalr",
        maybe_placeholders=True,
        transformer=Statements(visit_tokens=False),
    )
