"""Reads the tokens of an expression one by one, and records facts for later.

Above: the parser, which is one. Below: `tokens.py`, `complaints.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from samovar.expressions.complaints import BadExpressionError, before_brace
from samovar.expressions.tokens import ExpressionToken, token_at
from samovar.expressions.tree import Term

MOST_NESTED = 64
"""Brackets, ternaries, or signs within one another."""
MOST_DEEP = 100
"""Rows of operators within one another, those in brackets among them."""
JAVASCRIPT = {
    "===": "==",
    "!==": "!=",
    "includes": "contains",
    "toLowerCase": "lowerAscii",
    "toUpperCase": "upperAscii",
}
"""Spellings of JavaScript, and how CEL writes them."""


class TokenReader:
    """A place in the tokens of a text. Changed by each that is taken."""

    def __init__(self, text: str, begin: int = 0) -> None:
        self.text = text
        self.old: list[tuple[int, str, str]] = []
        """Each spelling of JavaScript: where, what, and what CEL writes."""
        self.spelled: list[str] = []
        """All tokens, as CEL writes them."""
        self.unknown: list[tuple[int, str]] = []
        """Mistakes in names of functions: their places and messages."""
        self._nested = self._choices = self._deep = 0
        self._end = begin
        self._token = token_at(text, begin)
        self.start = self._token.at
        """Where the expression begins."""

    @property
    def is_at_end(self) -> bool:
        """Nothing is left of the text."""
        return self._token.kind == "end"

    def brace(self) -> int:
        """Where the `}` ends that is here. Raises `BadExpressionError`."""
        if not self._is("}"):
            self._fail(before_brace(self._token, self._behind()))
        return self._token.end

    # Tokens.

    def _take(self, spelled: str | None = None) -> ExpressionToken:
        token = self._token
        self.spelled.append(token.text if spelled is None else spelled)
        self._end = token.end
        self._token = token_at(self.text, token.end)
        return token

    def _expect(self, mark: str, why: str) -> ExpressionToken:
        if self._token.text != mark or self._token.kind != "mark":
            self._fail(why if self._token.kind == "end" else f"{why.rstrip('.')}, found {self._found()}.")
        return self._take()

    def _found(self) -> str:
        return "the end" if self._token.kind == "end" else f"`{self._token.text[:40]}`"

    def _is(self, mark: str) -> bool:
        return self._token.kind == "mark" and self._token.text == mark

    def _behind(self) -> str:
        """The last token that was taken."""
        return self.spelled[-1] if self.spelled else ""

    def _fail(self, complaint: str, at: int | None = None) -> NoReturn:
        if self._token.kind == "bad" and at is None:
            complaint = str(self._token.value)
        raise BadExpressionError(complaint, self._token.at if at is None else at)

    def _enter(self) -> None:
        """Begins a row of operators; rows of several ranks within brackets nest without a bracket."""
        self._deep += 1
        if self._deep > MOST_DEEP:
            self._fail(f"An expression is nested at most {MOST_NESTED} deep.", self._token.at)

    def _within(self, read: Callable[[], Term]) -> Term:
        """What is in brackets, which nest only that deep."""
        self._nested += 1
        if self._nested > MOST_NESTED:
            self._fail(f"An expression is nested at most {MOST_NESTED} deep.", self._end - 1)
        found = read()
        self._nested -= 1
        return found

    def _exactly(
        self, found: tuple[Term, ...], count: int, form: str, name: ExpressionToken
    ) -> tuple[Term, ...]:
        """What is in the brackets of a form that takes this many values."""
        if len(found) != count:
            self._fail(f"The form is `{form}`.", name.at)
        return found
