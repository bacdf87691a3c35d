"""A template filled by Liquid, for the templates that need it.

Above: `template.py`, which imports this only then (it costs a fifth of a second). Below: `liquid_dialect.py`.
What Liquid says of a template becomes a fault or an error with the place in the text as written. This module
knows no file and no shell.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any

import liquid
from liquid.exceptions import LiquidError, TemplateNotFoundError, UndefinedError

from samovar.errors import Fault, FaultsError, Place, TemplateError, TooLargeError, nearest
from samovar.expressions.absent import no_variable
from samovar.expressions.expression import Expression
from samovar.expressions.functions import SURENESS
from samovar.language.liquid_dialect import DollarMeanings, environment_for, parted, render
from samovar.language.liquid_hints import advice_for
from samovar.language.names import LIQUID_MOMENTS, LIQUID_NOTHINGS, LIQUID_WORDS
from samovar.language.paths import ENVIRONMENT, Path
from samovar.language.pieces import SHELL_TAGS, Held, Partials, Piece, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A template that Liquid fills."""

    text: str
    """As written."""
    place: Place
    names: frozenset[str]
    source: str
    """What Liquid reads: the text with `${…}` written as Liquid."""
    offsets: tuple[tuple[int, int], ...]
    """Where each token begins: in `source`, in `text`."""
    template: liquid.BoundTemplate
    expressions: tuple[Expression, ...]
    """Each `${…}`, by the number that `source` has for it."""
    paths: tuple[Path, ...]
    """Each path to a part of a variable, in outputs and in tags, up to the first step that is computed."""

    @classmethod
    def parse(
        cls, text: str, place: Place, tokens: Sequence[Token], *, held_only: bool, partials: Partials | None
    ) -> Rendering:
        """Reads it. Raises `FaultsError` with the code `template-syntax` for each thing wrong."""
        source, offsets, expressions = _as_liquid(tokens)
        partial = cls._unread(text, place, source, offsets)
        environment = environment_for(partials)
        try:
            template = environment.from_string(source)
            analysis = template.analyze(include_partials=False)
        except LiquidError as error:
            message = str(error.message or "it cannot be read").rstrip(".")
            advice = advice_for(message)
            raise partial(f"The template cannot be read: {message}.{advice}", error.token) from error
        except RecursionError as error:
            raise partial("The template is nested too deeply.", None) from error
        for name in analysis.filters:
            if name not in environment.filters:
                known = [known for known in environment.filters if not known.startswith("samovar")]
                at = max(source.find(name), 0)
                raise partial(f"There is no filter {name!r}.{nearest(name, known)}", at)
        for name in SURENESS:
            if name in analysis.filters:
                raise partial(_not_behind_a_path(name), max(source.find(name), 0))
        for name in analysis.tags:
            if held_only and name not in SHELL_TAGS:
                raise partial(f"The tag {name!r} cannot be used here.", max(source.find(name), 0))
        return cls(
            text=text,
            place=place,
            names=(frozenset(analysis.globals) - LIQUID_MOMENTS).union(*map(_unreadable, expressions)),
            source=source,
            offsets=offsets,
            template=template,
            expressions=expressions,
            paths=tuple(_paths(analysis, offsets, len(text))),
        )

    @staticmethod
    def _unread(
        text: str, place: Place, source: str, offsets: tuple[tuple[int, int], ...]
    ) -> Callable[[str, Any], FaultsError]:
        def fault(message: str, token: Any) -> FaultsError:
            at = token if isinstance(token, int) else _index(token, source)
            if (tag := _WANTED_END.search(message)) and (begin := _without_end(source, tag[1])) is not None:
                at = begin
            elif (opening := _unclosed(source, at)) is not None:
                at, message = (
                    opening,
                    f"The `{source[opening : opening + 2]}` that begins here is not closed.",
                )
            where = place.within(text, _original(offsets, at, len(text)))
            return FaultsError([Fault(code="template-syntax", message=message, place=where)])

        return fault

    def fill(self, variables: Mapping[str, object]) -> str:
        return self._render(variables)

    def hold(self, variables: Mapping[str, object], left: Container[str]) -> tuple[Piece, ...]:
        held: list[Held] = []
        return tuple(parted(self._render(variables, held, left), held))

    def _render(
        self, variables: Mapping[str, object], held: list[Held] | None = None, left: Container[str] = ()
    ) -> str:
        try:
            return render(self.template, variables, held, DollarMeanings(self.expressions, left))
        except TooLargeError as error:
            raise TooLargeError(error.what, error.most_bytes, place=error.place or self.place) from None
        except UndefinedError as error:
            raise self._unknown(error, variables) from None
        except LiquidError as error:
            message = str(error.message or error).rstrip(".")
            if isinstance(error, TemplateNotFoundError):
                message = f"There is no prompt {message!r} to render"
            raise self._failed(f"The template cannot be filled: {message}.", error.token) from error
        except (ArithmeticError, RecursionError, TypeError, ValueError, AttributeError) as error:
            raise self._failed(f"The template cannot be filled: {error}.", None) from error

    def _unknown(self, error: UndefinedError, variables: Mapping[str, object]) -> TemplateError:
        token: Any = error.token
        root = str(token.value) if token is not None else ""
        if root and root not in variables:
            return self._failed(no_variable(root, variables, in_liquid=True), token)
        hint = ENVIRONMENT if root == "env" else ""
        return self._failed(f"The template cannot be filled: {error.message}.{hint}", token)

    def _failed(self, message: str, token: Any) -> TemplateError:
        at = _original(self.offsets, _index(token, self.source), len(self.text))
        return TemplateError(message, place=self.place.within(self.text, at))


