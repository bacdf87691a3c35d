"""Limits on filling one Liquid template, counted while it runs: steps, and the size of its values.

Above: `liquid_dialect.py`. Below: python-liquid. Each node, each filter and each
item or character that a filter looks at counts, so that a template is refused on all machines or on none.
What could make far more than it takes is looked at before it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import liquid
from liquid.exceptions import FilterArgumentError, LiquidError
from liquid.expression import Expression
from liquid.undefined import Undefined

from samovar.errors import TooLargeError
from samovar.expressions.meter import LOOK
from samovar.values import ITEM_BYTES, VALUE_BYTES, is_within, text_bytes, to_text

MOST_STEPS = 2_000_000
"""Steps of filling one template: nodes, filters, and what these look at. About ten seconds."""
STEP_US = 3
"""About how many microseconds one takes."""
CHARACTERS_A_STEP = 2048
ITEMS_A_STEP = 16
"""Which a filter looks at in about the time of a step."""
LOOK_STEPS = 32
"""Steps between two looks at whether the text is still wanted."""
MOST_RANGE = 1_000_000
"""Numbers of a range that a loop goes through, or begins in."""
MOST_BITS = 10_000
"""Bits of a number."""
MOST_FORMAT_CHARACTERS = 1000
"""Characters of a date, and of its format."""


class TooMuchLiquidError(LiquidError):
    """The template does more than any that is meant to."""

    def __init__(self, message: str) -> None:
        super().__init__(message, token=None)


_SMALL = frozenset((int, float, bool, type(None)))


class Effort:
    """What filling one template has done. Mutable: `spend` counts, and everything else calls it."""

    __slots__ = ("_left", "_look", "_unseen", "value_bytes")

    def __init__(self) -> None:
        self._left, self._unseen = MOST_STEPS, 0
        self._look, self.value_bytes = LOOK.get(), VALUE_BYTES.get()

    @property
    def steps(self) -> int:
        """Taken so far."""
        return MOST_STEPS - self._left

    def spend(self, steps: int = 1) -> None:
        """Counts steps before they are taken. Raises `TooMuchLiquidError`, and what the waiter raises."""
        self._left -= steps
        self._unseen += steps
        if self._unseen >= LOOK_STEPS:
            if self._left < 0:
                raise TooMuchLiquidError(f"it takes more than {MOST_STEPS:,} steps")
            unseen, self._unseen = self._unseen, 0
            self._look(unseen * STEP_US)

    def see(self, value: object) -> None:
        """Counts the steps of looking at all of a value."""
        kind = type(value)
        if kind is str:
            if len(value) >= CHARACTERS_A_STEP:  # type: ignore[arg-type]
                self.spend(len(value) // CHARACTERS_A_STEP)  # type: ignore[arg-type]
        elif kind not in _SMALL and not isinstance(value, Undefined):  # which looks like a map
            if isinstance(value, str):
                self.spend(len(value) // CHARACTERS_A_STEP)
            elif isinstance(value, list | tuple | Mapping | range):
                length = _length(value)
                self.check(length * ITEM_BYTES)
                self.spend(length // ITEMS_A_STEP)

    def check(self, size_bytes: int) -> None:
        """Raises `TooLargeError` for what would take this much."""
        if size_bytes > self.value_bytes:
            raise TooLargeError("A value in the template", self.value_bytes)

    def applied(self, name: str, filter: Callable[..., Any], values: Sequence[Any], named: Any) -> Any:
        """What a filter makes of values, counted before and after."""
        self.spend()
        for value in values:
            self.see(value)
        before = _BEFORE.get(name)
        if before is not None:
            before(self, *values[:3])
        made = filter(*values, **named)
        self.see(made)
        if isinstance(made, str):
            self.check(len(made) if made.isascii() else text_bytes(made))
        return made


class BoundedContext(liquid.RenderContext):
    """Liquid's context, in which everything counts. A part of a template counts with the whole."""

    def __init__(self, *given: Any, **named: Any) -> None:
        above = named.get("parent_context")
        self.effort: Effort = above.effort if isinstance(above, BoundedContext) else Effort()
        self._spend = self.effort.spend
        super().__init__(*given, **named)

    @property
    def disabled_tags(self) -> list[str]:
        # Each node that is written asks for them first: the one place that all of them come by.
        self._spend()
        return self._disabled

    @disabled_tags.setter
    def disabled_tags(self, tags: list[str]) -> None:
        self._disabled = tags

    def get(self, *given: Any, **named: Any) -> object:
        value = super().get(*given, **named)
        # Whatever it is for, comparing it may look at all of it.
        self.effort.see(value)
        return value

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        found, effort = super().filter(name, token), self.effort

        def counted(*values: Any, **named: Any) -> Any:
            return effort.applied(name, found, values, named)

        return counted

    def assign(self, key: str, val: Any) -> None:
        self.locals[key] = val
        self.effort.check(self.get_size_of_locals())

    def get_size_of_locals(self) -> int:
        return sum(map(_shallow_bytes, self.locals.values())) + self.local_namespace_size_carry


