"""Functions for numbers.

Above: `functions.py`, whose table says what each takes. Below: operators. Whole numbers have 64 bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from samovar.expressions.kinds import NUMBERS, WrongError, called, kind_of
from samovar.expressions.meter import Meter
from samovar.expressions.moments import SECOND_NS, Duration, Moment
from samovar.expressions.operators import add, checked, less

Number = int | float
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_FRACTIONAL = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf(?:inity)?|nan)", re.I
)


def int_of(meter: Meter, value: Number | str | Moment) -> int:
    if isinstance(value, Moment):
        return value.ns // SECOND_NS
    if isinstance(value, str):
        if _WHOLE.fullmatch(value) is None:
            raise WrongError(f"The function 'int' takes the digits of a whole number, not {value[:40]!r}.")
        return checked(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WrongError(f"There is no whole number for {value}.")
        return checked(int(value))
    return value


def double_of(meter: Meter, value: Number | str) -> float:
    if isinstance(value, str):
        meter.read(len(value))
        if _FRACTIONAL.fullmatch(value) is None:
            raise WrongError(f"The function 'double' takes the digits of a number, not {value[:40]!r}.")
    return float(value)


def _values(name: str, values: tuple[object, ...]) -> Sequence[object]:
    """What is given: one list, or several values."""
    if len(values) == 1 and kind_of(values[0]) == "list":
        values = tuple(values[0])  # type: ignore[arg-type]
    if not values:
        raise WrongError(f"The function {name!r} takes at least one value.")
    return values


def least(meter: Meter, *values: object) -> object:
    found, *others = _values("min", values)
    for one in others:
        meter.spend()
        if less(one, found, meter):
            found = one
    return found


def greatest(meter: Meter, *values: object) -> object:
    found, *others = _values("max", values)
    for one in others:
        meter.spend()
        if less(found, one, meter):
            found = one
    return found


def sum_of(meter: Meter, *values: object) -> object:
    items = values[0] if len(values) == 1 and kind_of(values[0]) == "list" else values
    total: object = 0
    for index, one in enumerate(items):  # type: ignore[arg-type, var-annotated]
        meter.spend()
        if kind_of(one) not in NUMBERS | {"duration"}:
            raise WrongError(f"The function 'sum' takes numbers or durations, not {called(one)}.")
        total = Duration(0) if not index and isinstance(one, Duration) else total
        total = add(total, one, meter)
    return total


def absolute(meter: Meter, value: Number) -> Number:
    return checked(abs(value)) if isinstance(value, int) else abs(value)


def sign(meter: Meter, value: Number) -> Number:
    found = (value > 0) - (value < 0)
    return float(found) if isinstance(value, float) else found


def root(meter: Meter, value: Number) -> float:
    return math.nan if value < 0 else math.sqrt(value)


def ceil(meter: Meter, value: Number) -> float:
    return float(math.ceil(value)) if math.isfinite(value) else float(value)


def floor(meter: Meter, value: Number) -> float:
    return float(math.floor(value)) if math.isfinite(value) else float(value)


def trunc(meter: Meter, value: Number) -> float:
    return float(math.trunc(value)) if math.isfinite(value) else float(value)


def round_half_away(meter: Meter, value: Number) -> float:
    if not math.isfinite(value):
        return float(value)
    below = math.floor(value)
    part = value - below
    if part == 0.5:
        return float(below + 1 if value > 0 else below)
    return float(below + (part > 0.5))


def rounded(meter: Meter, value: Number, digits: int | None = None) -> Number:
    """To a whole number, or to this many digits behind the point; a half goes away from zero."""
    if not math.isfinite(value):
        raise WrongError(f"There is no whole number for {value}.")
    if digits is not None and not -20 <= digits <= 20:
        raise WrongError(f"The function 'round' takes from -20 to 20 digits, not {digits}.")
    from decimal import ROUND_HALF_UP, Decimal, localcontext  # few workflows round

    with localcontext() as context:
        context.prec = 400
        found = Decimal(repr(value)).quantize(Decimal(1).scaleb(-(digits or 0)), rounding=ROUND_HALF_UP)
    return checked(int(found)) if digits is None or isinstance(value, int) else float(found)


def is_nan(meter: Meter, value: Number) -> bool:
    return math.isnan(value)


def is_inf(meter: Meter, value: Number) -> bool:
    return math.isinf(value)


def is_finite(meter: Meter, value: Number) -> bool:
    return math.isfinite(value)
