"""The tokens of an expression, one after the other, from any offset of any text.

Above: `reader.py`, which asks for one at a time and never reads past an expression's end. Below: `names.py`,
`quoted.py`. Each token is found in a time that grows with its length only.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from samovar.expressions.names import end_of_name, normal
from samovar.expressions.quoted import BadTextError, meant

_BLANKS = re.compile(r"(?:\s+|//[^\n]*)*")
_MARK = re.compile(r"===|!==|&&|\|\||==|!=|<=|>=|[()\[\]{}.,:?!<>+\-*/%]")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_NUMBER = re.compile(r"(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?")
_QUOTE = re.compile(r"(?P<prefix>[rRbB]{0,2})(?P<quote>\"\"\"|'''|\\?[\"'])")
_BODY = {
    '"': re.compile(r'[^"\\\n]*(?:\\.[^"\\\n]*)*'),
    "'": re.compile(r"[^'\\\n]*(?:\\.[^'\\\n]*)*"),
    '\\"': re.compile(r'[^"\\\n]*(?:\\[^"\n][^"\\\n]*)*'),
    "\\'": re.compile(r"[^'\\\n]*(?:\\[^'\n][^'\\\n]*)*"),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*", re.DOTALL),
}
"""What is within quotes, by the quote it ends at."""
_RAW_BODY = {
    '"': re.compile(r'[^"\n]*'),
    "'": re.compile(r"[^'\n]*"),
    '\\"': re.compile(r'(?:[^"\\\n]|\\(?!"))*'),
    "\\'": re.compile(r"(?:[^'\\\n]|\\(?!'))*"),
    '"""': re.compile(r'(?:[^"]|"(?!""))*'),
    "'''": re.compile(r"(?:[^']|'(?!''))*"),
}
_DIGITS = "0123456789"
MOST_WHOLE = 2**63
"""One more than the largest whole number; behind a minus it is the smallest one."""


class ExpressionToken(NamedTuple):
    """A token of an expression."""

    kind: str
    """`name`, `number`, `text`, `mark`, `end`, or `bad`: what is not a token."""
    text: str
    """As written; a name in its normal form."""
    at: int
    end: int
    value: object = None
    """The value of a number or a text; for a bad one, the mistake as a sentence."""


def token_at(text: str, begin: int) -> ExpressionToken:
    """The token that begins at an offset or behind the blanks there."""
    match = _BLANKS.match(text, begin)
    at = match.end() if match else begin
    if at >= len(text):
        return ExpressionToken("end", "", at, at)
    first = text[at]
    if first in "\"'\\rRbB" and (quote := _QUOTE.match(text, at)) is not None:
        return _text(text, at, quote["prefix"].lower(), quote["quote"], quote.end())
    if first in _DIGITS or (first == "." and at + 1 < len(text) and text[at + 1] in _DIGITS):
        return _number(text, at)
    if (end := end_of_name(text, at)) > at:
        return ExpressionToken("name", normal(text[at:end]), at, end)
    if (mark := _MARK.match(text, at)) is not None:
        return ExpressionToken("mark", mark.group(), at, mark.end())
    return _bad(text, at, at + 1, _foreign(text, at))


def _bad(text: str, at: int, end: int, complaint: str) -> ExpressionToken:
    return ExpressionToken("bad", text[at:end], at, end, complaint)


def _number(text: str, at: int) -> ExpressionToken:
    match = _HEX.match(text, at) or _NUMBER.match(text, at)
    assert match is not None
    written, end = match.group(), match.end()
    follows = text[end : end + 1]
    if written.isdigit() and follows in ("u", "U") and end_of_name(text, end) == end + 1:
        return _bad(text, at, end, f"A whole number has no `u` suffix: write {written}.")
    if end_of_name(text, end) > end or follows == "_" or follows.isdigit():
        whole = text[at : max(end_of_name(text, end), end + 1)]
        return _bad(text, at, end, f"{whole!r} is not a number, and a name does not begin with a digit.")
    is_hex = written[:2] in ("0x", "0X")
    if not is_hex and not written.isdigit():
        return ExpressionToken("number", written, at, end, float(written))
    value = int(written, 16 if is_hex else 10) if len(written) <= 40 else MOST_WHOLE + 1
    if value > MOST_WHOLE:
        return _bad(text, at, end, "A whole number goes up to 9223372036854775807 (64 bits).")
    return ExpressionToken("number", written, at, end, value)


def _text(text: str, at: int, prefix: str, quote: str, begin: int) -> ExpressionToken:
    """A text in quotes, or bytes. A quote with a back-slash before it ends at another one like it."""
    is_raw = "r" in prefix
    body = (_RAW_BODY if is_raw else _BODY)[quote].match(text, begin)
    end = body.end() if body is not None else begin
    if not text.startswith(quote, end):
        return _bad(text, at, at + 1, "The text in quotes does not end.")
    try:
        value = meant(text[begin:end], is_raw=is_raw, is_bytes="b" in prefix)
    except BadTextError as error:
        where = begin + error.at
        return _bad(text, where, where + 1, error.message)
    end += len(quote)
    return ExpressionToken("text", text[at:end], at, end, value)


_MEANT = {
    **dict.fromkeys("“”„«»″", '"'),
    **dict.fromkeys("‘’‚‹›′`´", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **{"≠": "!=", "≤": "<=", "≥": ">=", "×": "*", "÷": "/", "∧": "&&", "∨": "||", "¬": "!", "…": "..."},
}
"""What a word processor or another alphabet makes of the characters of expressions."""
_WORDS = {
    "$": "Names in an expression have no `$` and no braces: write name, not ${name}.",
    ";": "One expression is expected here, without `;`.",
    "#": "There is no `#` in an expression: a comment begins with //.",
    "@": "There is no `@` in an expression.",
    "=": "To compare, write `==`.",
    "&": "Write `&&` for and.",
    "|": "Write `||` for or.",
    "~": "There is no `~` in an expression: a regular expression is `text.matches(r'…')`.",
    "^": "There is no `^` in an expression: write x * x for a power.",
    "\\": "A back-slash is only allowed in texts in quotes.",
    "`": "Texts are written in straight quotes, \" or '.",
}


def _foreign(text: str, at: int) -> str:
    """What is to be said of a character that begins no token."""
    character = text[at]
    if character in _WORDS:
        return _WORDS[character]
    if (meant_by := _MEANT.get(character)) is not None:
        name = "quote" if meant_by in "\"'" else "sign"
        return f"`{character}` is not the {name} that it looks like: write `{meant_by}`."
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and plain.isascii() and plain.strip():
        return f"`{character}` is a wide character: write `{plain}`."
    if not character.isprintable() or unicodedata.category(character) == "Cf":
        return f"There is an invisible character here (U+{ord(character):04X}): delete it."
    return f"{character!r} has no meaning in an expression."