class BoundedIterable(Expression):
    """What a loop goes through: a range in it is looked at before anything makes a list of it."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expression) -> None:
        super().__init__(inner.token)
        self.inner = inner

    def __str__(self) -> str:
        return str(self.inner)

    def evaluate(self, context: liquid.RenderContext) -> object:
        value = self.inner.evaluate(context)
        if isinstance(value, range) and _length(value) > MOST_RANGE:
            raise TooMuchLiquidError(f"a range has more than {MOST_RANGE:,} numbers")
        return value

    def children(self) -> list[Expression]:
        return [self.inner]


def _length(value: Any) -> int:
    """How many items it has. `len` cannot say that of a very long range."""
    return max(value.stop - value.start, 0) if isinstance(value, range) else len(value)


def _shallow_bytes(value: object) -> int:
    if isinstance(value, str):
        return text_bytes(value)
    return ITEM_BYTES * _length(value) if isinstance(value, list | tuple | Mapping | range) else ITEM_BYTES


# What filters would make, looked at before they do.


def _joining(effort: Effort, items: Any, separator: object = " ", *_: object) -> None:
    count = _length(items) if isinstance(items, list | tuple | range) else 1
    effort.check(count * len(to_text(separator)))


def _adding(effort: Effort, text: object, other: object = "", *_: object) -> None:
    effort.check(text_bytes(to_text(text)) + text_bytes(to_text(other)))


def _replacing(effort: Effort, text: object, old: object = "", new: object = "") -> None:
    whole, found, put = to_text(text), to_text(old), to_text(new)
    count = whole.count(found)
    effort.check(text_bytes(whole) + count * (text_bytes(put) - text_bytes(found)))


def _splitting(effort: Effort, text: object, separator: object = None, *_: object) -> None:
    whole, found = to_text(text), to_text(separator)
    items = whole.count(found) if found.strip(" ") else len(whole) // (1 + bool(found))
    effort.check(text_bytes(whole) + ITEM_BYTES * items)


def _wording(effort: Effort, text: object, number: object = 15, *_: object) -> None:
    most = len(to_text(text)) // 2
    effort.check(ITEM_BYTES * (min(number, most) if isinstance(number, int) else most))


def _indenting(effort: Effort, text: object, *_: object) -> None:
    whole = to_text(text)
    effort.check(len(whole) + 100 * whole.count("\n"))


def _encoding(effort: Effort, text: object, *_: object) -> None:
    effort.check(3 * text_bytes(to_text(text)))


def _appending(effort: Effort, items: object, others: object = (), *_: object) -> None:
    if not is_within([items, others], effort.value_bytes):
        raise TooLargeError("A value in the template", effort.value_bytes)


def _multiplying(effort: Effort, one: object, other: object = 0, *_: object) -> None:
    bits = sum(value.bit_length() for value in (one, other) if isinstance(value, int))
    if bits > MOST_BITS:
        raise FilterArgumentError("a number becomes too large", token=None)


def _dating(effort: Effort, date: object, form: object = "", *_: object) -> None:
    if max(len(date) if isinstance(date, str) else 0, len(to_text(form))) > MOST_FORMAT_CHARACTERS:
        raise FilterArgumentError(
            f"a date and its format have at most {MOST_FORMAT_CHARACTERS} characters", token=None
        )


_BEFORE: dict[str, Callable[..., None]] = {
    "append": _adding,
    "concat": _appending,
    "date": _dating,
    "indent": _indenting,
    "join": _joining,
    "prepend": _adding,
    "replace": _replacing,
    "replace_first": _adding,
    "replace_last": _adding,
    "split": _splitting,
    "times": _multiplying,
    "truncatewords": _wording,
    "url_encode": _encoding,
}
