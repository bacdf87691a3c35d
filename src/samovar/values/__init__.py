"""The values of variables, and their conversion to a text, a truth or a literal.

Above: templates, expressions and actions, which fill and test values. Below: the errors.
A variable holds None, a bool, a number, a text, a list, a map with text keys, or a `Record`. This module
knows no template, no action and no file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, overload

from samovar.errors import Place, TooLargeError

MOST_VALUE_BYTES = 64_000_000
"""Bytes of a value: its texts in UTF-8, and `ITEM_BYTES` for each item. The default of the setting
`value_bytes`, and the limit outside a run."""
VALUE_BYTES: ContextVar[int] = ContextVar("value_bytes", default=MOST_VALUE_BYTES)
"""What counts now. It is beside all that makes a value, which is too much to hand it through."""
ITEM_BYTES = 16
"""Bytes of an item in a list, and of each key and each value in a map."""
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Each ends a line, as `\\r\\n` does."""


class Record(str):
    """A text with parts: the value of a prompt or of a shell command.

    It is its text to everything that takes a text. `record["content"]`, `record.part("content")` and, in
    templates and conditions, `name.content` read a part. `json` is always a part: the text read as JSON, or
    None if it is none; it is read when it is first asked for. So is `text`, the text itself.
    """

    __slots__ = ("_parts",)

    _parts: dict[str, object]

    def __new__(cls, text: str, parts: Mapping[str, object] | None = None) -> Record:
        record = super().__new__(cls, text)
        record._parts = {"text": str(text), **(parts or {})}
        return record

    @property
    def parts(self) -> Mapping[str, object]:
        """Every part by name."""
        if "json" not in self._parts:
            self._parts["json"] = _json_or_none(self)
        return self._parts

    def part(self, name: str) -> object:
        """One part. Raises `KeyError` if there is none of that name."""
        return self.parts[name] if name == "json" else self._parts[name]

    @overload  # type: ignore[override]
    def __getitem__(self, key: str) -> object: ...
    @overload
    def __getitem__(self, key: int | slice) -> str: ...
    def __getitem__(self, key: Any) -> object:
        if isinstance(key, str):
            return self.part(key)
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[type[Record], tuple[str, dict[str, object]]]:
        return Record, (str(self), self._parts)

    def __str__(self) -> str:
        # A plain `str`, so that anyone who asks for the text does not hold on to the parts.
        return super().__str__()


@contextmanager
def limited(value_bytes: int) -> Iterator[None]:
    """What is made within takes no more for each value."""
    token = VALUE_BYTES.set(value_bytes)
    try:
        yield
    finally:
        VALUE_BYTES.reset(token)


