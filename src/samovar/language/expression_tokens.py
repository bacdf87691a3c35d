"""The tokens of an expression, as CEL and as JavaScript spell it.

Above: `expression.py`, `functions.py`, `effort.py`. Below: nothing. It does not know which names are
variables or functions. Pure: texts and tokens in, tokens and places in the text out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_NESTING = 64
MACROS = frozenset(("all", "exists", "exists_one", "existsOne", "map", "filter"))

_METHODS = {"includes": "contains", "toLowerCase": "lowerAscii", "toUpperCase": "upperAscii"}
"""What CEL calls methods of JavaScript."""
_JAVASCRIPT = re.compile(r"[=!]==|includes|to(?:Lower|Upper)Case")
_TOKEN = re.compile(
    r"""
    (?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|.)*?\"\"\"|'''(?:\\.|.)*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
  | (?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<comment>//[^\n]*)
  | (?P<mark>[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)


class ExpressionToken(NamedTuple):
    """A token of an expression."""

    kind: str
    """`string`, `number`, `name`, `comment` or `mark`."""
    text: str
    at: int
    """Its offset in characters."""


def tokens_of(text: str) -> list[ExpressionToken]:
    """The tokens of a text. Blanks part them and belong to none."""
    matches = _TOKEN.finditer(text)
    return [ExpressionToken(match.lastgroup or "", match.group(), match.start()) for match in matches]


def is_macro(tokens: Sequence[ExpressionToken], index: int) -> bool:
    """Whether the bracket at this index is that of a macro, which binds a variable."""
    return (
        index >= 2
        and tokens[index - 1].text in MACROS
        and tokens[index - 2].text == "."
        and index + 2 < len(tokens)
        and tokens[index + 1].kind == "name"
        and tokens[index + 2].text == ","
    )


def has_javascript(text: str) -> bool:
    """Whether it may have a spelling of JavaScript; found in less time than its tokens."""
    return _JAVASCRIPT.search(text) is not None


def javascript_spellings(tokens: Sequence[ExpressionToken]) -> Iterator[tuple[int, str, str]]:
    """Where a spelling of JavaScript is, it, and that of CEL, which is as long, so that columns stay true."""
    for index, token in enumerate(tokens[:-1]):
        after = tokens[index + 1]
        if token.text in _METHODS and index and tokens[index - 1].text == "." and after.text == "(":
            yield token.at, token.text, _METHODS[token.text].ljust(len(token.text))
        elif token.text in ("=", "!") and _ends_equals(tokens[index : index + 3]):
            yield token.at, token.text + "==", token.text + "= "


def _ends_equals(tokens: Sequence[ExpressionToken]) -> bool:
    """Whether two `=` follow the first of three tokens, without a blank."""
    return "".join(one.text for one in tokens[1:]) == "==" and tokens[2].at == tokens[0].at + 2


def as_cel(text: str, tokens: Sequence[ExpressionToken]) -> str:
    """The text with the spellings of CEL in the places of those of JavaScript."""
    if has_javascript(text):
        for at, old, new in javascript_spellings(tokens):
            text = text[:at] + new + text[at + len(old) :]
    return text


def excess(tokens: Sequence[ExpressionToken]) -> tuple[str, int] | None:
    """What nests too deeply, as a sentence, and the offset where it does; None if nothing does."""
    if len(tokens) <= MAX_NESTING:
        return None
    depth = 0
    for token in tokens:
        if token.text in ("(", "[", "{"):
            depth += 1
            if depth > MAX_NESTING:
                return f"An expression is nested at most {MAX_NESTING} deep.", token.at
        elif token.text in (")", "]", "}"):
            depth -= 1
    # The unary signs and the ternary nest in the parser without a bracket.
    for count, what in ((_longest_run(tokens), "signs in a row"), (_count(tokens, "?"), "ternaries")):
        if count > MAX_NESTING:
            return f"An expression has at most {MAX_NESTING} {what}.", 0
    return None


def _longest_run(tokens: Sequence[ExpressionToken]) -> int:
    longest = run = 0
    for token in tokens:
        run = run + 1 if token.text in ("!", "-") else 0
        longest = max(longest, run)
    return longest


def _count(tokens: Sequence[ExpressionToken], mark: str) -> int:
    return sum(token.text == mark for token in tokens)
