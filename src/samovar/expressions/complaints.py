"""Messages about mistakes in an expression: the text that was found, and the right form.

Above: the parser. Below: `tokens.py`. Most mistakes are words or signs of another language.
"""

from __future__ import annotations

from dataclasses import dataclass

from samovar.expressions.tokens import ExpressionToken

_WORDS = {
    "and": "Write `&&` for and.",
    "or": "Write `||` for or.",
    "not": "Write `!` for not.",
    "is": "To compare, write `==`.",
    "eq": "To compare, write `==`.",
    "equals": "To compare, write `==`.",
    "ne": "Write `!=` for unequal.",
    "gt": "Write `>` for greater.",
    "lt": "Write `<` for less.",
    "if": "Write `condition ? value : other` in place of if.",
    "then": "Write `condition ? value : other` in place of if.",
    "contains": "Write `text.contains('part')`.",
}
"""What the words of other languages are here."""


_PARTS = {"size": "size({})", "length": "size({})", "first": "{}[0]", "last": "{}[-1]"}
"""What Liquid and JavaScript take for parts of lists and texts."""


def form_of_part(name: str, path: str) -> str:
    """How what other languages have as a part of a value is written; empty if it is none."""
    return _PARTS.get(name, "").format(path)


def instead_of_part(name: str, path: str) -> str:
    """The same as a sentence."""
    form = form_of_part(name, path)
    return f" Write `{form}`." if form else ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an expression that cannot be meant, as far as types are known."""

    code: str
    """Code of the fault that it becomes."""
    message: str
    at: int
    """The offset of where."""
    is_doubt: bool = False
    """It may be meant."""
    mended: tuple[int, str, str] | None = None
    """Where it is surely meant otherwise: the offset, what is there, and how it is written."""


class BadExpressionError(Exception):
    """A text is not an expression. `at`: the offset of what cannot be read."""

    def __init__(self, complaint: str, at: int) -> None:
        super().__init__(complaint)
        self.complaint, self.at = complaint, at


def after_operand(token: ExpressionToken, behind: str) -> str:
    """What is wrong where an operator or the end was expected. `behind`: the token before."""
    if token.kind == "bad":
        return str(token.value)
    if behind == "not":
        return _WORDS["not"]
    if token.kind == "name" and token.text in _WORDS:
        return _WORDS[token.text]
    if token.text == "(" and token.kind == "mark":
        return "There is no function here to call."
    if token.text == ",":
        return "One value is expected; write several as a list, as in [a, b]."
    if token.text == ":" and behind:
        return "A `:` belongs after `?`, as in `a ? b : c`, or into a map."
    if token.kind in ("name", "number", "text"):
        return f"After `{behind[:40]}` an operator or the end is expected, found {token.text[:40]!r}."
    return f"Nothing opens the {token.text!r} here."


def before_brace(token: ExpressionToken, behind: str) -> str:
    """What is wrong where an operator or the `}` of a `${…}` was expected. `behind`: the token before."""
    is_other = token.kind in ("number", "text") or (token.kind == "name" and token.text not in _WORDS)
    if is_other and behind != "not":
        return f"After `{behind[:40]}` an operator or `}}` is expected, found {token.text[:40]!r}."
    return after_operand(token, behind)


def instead_of_operand(token: ExpressionToken, behind: str) -> str:
    """What is wrong where a value was expected."""
    if token.kind == "bad":
        return str(token.value)
    where = f" after `{behind[:40]}`" if behind else ""
    if token.kind == "end":
        return f"A value is expected{where}, found the end."
    if token.text == ">" and behind == "<":
        return "Write `!=` for unequal."
    if token.text in ("==", "===") and behind in ("==", "=", "!="):
        return "To compare, write `==`."
    if token.text == "." and not behind:
        return "An expression begins with a name, not with a dot."
    return f"A value is expected{where}, found {token.text[:40]!r}."
