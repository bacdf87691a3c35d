"""The pieces a template's text is made of: literal text, paths to values, Liquid.

Above: `template.py` and `rendering.py`, which fill them in. Below: `values.py`. Nothing is filled here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from samovar.errors import Fault, FaultsError, Place, nearest
from samovar.values import Record

Partials = Callable[[str], str | None]
"""Gives the text of the prompt with this name, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A value at its place in a text, not yet part of the text."""

    value: object
    raw: bool = False
    """The author asked for it to be taken as it is (`| raw`)."""
    offset: int = 0
    """Where it stands in the template, in an outline."""


Piece = str | Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way to a value: the name of a variable, then keys and indexes."""

    steps: tuple[str | int, ...]
    source: str
    """As it is written, with its braces."""
    dollar: bool
    """Written `${…}`."""

    def walk(self, variables: Mapping[str, object]) -> object:
        """The value there. Raises `KeyError` with a sentence for a person."""
        root = self.steps[0]
        assert isinstance(root, str)
        if root not in variables:
            raise KeyError(f"There is no variable {root!r}.{nearest(root, variables)}")
        value = variables[root]
        for number, step in enumerate(self.steps[1:], start=1):
            value = _step(value, step, self.steps[:number])
        return value


def _step(value: object, step: str | int, behind: Sequence[str | int]) -> object:
    """One step further, as Liquid takes it."""
    where = ".".join(map(str, behind))
    if isinstance(value, Mapping | Record):
        parts = value.parts if isinstance(value, Record) else value
        if step in parts:
            return parts[step]  # type: ignore[index]
        if step == "size":
            return len(value)
        offer = nearest(str(step), map(str, parts))
        if where == "env" and not offer:
            offer = ENVIRONMENT
        raise KeyError(f"{where!r} has no part {str(step)!r}.{offer}")
    if isinstance(value, list | tuple):
        if step == "size":
            return len(value)
        index = {"first": 0, "last": -1}.get(step, step) if isinstance(step, str) else step
        if isinstance(index, int):
            if -len(value) <= index < len(value):
                return value[index]
            raise KeyError(f"{where!r} has {len(value)} items, none at {step!r}.")
    if isinstance(value, str) and step == "size":
        return len(value)
    raise KeyError(f"{where!r} is {_kind(value)} and has no part {str(step)!r}.")


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list | tuple) else type(value).__name__)


ENVIRONMENT = " The setting `environment` says which variables of the environment prompts may read."

_RAW = r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}"
_TOKEN = re.compile(rf"(?P<raw>{_RAW})|(?P<output>\{{\{{.*?\}}\}})|(?P<tag>\{{%.*?%\}})", re.DOTALL)
_TOKEN_DOLLAR = re.compile(_TOKEN.pattern + r"|(?P<literal>\$\$\{)|(?P<dollar>\$\{)(?!\{)", re.DOTALL)
_STEPS = r"""(?:\.[^\W\d]\w*|\[\s*(?:-?\d+|"[^"]*"|'[^']*')\s*\])*"""
_DOLLAR_PATH = re.compile(rf"\$\{{\s*([^\W\d]\w*{_STEPS})\s*\}}")
_OUTPUT_PATH = re.compile(rf"\{{\{{\s*([^\W\d]\w*{_STEPS})\s*\}}\}}")
_STEP = re.compile(r"""[^\W\d]\w*|-?\d+|"[^"]*"|'[^']*'""")
_RAW_FILTER = re.compile(r"\|\s*raw\s*-?\}\}\Z")
_LIQUID_WORDS = frozenset(("true", "false", "nil", "null", "none", "empty", "blank", "now", "today"))

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
    """`text`, `path`, `output` (a Liquid expression), `tag`, or `raw` (a whole raw block)."""
    path: Path | None = None


def tokenize(text: str, *, dollar: bool, shell: bool, place: Place) -> list[Token]:
    found: list[Token] = []
    done = at = 0
    pattern = _TOKEN_DOLLAR if dollar else _TOKEN
    while match := pattern.search(text, at):
        start, kind = match.start(), match.lastgroup
        token = None
        at = match.end()
        if kind == "literal":
            token = Token(text="${", offset=start, kind="text")
        elif kind == "dollar":
            whole = _DOLLAR_PATH.match(text, start)
            if whole:
                token, at = _path_token(whole, dollar=True), whole.end()
            elif not shell or text.find("}", start) < 0:
                _refuse_dollar(text, start, place)
        elif kind == "output":
            whole = _OUTPUT_PATH.fullmatch(match.group())
            if whole and re.match(r"\w+", whole.group(1)).group() not in _LIQUID_WORDS:  # type: ignore[union-attr]
                token = _path_token(whole, dollar=False, offset=start)
            else:
                token = Token(text=match.group(), offset=start, kind="output")
        else:
            token = Token(text=match.group(), offset=start, kind=kind or "tag")
        if token is not None:
            if start > done:
                found.append(Token(text=text[done:start], offset=done, kind="text"))
            found.append(token)
            done = at
    if done < len(text) or not found:
        found.append(Token(text=text[done:], offset=done, kind="text"))
    return found


def _path_token(match: re.Match[str], *, dollar: bool, offset: int | None = None) -> Token:
    steps: list[str | int] = []
    for step in _STEP.findall(match.group(1)):
        if step[0] in "\"'":
            steps.append(step[1:-1])
        elif step.lstrip("-").isdigit():
            steps.append(int(step))
        else:
            steps.append(step)
    path = Path(steps=tuple(steps), source=match.group(), dollar=dollar)
    at = match.start() if offset is None else offset
    return Token(text=match.group(), offset=at, kind="path", path=path)


def _refuse_dollar(text: str, start: int, place: Place) -> NoReturn:
    end = text.find("}", start)
    found = text[start : end + 1] if end > 0 else text[start : start + 20]
    raise syntax_fault(
        f"{found!r} is not the path of a value, as in ${{name.part[0]}}. "
        "Write $${ for a literal ${; arithmetic is for `Set x := …`.",
        place.within(text, start),
    )


def syntax_fault(message: str, place: Place) -> FaultsError:
    return FaultsError([Fault(code="template-syntax", message=message, place=place)])


def outlined(token: Token) -> Piece:
    if token.kind in ("path", "output"):
        return Held(value=None, raw=bool(_RAW_FILTER.search(token.text)), offset=token.offset)
    return _raw_text(token.text) if token.kind == "raw" else token.text


def _raw_text(block: str) -> str:
    return re.sub(r"\A\{%-?\s*raw\s*-?%\}|\{%-?\s*endraw\s*-?%\}\Z", "", block)
