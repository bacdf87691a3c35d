"""The tokens of a Liquid template, the same as python-liquid's own lexer, in linear time.

Above: `liquid_dialect.py`, whose environment uses it. Below: `markup.py`, python-liquid's tokens. That
library's own pattern looks for the end of each block from each beginning, and tries all ways to part blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from liquid.exceptions import LiquidSyntaxError
from liquid.token import (
    TOKEN_COMMENT,
    TOKEN_CONTENT,
    TOKEN_DOC,
    TOKEN_EOF,
    TOKEN_EXPRESSION,
    TOKEN_OUTPUT,
    TOKEN_TAG,
    Token,
)

from samovar.language.markup import Markup

_OPENING = re.compile(r"\{[{%]")
_NAME = re.compile(r"\{%-?\s*(#|\w+)")
_DOC = re.compile(r"\{%-?\s*doc\s*-?%\}")
_ENDDOC = re.compile(r"\{%-?\s*enddoc\s*-?%\}")


class _Part(NamedTuple):
    """A part of a template: a whole output, tag or block, or what is between two."""

    kind: str
    """`output`, `tag`, `raw`, `doc`, `content`."""
    at: int
    end: int
    inner: tuple[int, int]
    """What is within its delimiters."""
    name: tuple[int, int] = (0, 0)
    """Place of a tag's name."""
    strips: bool = False
    """It ends with `-`: blanks behind it go."""


def tokens_of(source: str) -> Iterator[Token]:
    """The tokens. Raises `LiquidSyntaxError` for an output or a tag without an end."""
    strips = False
    comment: list[str] = []
    depth = begin = 0
    for part in _parts(source):
        name = source[slice(*part.name)] if part.kind == "tag" else ""
        if depth:
            depth += {"comment": 1, "endcomment": -1}.get(name, 0)
            if depth:
                comment.append(source[part.at : part.end])
                continue
            yield Token(TOKEN_COMMENT, "".join(comment), begin, source)
            comment.clear()
            yield Token(TOKEN_TAG, name, part.name[0], source)
            strips = part.strips
            continue
        if part.kind == "content":
            yield from _content(source, part, strips=strips)
            continue
        strips = part.strips
        yield from _own_tokens(source, part, name)
        if name == "comment":
            depth, begin = 1, part.end


def _own_tokens(source: str, part: _Part, name: str) -> Iterator[Token]:
    """The tokens of what is not content."""
    at, end = part.inner
    if part.kind in ("raw", "doc"):
        kind = TOKEN_CONTENT if part.kind == "raw" else TOKEN_DOC
        yield Token(kind, source[at:end], part.at, source)
    elif part.kind == "output":
        yield Token(TOKEN_OUTPUT, source[part.at : part.end], part.at, source)
        yield Token(TOKEN_EXPRESSION, source[at:end], at, source)
    else:
        yield Token(TOKEN_TAG, name, part.name[0], source)
        if at < end:
            yield Token(TOKEN_EXPRESSION, source[at:end], at, source)


def _content(source: str, part: _Part, *, strips: bool) -> Iterator[Token]:
    value = source[part.at : part.end]
    if strips:
        value = value.lstrip()
    if source[part.end + 2 : part.end + 3] == "-":
        value = value.rstrip()
    wrong = {
        "{{": "expected '}}', found end of file",
        "{%": "missing tag name or closing delimiter",
    }.get(value[:2])
    if wrong:
        raise LiquidSyntaxError(wrong, token=Token(TOKEN_EOF, value, part.at, source))
    if value:
        yield Token(TOKEN_CONTENT, value, part.at, source)


def _parts(source: str) -> Iterator[_Part]:
    markup = Markup(source)
    at = 0
    while at < len(source):
        part = _part(markup, at) if source.startswith(("{{", "{%"), at) else None
        if part is None:
            following = _OPENING.search(source, at + 1)
            end = following.start() if following else len(source)
            if following is None and source.endswith("\n") and at + 1 < end:
                end -= 1  # as its own lexer has it: a last line end is a token of its own
            part = _Part("content", at, end, (at, end))
        yield part
        at = part.end


def _part(markup: Markup, at: int) -> _Part | None:
    """What begins at an offset; None if it has no end, or a tag no name."""
    source = markup.text
    if source.startswith("{{", at):
        end = markup.output(at)
        if end is None:
            return None
        begin = at + 3 if source.startswith("-", at + 2) else at + 2
        inner, strips = _within(source, begin, end)
        return _Part("output", at, end, inner, strips=strips)
    for kind, block in (("raw", markup.raw(at)), ("doc", markup.block(at, _DOC, _ENDDOC))):
        if block:
            begin, stop, end = block
            # As its own lexer has it: for a raw block the `-` behind its first tag counts.
            dash = begin if kind == "raw" else end
            return _Part(kind, at, end, (begin, stop), strips=source[dash - 3] == "-")
    end = markup.tag(at)
    name = _NAME.match(source, at)
    if end is None or name is None or name.end() > end - 2:
        return None
    inner, strips = _within(source, name.end(), end)
    return _Part("tag", at, end, inner, name.span(1), strips)


def _within(source: str, at: int, end: int) -> tuple[tuple[int, int], bool]:
    """What is between delimiters, without blanks around it; and whether blanks behind are to go."""
    stop = end - 2
    strips = stop > at and source[stop - 1] == "-"
    inside = source[at : stop - strips]
    begin = at + len(inside) - len(inside.lstrip())
    return ((begin, at + len(inside.rstrip())) if inside.strip() else (at, at)), strips
