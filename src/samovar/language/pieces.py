"""The pieces of a template's text: literal text, expressions and paths to values, Liquid.

Above: `template.py` and `rendering.py`, which fill them in. Below: `dollars.py`, `markup.py`, `paths.py`.
Nothing is filled here. A text is gone through once, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from samovar.errors import Fault, FaultsError, Place
from samovar.expressions.expression import Expression
from samovar.expressions.functions import SURENESS
from samovar.language.dollars import Rules, dollar_end, read_dollar
from samovar.language.markup import Markup
from samovar.language.names import LIQUID_MOMENTS, LIQUID_WORDS
from samovar.language.paths import PATH, Path, path_of

Partials = Callable[[str], str | None]
"""Gives the text of the prompt with this name, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A value at its place in a text, not yet part of the text."""

    value: object
    raw: bool = False
    """The author asked for it to be taken as it is (`| raw`)."""
    offset: int = 0
    """Where it is in the template, in an outline."""


Piece = str | Held

_OUTPUT_PATH = re.compile(rf"\{{\{{\s*({PATH})\s*\}}\}}")
_OUTPUT_SURENESS = re.compile(
    rf"\{{\{{-?\s*({PATH})\s*\|\s*({'|'.join(SURENESS)})\s*(\||-?\}}\}})", re.DOTALL
)
"""An output with `confidence` or `alternatives` directly behind a path, up to what follows."""
_NO_NAMES = LIQUID_WORDS | LIQUID_MOMENTS
_RAW_FILTER = re.compile(r"\|\s*raw\s*-?\}\}\Z")

_CONTROL = ("if", "unless", "case", "for", "break", "continue")
SHELL_TAGS = frozenset((*_CONTROL, "assign", "capture", "comment", "echo", "liquid", "#"))
"""The tags of a template whose values are held: what they write is literal text or a held value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of a template's text."""

    text: str
    """What is literally meant; for a value or a tag its source."""
    offset: int
    """Where it begins in the template."""
    kind: str
    """`text`, `value` (`${…}`), `path` (a plain `{{ path }}`), `output` (others), `tag`, `raw` (a block)."""
    value: Expression | Path | None = None
    """The expression or path of a value. A `${…}` of an old file is a path."""
    rest: str = ""
    """Rest of an output that begins with `value`: Liquid's filters, from the first `|` on."""
    fault: Fault | None = None
    """What is to be said of it, though it can be read."""


def tokenize(text: str, place: Place, rules: Rules) -> list[Token]:
    """The text as tokens, with no two texts in a row but if one is a literal `${`.

    Args:
        text: Of a template.
        place: Of its first character.
        rules: What it may hold.

    Raises:
        FaultsError: For a `${…}` that cannot be read.
    """
    found: list[Token] = []
    done = 0
    for token, end in _tokens(text, place, rules):
        if token.offset > done:
            found.append(Token(text=text[done : token.offset], offset=done, kind="text"))
        found.append(token)
        done = end
    if done < len(text) or not found:
        found.append(Token(text=text[done:], offset=done, kind="text"))
    return found


def _tokens(text: str, place: Place, rules: Rules) -> Iterator[tuple[Token, int]]:
    """What is not plain text, each with where it ends."""
    markup = Markup(text, place)
    pattern = _opening(markup.can_begin, dollar=rules.dollar)
    at = 0
    while match := pattern.search(text, at):
        start, at = match.span()
        if match.group() == "$${":
            yield Token(text="${", offset=start, kind="text"), at
        elif match.group() == "${":
            read = read_dollar(text, start, markup.place(start), rules)
            at = read.end
            if read.value is not None:
                yield Token(text=text[start:at], offset=start, kind="value", value=read.value), at
            else:
                yield Token(text="${", offset=start, kind="text", fault=read.fault), at
        elif (ends := markup.end(start)) is not None:
            kind, at = ends
            yield _liquid_token(text[start:at], start, kind, markup.place(start)), at
        else:
            pattern = _opening(markup.can_begin, dollar=rules.dollar)


@cache
def _opening(liquid: tuple[str, ...], *, dollar: bool) -> re.Pattern[str]:
    """What is looked for: these beginnings of Liquid, and `$`."""
    forms = [*map(re.escape, liquid), *((r"\$\$\{", r"\$\{(?!\{)") if dollar else ())]
    return re.compile("|".join(forms) or r"(?!)")


def _liquid_token(source: str, start: int, kind: str, place: Place) -> Token:
    if kind == "output" and (match := _OUTPUT_SURENESS.match(source)):
        # Liquid knows only values, and it is the answer that knows how sure it was.
        value = Expression.parse(f"{match[2]}({match[1]})", place)
        is_plain = source.startswith("{{") and match.group() == source and "-" not in (source[2], source[-3])
        if is_plain:
            return Token(text=source, offset=start, kind="value", value=value)
        rest = source[match.start(3) :]
        return Token(text=source, offset=start, kind="output", value=value, rest=rest)
    match = _OUTPUT_PATH.fullmatch(source) if kind == "output" else None
    if match:
        path = path_of(match, dollar=False, offset=start)
        if path.steps[0] not in _NO_NAMES:
            return Token(text=source, offset=start, kind="path", value=path)
    return Token(text=source, offset=start, kind=kind)


def piece_end(markup: Markup, at: int, rules: Rules) -> int:
    """Where the piece ends that begins at an offset; the offset itself if none begins there.

    Quotes within a piece mean nothing to what is around it.

    Raises `FaultsError` for a `${…}` that cannot be read.
    """
    text = markup.text
    if text[at] == "{":
        ends = markup.end(at)
        return at if ends is None else ends[1]
    if not rules.dollar or text[at] != "$":
        return at
    if text.startswith("$${", at):
        return at + 3
    if not text.startswith("${", at) or text.startswith("${{", at):
        return at
    return dollar_end(text, at, markup.place(at), rules)


def syntax_fault(message: str, place: Place) -> FaultsError:
    return FaultsError([Fault(code="template-syntax", message=message, place=place)])


def outlined(token: Token) -> Piece:
    if token.kind in ("value", "path", "output"):
        return Held(value=None, raw=bool(_RAW_FILTER.search(token.text)), offset=token.offset)
    return _raw_text(token.text) if token.kind == "raw" else token.text


def _raw_text(block: str) -> str:
    return re.sub(r"\A\{%-?\s*raw\s*-?%\}|\{%-?\s*endraw\s*-?%\}\Z", "", block)
