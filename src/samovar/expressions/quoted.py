"""The value of a text in quotes: its back-slashes resolved, as in CEL.

Above: `tokens.py`. Below: nothing.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"\\(?:[xX](?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})"
    r"|(?P<one>.)|(?P<none>\Z))",
    re.DOTALL,
)
_ONE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    mark: mark for mark in "\\?\"'`"
}


class BadTextError(Exception):
    """A back-slash that means nothing. `at`: its offset within the quotes."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message, self.at = message, at


def meant(body: str, *, is_raw: bool, is_bytes: bool) -> str | bytes:
    """What is between quotes, as a text or as bytes. Raises `BadTextError`."""
    if is_raw or "\\" not in body:
        return body.encode("utf-8", "surrogatepass") if is_bytes else body
    pieces: list[str | bytes] = []
    done = 0
    for match in _ESCAPE.finditer(body):
        pieces.append(body[done : match.start()])
        pieces.append(_escaped(match, is_bytes=is_bytes))
        done = match.end()
    pieces.append(body[done:])
    if not is_bytes:
        return "".join(piece for piece in pieces if isinstance(piece, str))
    return b"".join(
        piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass") for piece in pieces
    )


def _escaped(match: re.Match[str], *, is_bytes: bool) -> str | bytes:
    if match["one"] is not None or match["none"] is not None:
        if (found := _ONE.get(match["one"] or "")) is not None:
            return found
        written = match.group()
        raise BadTextError(
            f"`{written}` has no meaning in quotes: write \\\\ for one back-slash, or r'…' as in r'\\d'.",
            match.start(),
        )
    byte = match["x"] or match["octal"]
    number = int(byte, 16 if match["x"] else 8) if byte else int(match["u"] or match["U"], 16)
    if is_bytes and byte:
        return bytes((number,))
    if is_bytes:
        raise BadTextError("Bytes are written \\xHH.", match.start())
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise BadTextError(f"`{match.group()}` is not a character.", match.start())
    return chr(number)
