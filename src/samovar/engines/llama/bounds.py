"""Limits on rendering a chat template, counted while it runs.

Above: `dialect.py`. Below: Jinja. A template is code from a file that somebody made. Each turn of a loop,
each call and each filter is a step, and no value may become larger than a limit. It does not know what a
message is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from jinja2 import nodes, pass_environment
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from samovar.errors.durations import lasting

MOST_STEPS = 250_000
"""Turns of loops, calls and filters, and one for each `CHARACTERS_PER_STEP` characters made."""
STEPS_PER_CHARACTER = 20
"""Further steps for each character of the messages."""
CHARACTERS_PER_STEP = 256
MOST_SIZE = 4_000_000
"""Characters of one value, beside four for each character of the messages."""
ITEM_SIZE = 16
"""Characters that an item of a list counts as."""
GROWTH = 64
"""A call may make this many times `MOST_SIZE` by the sizes of what it takes, which is more than it makes."""
MOST_BITS = 10_000
"""Bits of one number."""
MOST_CPU_S = 20.0
"""Processor time of the rendering thread. What counts usually are the steps."""
CLOCK_STEPS = 64
"""So often the clock is read."""

_TURNS, _SIZED, _WEIGHED = "turns of a loop", "a text put together", "a list written out"
"""Filters that templates cannot name, since their names have blanks."""
_NUMBER = re.compile(r"\d+")


class TooMuchError(Exception):
    """The template does more than any real one."""


class Bounds:
    """What one rendering has done. Mutable: `spend` counts, and everything else calls it."""

    def __init__(self, characters: int, cpu_clock: Callable[[], float] = time.thread_time) -> None:
        """`characters`: of all messages. `cpu_clock`: seconds that this thread has used."""
        self._left = MOST_STEPS + STEPS_PER_CHARACTER * characters
        self._most_size = MOST_SIZE + 4 * characters
        self._cpu_clock = cpu_clock
        self._until_s = cpu_clock() + MOST_CPU_S
        self._unclocked = 0

    def spend(self, steps: int = 1) -> None:
        """Raises `TooMuchError` if nothing is left."""
        self._left -= steps
        self._unclocked += 1
        if self._left < 0:
            raise TooMuchError("it takes too many steps")
        if self._unclocked >= CLOCK_STEPS:
            self._unclocked = 0
            if self._cpu_clock() > self._until_s:
                raise TooMuchError(f"it takes more than {lasting(MOST_CPU_S)}")

    def made(self, value: Any) -> Any:
        """`value`, which is counted. Raises `TooMuchError` if it is too large."""
        self.spend(1 + self.size(value) // CHARACTERS_PER_STEP)
        return value

    def pieces(self, pieces: Iterable[str]) -> Iterator[str]:
        """`pieces`, which are counted on the way. Raises `TooMuchError` if they are too long together."""
        total = 0
        for piece in pieces:
            total += len(piece)
            if total > self._most_size:
                raise TooMuchError("its text becomes too long")
            self.spend(len(piece) // CHARACTERS_PER_STEP)
            yield piece

    def turns(self, items: Iterable[Any]) -> Iterator[Any]:
        """`items`, each of which is a step."""
        for item in items:
            self.spend()
            yield item

    def size(self, value: Any) -> int:
        """Characters and items of `value`, as often as it contains them."""
        total, rest = 0, [value]
        while rest:
            one = rest.pop()
            total += ITEM_SIZE
            if isinstance(one, str):
                total += len(one)
            elif isinstance(one, int) and one.bit_length() > MOST_BITS:
                raise TooMuchError("a number becomes too large")
            elif isinstance(one, list | tuple | set | frozenset):
                rest += one
            elif isinstance(one, range):
                total += ITEM_SIZE * len(one)
            elif isinstance(one, dict):
                rest += [*one.keys(), *one.values()]
            if total > self._most_size or len(rest) * ITEM_SIZE > self._most_size:
                raise TooMuchError("a value becomes too large")
        return total

    def allow(self, subject: Any, others: Iterable[Any]) -> None:
        """Raises `TooMuchError` if a call with these could make a value that is far too large."""
        largest = 1
        for other in others:
            largest = max(largest, abs(other) if isinstance(other, int) else self.size(other))
        if self.size(subject) * largest > GROWTH * self._most_size:
            raise TooMuchError("a value would become too large")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which everything that can repeat or grow is counted by `bounds`.

    Mutable: `bounds` is set before each rendering, of which there is one at a time.
    """

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.bounds = Bounds(0)
        self.globals.pop("lipsum", None)  # texts of any length, for testing pages
        self.filters |= _COUNTED

    def concat(self, pieces: Iterable[str]) -> str:
        return "".join(self.bounds.pieces(pieces))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Counting().visit(tree)
        return tree.set_environment(self)  # type: ignore[return-value]

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        subject = getattr(obj, "__self__", None)
        if isinstance(subject, str):
            self.bounds.allow(subject, [*args, *kwargs.values()])
        return self.bounds.made(super().call(context, obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        format = super().wrap_str_format(value)
        if format is None:
            return None

        @wraps(format)
        def counted(*args: Any, **kwargs: Any) -> str:
            text = value.__self__
            self.bounds.allow(text, [*args, *kwargs.values(), *_widths(text)])
            return format(*args, **kwargs)

        return counted

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > MOST_BITS:
                raise TooMuchError("a number becomes too large")
        elif operator == "*" and isinstance(left, int) and not isinstance(right, int):
            self.bounds.allow(right, [left])
        elif operator == "*" and isinstance(right, int) and not isinstance(left, int):
            self.bounds.allow(left, [right])
        elif operator == "%" and isinstance(left, str):
            self.bounds.allow(left, [right, *(right if isinstance(right, tuple) else ()), *_widths(left)])
        return self.bounds.made(super().call_binop(context, operator, left, right))


def counted(filter: Callable[..., Any]) -> Callable[..., Any]:
    """`filter` for a `BoundedEnvironment`: the sizes of what it takes and gives are looked at."""
    is_format, is_handed_more = filter is FILTERS["format"], hasattr(filter, "jinja_pass_arg")

    @wraps(filter)
    def counting(first: Any, *args: Any, **kwargs: Any) -> Any:
        environment = first if isinstance(first, BoundedEnvironment) else first.environment
        bounds: Bounds = environment.bounds
        args = tuple(list(bounds.turns(one)) if isinstance(one, Iterator) else one for one in args)
        widths = _widths(args[0]) if is_format and args and isinstance(args[0], str) else []
        bounds.allow(args[:1], [*args[1:], *kwargs.values(), *widths])
        return bounds.made(filter(first, *args, **kwargs) if is_handed_more else filter(*args, **kwargs))

    return counting if is_handed_more else pass_environment(counting)


@pass_environment
def _turns(environment: BoundedEnvironment, items: Iterable[Any]) -> Iterator[Any]:
    return environment.bounds.turns(items)


@pass_environment
def _made(environment: BoundedEnvironment, value: Any) -> Any:
    return environment.bounds.made(value)


_COUNTED = {
    **{name: counted(filter) for name, filter in FILTERS.items()},
    _TURNS: _turns,
    _SIZED: _made,
    _WEIGHED: _made,
}


def _widths(format: str) -> list[int]:
    """The numbers in a format text, any of which may be a width."""
    return [int(number[:20]) for number in _NUMBER.findall(format)]


class _Counting(NodeTransformer):
    """Puts a counting filter around what loops go over, and around texts and lists that are written out."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _TURNS)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _SIZED)

    def visit_List(self, node: nodes.List | nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _WEIGHED)

    visit_Dict = visit_List

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _WEIGHED) if node.ctx == "load" else node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