def text_bytes(text: str) -> int:
    """Bytes of a text as UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def is_within(value: object, most_bytes: int) -> bool:
    """Whether a value takes no more than this many bytes: what it has several times counts each time.

    A record counts as its text. It looks at no more of the value than that takes.
    """
    left, rest = most_bytes, [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            left -= text_bytes(one) if len(one) <= left else len(one)
        elif isinstance(one, Mapping):
            left -= 2 * ITEM_BYTES * len(one)
            if left >= 0:
                rest += one.keys()
                rest += one.values()
        elif isinstance(one, list | tuple):
            left -= ITEM_BYTES * len(one)
            if left >= 0:
                rest += one
        elif isinstance(one, int) and not isinstance(one, bool):
            left -= one.bit_length() // 8
        if left < 0:
            return False
    return True


def within(value: object, what: str, most_bytes: int | None = None) -> Any:
    """`value`, if it is not too large; `what` it is, in words. Raises `TooLargeError`."""
    most_bytes = VALUE_BYTES.get() if most_bytes is None else most_bytes
    if is_within(value, most_bytes):
        return value
    raise TooLargeError(what, most_bytes)


def joined(parts: Iterable[str], what: str, place: Place | None = None) -> str:
    """Texts of one template put together. Raises `TooLargeError` before they are too large."""
    most_bytes, taken, kept = VALUE_BYTES.get(), 0, []
    for part in parts:
        taken += text_bytes(part)
        if taken > most_bytes:
            raise TooLargeError(what, most_bytes, place=place)
        kept.append(part)
    return "".join(kept)


def lines_of(text: str, what: str) -> list[str]:
    """The lines of a text, unless they are too many. Raises `TooLargeError` before there are."""
    most_bytes = VALUE_BYTES.get()
    if len(text) * (ITEM_BYTES + 1) > most_bytes:
        count = 1 + sum(map(text.count, "\n\r"))
        if text_bytes(text) + ITEM_BYTES * count > most_bytes:
            raise TooLargeError(what, most_bytes)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_json(text: str, **options: Any) -> Any:
    """The value of a text of JSON, as `json.loads` reads it.

    Raises `TooLargeError` before there are too many items, which take far more than their text.
    """
    most_bytes = VALUE_BYTES.get()
    if len(text) * ITEM_BYTES > most_bytes:
        items = 1 + sum(map(text.count, ",[{:"))  # at most: they may be within texts too
        if ITEM_BYTES * items > most_bytes:
            raise TooLargeError("The value of this JSON", most_bytes)
    return json.loads(text, **options)


def _json_or_none(text: str) -> object:
    try:
        return read_json(text, parse_constant=refuse_constant, parse_float=json_number)
    except (ValueError, RecursionError):
        return None


def json_number(text: str) -> int | float:
    """A number of JSON from outside: a whole one, as in `3.0`, is whole."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


_EXACT = 2.0**53
"""Up to here, each whole number is a float of its own."""


def refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def to_text(value: object) -> str:
    """The text that is where a value is filled in: a list or a map is its JSON, None is nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, ensure_ascii=False, default=_plain_or_text)
    return str(value)


def _plain_or_text(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def truth(value: object) -> bool:
    """Whether a value counts as true: a bool, a number ≠ 0, a non-empty text, list or map."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return bool(value)


def literal(text: str) -> object:
    """A literal that was written in a file: typed if it is wholly JSON, else the text unchanged."""
    stripped = text.strip()
    if not stripped or not _MAY_BE_JSON.match(stripped):
        return text
    try:
        return read_json(stripped, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return text


_MAY_BE_JSON = re.compile(r'[-\d{\["tfn]')

UNITS_S = {
    "ms": 0.001,
    "millisecond": 0.001,
    "milliseconds": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "mins": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def is_finite(value: int | float) -> bool:
    """Whether a number is finite, and no whole number beyond what a float can be."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def duration_s(value: object) -> float:
    """Seconds of a duration: a number of seconds, or a text such as `30`, `1.5 s`, `200ms`, `2 min`, `1h`.

    Raises `ValueError` with a sentence on what was expected.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value >= 0 and is_finite(value):
            return float(value)
    elif isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match:
            number, unit = match.groups()
            seconds = float(number) * UNITS_S.get((unit or "s").lower(), math.nan)
            if math.isfinite(seconds):
                return seconds
    raise ValueError("expected a duration: a number of seconds, or with a unit as in 200ms, 30s, 2min, 1h")


def positive_duration_s(value: object) -> float | None:
    """The same of one above 0; None for anything else."""
    try:
        return duration_s(value) or None
    except ValueError:
        return None


def records_of(variables: Mapping[str, object]) -> Iterator[tuple[str, Record]]:
    """The variables that have parts."""
    for name, value in variables.items():
        if isinstance(value, Record):
            yield name, value


def plain(value: object) -> object:
    """The same value in types that JSON has: a record is its text, what is unknown its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def is_utf8(text: str) -> bool:
    """Whether the text can be written as UTF-8: a lone surrogate, half of a character, cannot."""
    return not any("\ud800" <= one <= "\udfff" for one in text)
