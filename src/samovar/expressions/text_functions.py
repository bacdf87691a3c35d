"""Functions for texts, for lists and maps as far as they work the same way, and for types.

Above: `functions.py`, whose table says what each takes. Below: operators, patterns. Sizes are in code points.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import isfinite, isnan
from typing import TYPE_CHECKING

from samovar.expressions.kinds import TYPE_OF, TypeValue, WrongError, called, kind_of
from samovar.expressions.meter import Meter
from samovar.expressions.operators import has_key, is_in

if TYPE_CHECKING:
    from samovar.expressions.patterns import Pattern

_TRUE = frozenset(("1", "t", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "false", "FALSE", "False"))
_LOWER = {ord(letter): ord(letter) + 32 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_UPPER = {lower: upper for upper, lower in _LOWER.items()}


def size(meter: Meter, value: str | bytes | list[object] | dict[str, object]) -> int:
    return len(value)


def contains(meter: Meter, container: object, part: object) -> bool:
    if isinstance(container, str):
        if not isinstance(part, str):
            raise WrongError(f"The function 'contains' takes a text to look for, not {called(part)}.")
        meter.read(len(container))
        return str(part) in str(container)
    if kind_of(container) == "map":
        return has_key(container, part)  # type: ignore[arg-type]
    return is_in(part, container, meter)


def starts_with(meter: Meter, text: str, part: str) -> bool:
    meter.read(len(part))
    return text.startswith(part)


def ends_with(meter: Meter, text: str, part: str) -> bool:
    meter.read(len(part))
    return text.endswith(part)


@lru_cache(maxsize=64)
def pattern_of(text: str) -> Pattern:
    """Reads a pattern, once. Raises `WrongError`."""
    from samovar.expressions.patterns import Pattern, PatternError  # most workflows have none

    try:
        return Pattern.parse(text)
    except PatternError as error:
        raise WrongError(f"The pattern {text[:60]!r} is not a regular expression: {error}.") from None


def matches(meter: Meter, text: str, pattern: str) -> bool:
    return pattern_of(str(pattern)).is_in(str(text), meter)


def trim(meter: Meter, text: str) -> str:
    meter.made(len(text))
    return str(text).strip()


def lower_ascii(meter: Meter, text: str) -> str:
    meter.made(len(text))
    return str(text).translate(_LOWER)


def upper_ascii(meter: Meter, text: str) -> str:
    meter.made(len(text))
    return str(text).translate(_UPPER)


def char_at(meter: Meter, text: str, index: int) -> str:
    _within("charAt", index, text)
    return str(text)[index : index + 1]


def index_of(meter: Meter, text: str, part: str, begin: int = 0) -> int:
    _within("indexOf", begin, text)
    meter.read(len(text))
    return text.find(part, begin)


def last_index_of(meter: Meter, text: str, part: str, last: int | None = None) -> int:
    meter.read(len(text))
    if last is None:
        return text.rfind(part)
    _within("lastIndexOf", last, text)
    return text.rfind(part, 0, last + len(part))


def substring(meter: Meter, text: str, begin: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= begin <= end <= len(text):
        raise WrongError(
            f"The function 'substring': {begin} to {end} is out of range in a text of {len(text)} characters."
        )
    meter.made(end - begin)
    return str(text)[begin:end]


def _within(name: str, index: int, text: str) -> None:
    if not 0 <= index <= len(text):
        raise WrongError(
            f"The function {name!r}: {index} is out of range in a text of {len(text)} characters."
        )


def type_of(meter: Meter, value: object) -> TypeValue:
    kind = kind_of(value)
    return TypeValue(TYPE_OF.get(kind, kind))


def same(meter: Meter, value: object) -> object:
    return value


def string(meter: Meter, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _digits(value)
    if isinstance(value, bytes):
        meter.made(len(value))
        return value.decode("utf-8", "replace")
    return str(value)


def _digits(number: float) -> str:
    """A number as people write it: without an exponent, and without `.0`."""
    if not isfinite(number):
        return "NaN" if isnan(number) else "inf" if number > 0 else "-inf"
    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")


def bytes_of(meter: Meter, value: str | bytes) -> bytes:
    meter.made(len(value))
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def bool_of(meter: Meter, value: bool | str) -> bool:
    if isinstance(value, bool):
        return value
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise WrongError(f"The function 'bool' takes 'true' or 'false', not {value[:40]!r}.")
