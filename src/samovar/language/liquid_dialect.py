"""The Liquid that templates are written in: its tags, its filters, and the bounds it keeps.

Above: `rendering.py`. Below: python-liquid. Values are written as `values.to_text` has them, or held: kept
out of the text, which then has a mark in their place. Loops, output and nesting are bounded. It does not know
where a template is written: an error has its place in what Liquid reads.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, wraps
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

import liquid
from liquid.ast import Node
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.exceptions import OutputStreamLimitError, TemplateNotFoundError
from liquid.filter import with_context
from liquid.loader import BaseLoader, TemplateSource
from liquid.output import LimitedStringIO
from liquid.tag import Tag
from liquid.token import TOKEN_TAG, Token
from liquid.undefined import FalsyStrictUndefined, Undefined

from samovar.expressions.expression import Expression
from samovar.language.dollars import value_of
from samovar.language.liquid_lexer import tokens_of
from samovar.language.pieces import Held, Partials, Piece
from samovar.values import to_text

if TYPE_CHECKING:
    from liquid import RenderContext, TokenStream

OUTPUT_LIMIT = 10_000_000
"""Characters."""
LOOP_LIMIT = 100_000

_HELD = "samovar-held"
_AROUND = "samovar-around"
_FILTERS_OF_TEXTS = "liquid.builtin.filters.string"
_MARK = re.compile(r"\0(\d+)\0")


@dataclass(frozen=True, slots=True)
class DollarMeanings:
    """What a template's `${…}` mean, which Liquid only knows by number and source."""

    expressions: Sequence[Expression] = ()
    left: Container[str] = ()
    """Names whose `${name}` is left as it is where it is no variable; only where values are held."""


class _RawText(str):
    """The value of `| raw`."""

    __slots__ = ()


class _ValueNode(OutputNode):
    """Writes a value as text, or a mark where values are held."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = _clean(self.expression.evaluate(context))
        held: list[Held] | None = context.tag_namespace.get(_HELD)
        if held is None:
            return buffer.write(to_text(value))
        held.append(Held(value=value, raw=isinstance(value, _RawText)))
        return buffer.write(f"\0{len(held) - 1}\0")


class _CaptureNode(CaptureNode):
    """What is captured is a value, so the values within it are filled in at once."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        held = context.tag_namespace.pop(_HELD, None)
        try:
            return super().render_to_output(context, buffer)
        finally:
            if held is not None:
                context.tag_namespace[_HELD] = held


class _Output(Output):
    node_class = _ValueNode


class _Echo(EchoTag):
    node_class = _ValueNode  # type: ignore[assignment]


class _Capture(CaptureTag):
    node_class = _CaptureNode


class _PartialNode(Node):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return 0


class _Partial(Tag):
    """`{% partial %}` marks a prompt as a part of others and writes nothing."""

    name = "partial"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        return _PartialNode(stream.eat(TOKEN_TAG))


def _clean(value: object) -> object:
    if isinstance(value, Undefined):
        str(value)  # raises the error that names it
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, range):
        return list(value)
    return value


def _slugify(value: object) -> str:
    return re.sub(r"[^\w]+|_+", "-", to_text(_clean(value)).lower()).strip("-")


def _count_lines(value: object) -> int:
    return len(to_text(_clean(value)).splitlines())


def _indent(value: object, width: object = 2) -> str:
    spaces = " " * min(int(str(width)), 100)
    return "\n".join(spaces + line for line in to_text(_clean(value)).split("\n"))


def _raw(value: object) -> str:
    return _RawText(to_text(_clean(value)))


def _given(function: Callable[..., Any], spelt: Callable[[object], object]) -> Callable[..., Any]:
    """A filter of Liquid, given texts as they are written here: `true`, not Python's `True`."""

    @wraps(function)
    def filtered(*values: object, **named: object) -> Any:
        return function(*map(spelt, values), **named)

    return filtered


def _spelt(value: object) -> object:
    is_other = value is None or isinstance(value, bool | list | tuple | Mapping)
    return to_text(value) if is_other else value


def _spelt_items(value: object) -> object:
    return [_spelt_items(item) for item in value] if isinstance(value, list | tuple) else _spelt(value)


