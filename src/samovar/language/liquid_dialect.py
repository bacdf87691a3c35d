"""The Liquid of templates: its tags, its filters, and its limits.

Above: `rendering.py`. Below: python-liquid. Values are written as `values.to_text` has them, or held: kept
out of the text, which then has a mark in their place. Loops, output and nesting are bounded. It does not know
where a template is written: an error has its place in what Liquid reads.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

import liquid
from liquid.ast import Node
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.exceptions import TemplateNotFoundError
from liquid.filter import with_context
from liquid.loader import BaseLoader, TemplateSource
from liquid.output import LimitedStringIO
from liquid.tag import Tag
from liquid.token import TOKEN_TAG, Token
from liquid.undefined import FalsyStrictUndefined, Undefined
from liquid.utils import ReadOnlyChainMap

from samovar.errors import TooLargeError
from samovar.expressions.expression import Expression
from samovar.expressions.functions import SURENESS
from samovar.language.dollars import value_of
from samovar.language.liquid_bounds import BoundedContext, BoundedIterable, Effort
from samovar.language.liquid_filters import (
    RawText,
    clean,
    count_lines,
    given,
    indent,
    no_path,
    raw,
    slugify,
    spelt,
    spelt_items,
    strip_html,
    truncatewords,
    uniq,
)
from samovar.language.liquid_lexer import tokens_of
from samovar.language.liquid_moment import BUILT_IN, dated
from samovar.language.pieces import Held, Partials, Piece
from samovar.values import ITEM_BYTES, text_bytes, to_text

if TYPE_CHECKING:
    from liquid import RenderContext, TokenStream
    from liquid.token import Token

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
    """Names whose `${name}` is left as it is if it is not a variable; only if values are held."""


class _ValueNode(OutputNode):
    """Writes a value as text, or a mark if values are held."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if isinstance(value, range):
            _effort(context).check(len(value) * ITEM_BYTES)
        value = clean(value)
        held: list[Held] | None = context.tag_namespace.get(_HELD)
        if held is None:
            text = to_text(value)
            _effort(context).see(text)
            return buffer.write(text)
        held.append(Held(value=value, raw=isinstance(value, RawText)))
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


class _ForNode(ForNode):
    def __init__(self, token: Token, expression: Any, block: Any, default: Any = None) -> None:
        super().__init__(token, expression, block, default)
        expression.iterable = BoundedIterable(expression.iterable)


class _TableRowNode(TablerowNode):
    def __init__(self, token: Token, expression: Any, block: Any) -> None:
        super().__init__(token, expression, block)
        expression.iterable = BoundedIterable(expression.iterable)


class _For(ForTag):
    node_class = _ForNode


class _TableRow(TablerowTag):
    node_class = _TableRowNode


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


@with_context
def _dollar(value: object, source: str, *, context: RenderContext) -> object:
    """The value of a `${name}`, which is left as it is if it is not a variable but known to the shell."""
    around: DollarMeanings = context.tag_namespace[_AROUND]
    if isinstance(value, Undefined) and source[2:-1].strip() in around.left:
        return RawText(source)
    return clean(value)


@with_context
def _value(number: int, *named: object, context: RenderContext) -> object:
    """The value of the `${…}` with this number. `named`: the names it reads, each with its value."""
    around: DollarMeanings = context.tag_namespace[_AROUND]
    pairs = zip(named[::2], named[1::2], strict=True)
    read = {str(name): clean(value) for name, value in pairs if not isinstance(value, Undefined)}
    return value_of(around.expressions[number], ChainMap(read, dict(context.globals)))


class _Buffer(LimitedStringIO):
    """Keeps every character as it is: Liquid's own buffers make a line feed of a carriage return."""

    def __init__(self, most_bytes: int, size_bytes: int = 0) -> None:
        super().__init__(most_bytes, newline="")
        self.size = size_bytes

    def write(self, text: str) -> int:
        self.size += text_bytes(text)
        if self.size > self.limit:
            raise TooLargeError("The template's output", self.limit)
        return StringIO.write(self, text)


class _Context(BoundedContext):
    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self.scope = ReadOnlyChainMap(self.locals, self.globals, BUILT_IN, self.counters)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return _Buffer(self.effort.value_bytes, buf.size if isinstance(buf, _Buffer) else 0)


def _effort(context: RenderContext) -> Effort:
    assert isinstance(context, BoundedContext)
    return context.effort


class _Template(liquid.BoundTemplate):
    context_class = _Context

    def make_partial_namespace(
        self, partial: bool, render_args: Mapping[str, object]
    ) -> Mapping[str, object]:
        # Without the name `partial` of the base class, which would hide a variable of that name.
        return dict(render_args)


class _Environment(liquid.Environment):
    loop_iteration_limit = LOOP_LIMIT
    template_class = _Template

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        return tokens_of

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag in (_Output, _Echo, _Capture, _For, _TableRow, _Partial):
            self.add_tag(tag)
        added: dict[str, Callable[..., Any]] = {
            "slugify": slugify,
            "count_lines": count_lines,
            "indent": indent,
            "raw": raw,
            "samovar_dollar": _dollar,
            "samovar_value": _value,
            **{name: partial(no_path, name) for name in SURENESS},
            "strip_html": strip_html,
            "truncatewords": truncatewords,
            "uniq": uniq,
        }
        self.filters.update(added)
        for name, function in self.filters.items():
            if getattr(function, "__module__", "") == _FILTERS_OF_TEXTS:
                self.filters[name] = given(function, spelt)
        self.filters["date"] = dated(self.filters["date"])
        self.filters["join"] = given(self.filters["join"], spelt_items)


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
    """The template's text, filled. Raises what Liquid and its filters raise, and `TooLargeError`.

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
    buffer = context.get_buffer()
    template.render_with_context(context, buffer)
    return buffer.getvalue()


def parted(marked: str, held: Sequence[Held]) -> Iterator[Piece]:
    """The texts and the values of a text with marks, in their order."""
    for index, part in enumerate(_MARK.split(marked)):
        if index % 2:
            yield held[int(part)]
        elif part:
            yield part
