"""The two sides of an operator, in the words of the message about them if they do not go together.

Above: `checking.py`. Below: the tree, `types.py`, `typing_rules.py`.
"""

from __future__ import annotations

from samovar.expressions.kinds import either
from samovar.expressions.tree import Literal, Term
from samovar.expressions.types import Type
from samovar.expressions.typing_rules import right_form

Side = tuple[Type, Term]
"""One side of an operator, and what it can be."""


def shown(text: str, node: Term) -> str:
    """A part of an expression, as written, on one line. `text`: the whole of it."""
    written = " ".join(text[node.at : node.end].split())
    return written if len(written) <= 60 else written[:59] + "…"


def why_not(text: str, one: Side, other: Side) -> str:
    """What the two sides are, a literal last."""
    if isinstance(one[1], Literal):
        one, other = other, one
    (known, term), (against, second) = one, other
    if isinstance(second, Literal):
        is_same_kind = bool(known.kinds & against.kinds)
        behind = "" if is_same_kind else f", not {either(against.kinds)}"
        return f"`{shown(text, term)}` is {known}{behind}"
    return f"`{shown(text, term)}` is {known}, `{shown(text, second)}` is {against}"


def form_of(text: str, sign: str, one: Side, other: Side) -> str:
    """How a comparison is meant, if one side is a literal."""
    if isinstance(one[1], Literal):
        one, other = other, one
    if not isinstance(other[1], Literal):
        return ""
    left = shown(text, one[1])
    if sign not in ("==", "!=") and one[0].kinds == {"text"}:
        return f" int({left}) and double({left}) convert a text to a number."
    return right_form(left, sign, one[0], other[1].value)
