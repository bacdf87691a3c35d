"""Liquid, for the templates that need it.

Above: `template.py`, which imports this only then (it costs a fifth of a second). Below: python-liquid.
Values are written as `values.to_text` has them, or held: kept out of the text, which then has a mark in
their place. Loops, output and nesting are bounded. This module knows no file and no shell.
"""

from __future__ import annotations

import bisect
import re
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
from liquid.exceptions import LiquidError, OutputStreamLimitError, TemplateNotFoundError, UndefinedError
from liquid.filter import with_context
from liquid.loader import BaseLoader, TemplateSource
from liquid.output import LimitedStringIO
from liquid.tag import Tag
from liquid.token import TOKEN_TAG
from liquid.undefined import FalsyStrictUndefined, Undefined

from samovar.errors import Fault, FaultsError, Place, TemplateError, nearest
from samovar.language.pieces import ENVIRONMENT, SHELL_TAGS, Held, Partials, Piece, Token
from samovar.values import to_text

if TYPE_CHECKING:
    from liquid import RenderContext, TokenStream

OUTPUT_LIMIT = 10_000_000
"""Characters."""
LOOP_LIMIT = 100_000

_HELD = "samovar-held"
_LEFT = "samovar-left"
_FILTERS_OF_TEXTS = "liquid.builtin.filters.string"
_MARK = re.compile(r"\0(\d+)\0")


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
    left: Container[str] = context.tag_namespace.get(_LEFT, ())
    if isinstance(value, Undefined) and source[2:-1].strip() in left:
        return _RawText(source)
    return _clean(value)


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


def _environment_for(partials: Partials | None) -> _Environment:
    if partials is None:
        return _environment()
    return _Environment(undefined=FalsyStrictUndefined, loader=_PartialsLoader(partials))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A template that Liquid fills."""

    text: str
    """As it was written."""
    place: Place
    names: frozenset[str]
    source: str
    """What Liquid reads: the text with `${…}` written as Liquid."""
    offsets: tuple[tuple[int, int], ...]
    """Where each token begins: in `source`, in `text`."""
    template: liquid.BoundTemplate

    @classmethod
    def parse(
        cls, text: str, place: Place, tokens: Sequence[Token], *, held_only: bool, partials: Partials | None
    ) -> Rendering:
        """Reads it. Raises `FaultsError` with the code `template-syntax` for each thing wrong."""
        source, offsets = "", []
        for token in tokens:
            offsets.append((len(source), token.offset))
            source += _as_liquid(token)
        partial = cls._unread(text, place, source, tuple(offsets))
        environment = _environment_for(partials)
        try:
            template = environment.from_string(source)
            analysis = template.analyze(include_partials=False)
        except LiquidError as error:
            message = str(error.message or "it cannot be read").rstrip(".")
            raise partial(f"The template cannot be read: {message}.", error.token) from error
        except RecursionError as error:
            raise partial("The template is nested too deeply.", None) from error
        for name in analysis.filters:
            if name not in environment.filters:
                known = [known for known in environment.filters if not known.startswith("samovar")]
                at = max(source.find(name), 0)
                raise partial(f"There is no filter {name!r}.{nearest(name, known)}", at)
        for name in analysis.tags:
            if held_only and name not in SHELL_TAGS:
                raise partial(f"The tag {name!r} cannot be used here.", max(source.find(name), 0))
        return cls(
            text=text,
            place=place,
            names=frozenset(analysis.globals) - {"now", "today"},
            source=source,
            offsets=tuple(offsets),
            template=template,
        )

    @staticmethod
    def _unread(
        text: str, place: Place, source: str, offsets: tuple[tuple[int, int], ...]
    ) -> Callable[[str, Any], FaultsError]:
        def fault(message: str, token: Any) -> FaultsError:
            at = token if isinstance(token, int) else _index(token, source)
            where = place.within(text, _original(offsets, at, len(text)))
            return FaultsError([Fault(code="template-syntax", message=message, place=where)])

        return fault

    def fill(self, variables: Mapping[str, object]) -> str:
        return self._render(variables, {})

    def hold(self, variables: Mapping[str, object], left: Container[str]) -> tuple[Piece, ...]:
        held: list[Held] = []
        marked = self._render(variables, {_HELD: held, _LEFT: left})
        return tuple(_pieces(marked, held))

    def _render(self, variables: Mapping[str, object], namespace: Mapping[str, object]) -> str:
        context = self.template.context_class(self.template, globals=self.template.make_globals(variables))
        context.tag_namespace.update(namespace)
        buffer = _Buffer(OUTPUT_LIMIT)
        try:
            self.template.render_with_context(context, buffer)
        except UndefinedError as error:
            raise self._unknown(error, variables) from None
        except LiquidError as error:
            message = str(error.message or error).rstrip(".")
            if isinstance(error, TemplateNotFoundError):
                message = f"There is no prompt {message!r} to render"
            raise self._failed(f"The template cannot be filled: {message}.", error.token) from error
        except (ArithmeticError, RecursionError, TypeError, ValueError, AttributeError) as error:
            raise self._failed(f"The template cannot be filled: {error}.", None) from error
        return buffer.getvalue()

    def _unknown(self, error: UndefinedError, variables: Mapping[str, object]) -> TemplateError:
        token: Any = error.token
        root = str(token.value) if token is not None else ""
        if root and root not in variables:
            return self._failed(f"There is no variable {root!r}.{nearest(root, variables)}", token)
        hint = ENVIRONMENT if root == "env" else ""
        return self._failed(f"The template cannot be filled: {error.message}.{hint}", token)

    def _failed(self, message: str, token: Any) -> TemplateError:
        at = _original(self.offsets, _index(token, self.source), len(self.text))
        return TemplateError(message, place=self.place.within(self.text, at))


def _as_liquid(token: Token) -> str:
    if token.path is not None and token.path.dollar:
        steps = token.path.steps
        path = str(steps[0]) + "".join(map(_key, steps[1:]))
        if len(steps) == 1:
            return "{{ " + path + " | samovar_dollar: " + _quoted(token.text) + " }}"
        return "{{ " + path + " }}"
    if token.kind == "text" and token.text == "${":
        return "{% raw %}${{% endraw %}"
    return token.text


def _key(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f"[{_quoted(step)}]"


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


def _index(token: Any, source: str) -> int:
    """Where an error is, in `source`; 0 where it says nothing, or speaks of a partial."""
    if token is None or token.start_index < 0 or token.source != source:
        return 0
    return int(token.start_index)


def _original(offsets: Sequence[tuple[int, int]], at: int, limit: int) -> int:
    index = bisect.bisect_right([begin for begin, _ in offsets], at) - 1
    begin, original = offsets[max(index, 0)]
    return min(original + at - begin, limit)


def _pieces(marked: str, held: Sequence[Held]) -> Iterator[Piece]:
    for index, part in enumerate(_MARK.split(marked)):
        if index % 2:
            yield held[int(part)]
        elif part:
            yield part