@with_context
def _dollar(value: object, source: str, *, context: RenderContext) -> object:
    """The value of a `${name}`, which is left as it is where it is no variable but known to the shell."""
    around: DollarMeanings = context.tag_namespace[_AROUND]
    if isinstance(value, Undefined) and source[2:-1].strip() in around.left:
        return _RawText(source)
    return _clean(value)


@with_context
def _value(number: int, *named: object, context: RenderContext) -> object:
    """The value of the `${…}` with this number. `named`: the names it reads, each with its value."""
    around: DollarMeanings = context.tag_namespace[_AROUND]
    pairs = zip(named[::2], named[1::2], strict=True)
    given = {str(name): _clean(value) for name, value in pairs if not isinstance(value, Undefined)}
    return value_of(around.expressions[number], ChainMap(given, dict(context.globals)))


class _Buffer(LimitedStringIO):
    """Keeps every character as it is: Liquid's own buffers make a line feed of a carriage return."""

    def __init__(self, room: int) -> None:
        super().__init__(room, newline="")

    def write(self, text: str) -> int:
        self.size += len(text)
        if self.size > self.limit:
            raise OutputStreamLimitError("output limit reached", token=None)
        return StringIO.write(self, text)


class _Context(liquid.RenderContext):
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return _Buffer(OUTPUT_LIMIT - (buf.size if isinstance(buf, _Buffer) else 0))


class _Template(liquid.BoundTemplate):
    context_class = _Context

    def make_partial_namespace(
        self, partial: bool, render_args: Mapping[str, object]
    ) -> Mapping[str, object]:
        # Without the name `partial` of the base class, which would hide a variable of that name.
        return dict(render_args)


class _Environment(liquid.Environment):
    output_stream_limit = OUTPUT_LIMIT
    loop_iteration_limit = LOOP_LIMIT
    local_namespace_limit = OUTPUT_LIMIT
    template_class = _Template

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        return tokens_of

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag in (_Output, _Echo, _Capture, _Partial):
            self.add_tag(tag)
        added: dict[str, Callable[..., Any]] = {
            "slugify": _slugify,
            "count_lines": _count_lines,
            "indent": _indent,
            "raw": _raw,
            "samovar_dollar": _dollar,
            "samovar_value": _value,
        }
        self.filters.update(added)
        for name, function in self.filters.items():
            if function.__module__ == _FILTERS_OF_TEXTS:
                self.filters[name] = _given(function, _spelt)
        self.filters["join"] = _given(self.filters["join"], _spelt_items)


class _PartialsLoader(BaseLoader):
    """Finds partials among the prompts of a library."""

    def __init__(self, partials: Partials) -> None:
        self._partials = partials

    def get_source(self, env: liquid.Environment, template_name: str, **_: object) -> TemplateSource:
        source = self._partials(template_name)
        if source is None:
            raise TemplateNotFoundError(template_name)
        return TemplateSource(text=source, name=template_name, uptodate=None)


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    return _Environment(undefined=FalsyStrictUndefined)


def environment_for(partials: Partials | None) -> liquid.Environment:
    """The environment that finds these prompts by their names; without them it is made once."""
    if partials is None:
        return _environment()
    return _Environment(undefined=FalsyStrictUndefined, loader=_PartialsLoader(partials))


def render(
    template: liquid.BoundTemplate,
    variables: Mapping[str, object],
    held: list[Held] | None = None,
    around: DollarMeanings | None = None,
) -> str:
    """The template's text, filled. Raises what Liquid and its filters raise.

    Args:
        template: Of an environment of this module.
        variables: By name.
        held: Takes the values; the text then has a mark in the place of each, which `parted` reads.
        around: What its `${…}` mean.
    """
    context = template.context_class(template, globals=template.make_globals(variables))
    context.tag_namespace[_AROUND] = around or DollarMeanings()
    if held is not None:
        context.tag_namespace[_HELD] = held
    buffer = _Buffer(OUTPUT_LIMIT)
    template.render_with_context(context, buffer)
    return buffer.getvalue()


def parted(marked: str, held: Sequence[Held]) -> Iterator[Piece]:
    """The texts and the values of a text with marks, in their order."""
    for index, part in enumerate(_MARK.split(marked)):
        if index % 2:
            yield held[int(part)]
        elif part:
            yield part
