"""Filters of templates: additional ones, and replacements for Liquid's unbounded ones.

Above: `liquid_dialect.py`, which hands them over. Below: python-liquid's errors. Values are read as
`values.to_text` has them. What they make is counted by `liquid_bounds.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import wraps
from typing import Any

from liquid.exceptions import FilterArgumentError
from liquid.limits import to_int
from liquid.undefined import Undefined

from samovar.values import LINE_ENDS, to_text


class RawText(str):
    """The value of `| raw`."""

    __slots__ = ()


def clean(value: object) -> object:
    if isinstance(value, Undefined):
        str(value)  # raises the error that names it
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, range):
        return list(value)
    return value


def slugify(value: object) -> str:
    return re.sub(r"[^\w]+|_+", "-", to_text(clean(value)).lower()).strip("-")


def count_lines(value: object) -> int:
    text = to_text(clean(value))
    ends = sum(map(text.count, LINE_ENDS)) - text.count("\r\n")
    return ends + (text[-1:] not in LINE_ENDS if text else 0)


def indent(value: object, width: object = 2) -> str:
    spaces = " " * min(int(str(width)), 100)
    return "\n".join(spaces + line for line in to_text(clean(value)).split("\n"))


def raw(value: object) -> str:
    return RawText(to_text(clean(value)))


def no_path(name: str, value: object) -> object:
    """What `confidence` is if it is not directly behind a path: see `pieces.py`."""
    raise FilterArgumentError(
        f"`{name}` must come directly after the path of a choice, as in {{{{ verdict.team | {name} }}}}",
        token=None,
    )


def given(function: Callable[..., Any], spelt: Callable[[object], object]) -> Callable[..., Any]:
    """A filter of Liquid, given texts as written here: `true`, not Python's `True`."""

    @wraps(function)
    def filtered(*values: object, **named: object) -> Any:
        return function(*map(spelt, values), **named)

    return filtered


def spelt(value: object) -> object:
    is_other = value is None or isinstance(value, bool | list | tuple | Mapping)
    return to_text(value) if is_other else value


def spelt_items(value: object) -> object:
    return [spelt_items(item) for item in value] if isinstance(value, list | tuple) else spelt(value)


# Filters that Liquid has too, if their effort grows with the square of what they are given.


_MISSING = object()


def uniq(sequence: object, key: object = None) -> list[object]:
    """The items without those that were there before; with `key`, by what they have there."""
    items = list(_flat(sequence)) if isinstance(sequence, list | tuple | range) else [sequence]
    seen: set[object] = set()
    kept = []
    for item in items:
        told = _frozen(item if key is None else _part(item, key))
        if told not in seen:
            seen.add(told)
            kept.append(item)
    return kept


def _part(item: Any, key: object) -> object:
    try:
        return item[key]
    except KeyError:
        return _MISSING
    except (TypeError, IndexError):
        raise FilterArgumentError(f"can't read property '{key}' of {item}", token=None) from None


def _flat(items: Iterable[object], level: int = 5) -> Iterable[object]:
    for item in items:
        if level and isinstance(item, list | tuple):
            yield from _flat(item, level - 1)
        else:
            yield item


def _frozen(value: object) -> object:
    """What is equal for equal values, and can be in a set."""
    if isinstance(value, Mapping):
        return "map", frozenset((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return "list", tuple(map(_frozen, value))
    return value


def truncatewords(value: object, number: object = 15, end: object = "...") -> str:
    """The first words with one blank between them, and `end` if there are more. At least one word."""
    if isinstance(number, Undefined):
        raise FilterArgumentError("truncatewords expected an integer, found Undefined", token=None)
    try:
        most = max(to_int(number), 1)
    except ValueError:
        raise FilterArgumentError("truncatewords expected an integer", token=None) from None
    text = to_text(value)
    if most >= _EVERY_WORD:
        return text
    words = text.split(None, most)
    return " ".join(words) if len(words) < most else " ".join(words[:most]) + to_text(end)


_EVERY_WORD = (1 << 31) - 1
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_RAW_ENDS = {"<!--": "-->", "<script": "</script", "<style": "</style"}


def strip_html(value: object) -> str:
    """The text without tags, comments, scripts and styles."""
    text = to_text(value)
    parts, done, missing = [], 0, set[str]()
    while (found := _TAG.search(text, done)) is not None:
        start = found.start()
        opening = text[start : start + 7].lower()
        end = next((end for begin, end in _RAW_ENDS.items() if opening.startswith(begin)), "")
        inner = start
        if end and end not in missing:
            inner = _find(text, end, start)
            if inner < 0:
                missing.add(end)
                inner = start
        close = text.find(">", inner)
        if close < 0:
            break
        parts.append(text[done:start])
        done = close + 1
    return "".join((*parts, text[done:]))


def _find(text: str, what: str, start: int) -> int:
    """Where `what` is next, in small or capital letters; -1 if nowhere."""
    match = re.compile(re.escape(what), re.I).search(text, start)
    return match.start() if match else -1