def _paths(analysis: Any, offsets: Sequence[tuple[int, int]], limit: int) -> Iterator[Path]:
    for variable in chain.from_iterable(analysis.globals.values()):
        steps = tuple(takewhile(lambda step: isinstance(step, str | int), variable.segments))
        if len(steps) > 1:
            offset = _original(offsets, variable.span.index, limit)
            yield Path(steps=steps, source=str(variable), dollar=False, offset=offset)


def _as_liquid(
    tokens: Sequence[Token],
) -> tuple[str, tuple[tuple[int, int], ...], tuple[Expression, ...]]:
    """What Liquid reads, where each token begins in it and in the text, and the expressions by number."""
    source: list[str] = []
    offsets: list[tuple[int, int]] = []
    expressions: list[Expression] = []
    length = 0
    for token in tokens:
        offsets.append((length, token.offset))
        if isinstance(token.value, Expression):
            source.append(_call(token.value, len(expressions), token))
            expressions.append(token.value)
        elif isinstance(token.value, Path) and token.value.dollar:
            source.append(_old_path(token.value))
        elif token.kind == "text" and token.text == "${":
            source.append("{% raw %}${{% endraw %}")
        else:
            source.append(token.text)
        length += len(source[-1])
    return "".join(source), tuple(offsets), tuple(expressions)


def _not_behind_a_path(name: str) -> str:
    return f"`{name}` must come directly after the path of a choice, as in {{{{ verdict.team | {name} }}}}."


_NOT_LIQUID = LIQUID_WORDS | {"and", "or", "not", "contains", "if", "else"}
"""Names of variables that Liquid takes for something else."""


def _unreadable(expression: Expression) -> frozenset[str]:
    """The variables of an expression that cannot be named to Liquid."""
    return frozenset(
        name for name in expression.names if name in _NOT_LIQUID or not re.fullmatch(r"[^\W\d]\w*", name)
    )


def _call(expression: Expression, number: int, token: Token) -> str:
    """An expression as Liquid has it evaluated; it names what it reads, which may be set by a tag."""
    opening = "{{-" if token.text.startswith("{{-") else "{{"
    names = sorted(expression.names - _unreadable(expression))
    texts = "".join(f", '{name}', {name}" for name in names)
    return f"{opening} {number} | samovar_value{texts.replace(',', ':', 1)} {token.rest or '}}'}"


def _old_path(path: Path) -> str:
    steps = path.steps
    # A word of Liquid's own is a name here all the same.
    first = _key(steps[0]) if steps[0] in LIQUID_NOTHINGS else str(steps[0])
    written = first + "".join(map(_key, steps[1:]))
    if len(steps) == 1:
        return "{{ " + written + " | samovar_dollar: " + _quoted(path.source) + " }}"
    return "{{ " + written + " }}"


def _key(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f"[{_quoted(step)}]"


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


_WANTED_END = re.compile(r"expected tag end(\w+)")
_TAG_IN_TAG = re.compile(r"\{%(?:(?!%\}|\{[{%]).)*\{[{%]", re.DOTALL)


def _without_end(source: str, tag: str) -> int | None:
    """Where the innermost tag of this name begins that no end belongs to."""
    begun: list[int] = []
    for match in re.finditer(rf"\{{%-?\s*(?:(end{tag})\s*-?%\}}|{tag}\b)", source):
        if not match[1]:
            begun.append(match.start())
        elif begun:
            begun.pop()
    unclosed = _TAG_IN_TAG.search(source)  # which takes in the end as a part of itself
    return begun[-1] if begun else unclosed.start() if unclosed else None


def _unclosed(source: str, at: int) -> int | None:
    """Where the output or tag begins that was still open, in a line before or where another one begins."""
    opening = max(source.rfind("{{", 0, at), source.rfind("{%", 0, at))
    if opening < 0:
        return None
    between = source[opening + 2 : at]
    is_another = source.startswith(("{{", "{%"), at) or "\n" in between or at >= len(source)
    return opening if is_another and not re.search(r"[%}]\}", between) else None


def _index(token: Any, source: str) -> int:
    """Where an error is, in `source`; 0 if it says nothing, or speaks of a partial."""
    if token is None or token.start_index < 0 or token.source != source:
        return 0
    return int(token.start_index)


def _original(offsets: Sequence[tuple[int, int]], at: int, limit: int) -> int:
    index = bisect.bisect_right([begin for begin, _ in offsets], at) - 1
    begin, original = offsets[max(index, 0)]
    return min(original + at - begin, limit)
