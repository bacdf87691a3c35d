"""The operators of expressions on two values: arithmetic, comparison, membership, equality.

Above: `closures.py`, `functions.py`. Below: `kinds.py`, `moments.py`, `meter.py`. Whole numbers have 64 bits:
beyond is an error. A whole and a fractional number make a fractional one, and are compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from samovar.expressions.kinds import NUMBERS, WrongError, called, kind_of
from samovar.expressions.meter import Meter
from samovar.expressions.moments import Duration, Moment
from samovar.values import ITEM_BYTES

LEAST, MOST = -(2**63), 2**63 - 1
_VERBS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "take the rest of"}


def checked(number: int) -> int:
    """A whole number, if it has 64 bits. Raises `WrongError`."""
    if LEAST <= number <= MOST:
        return number
    raise WrongError("A whole number goes beyond 64 bits: double(…) converts it to a fractional one.")


def _numbers(left: object, right: object) -> bool:
    return kind_of(left) in NUMBERS and kind_of(right) in NUMBERS


def _whole(left: object, right: object) -> bool:
    return kind_of(left) == "int" and kind_of(right) == "int"


def _floats(left: object, right: object) -> tuple[float, float]:
    return float(left), float(right)  # type: ignore[arg-type]


def add(left: object, right: object, meter: Meter) -> object:
    if type(left) is int and type(right) is int:
        return checked(left + right)
    kinds = kind_of(left), kind_of(right)
    if kinds == ("int", "int"):
        return checked(left + right)  # type: ignore[operator]
    if _numbers(left, right):
        one, other = _floats(left, right)
        return one + other
    if kinds in (("text", "text"), ("bytes", "bytes"), ("list", "list")):
        width = ITEM_BYTES if kinds[0] == "list" else 1
        meter.made((len(left) + len(right)) * width)  # type: ignore[arg-type]
        if kinds[0] == "list":
            return [*left, *right]  # type: ignore[misc]
        return left + right  # type: ignore[operator]
    moved = _moved(left, right, 1)
    if moved is None:
        raise _no_way("+", left, right)
    return moved


def _moved(left: object, right: object, sign: int) -> object | None:
    """Times and durations, added or subtracted; None for other values."""
    try:
        match left, right:
            case Duration(), Duration():
                return Duration.of(left.ns + sign * right.ns)
            case Moment(), Duration():
                return Moment.of(left.ns + sign * right.ns, left.offset_min)
            case Duration(), Moment() if sign > 0:
                return Moment.of(left.ns + right.ns, right.offset_min)
            case Moment(), Moment() if sign < 0:
                return Duration.of(left.ns - right.ns)
    except ValueError as error:
        raise WrongError(f"The result is too large: {error}.") from None
    return None


def subtract(left: object, right: object, meter: Meter) -> object:
    if _whole(left, right):
        return checked(left - right)  # type: ignore[operator]
    if _numbers(left, right):
        one, other = _floats(left, right)
        return one - other
    moved = _moved(left, right, -1)
    if moved is None:
        raise _no_way("-", left, right)
    return moved


def multiply(left: object, right: object, meter: Meter) -> object:
    if _whole(left, right):
        return checked(left * right)  # type: ignore[operator]
    if _numbers(left, right):
        one, other = _floats(left, right)
        return one * other
    raise _no_way("*", left, right)


def divide(left: object, right: object, meter: Meter) -> object:
    if _whole(left, right):
        return checked(_quotient(left, right))  # type: ignore[arg-type]
    if not _numbers(left, right):
        raise _no_way("/", left, right)
    one, other = _floats(left, right)
    if other:
        return one / other
    sign = math.copysign(1.0, one) * math.copysign(1.0, other)
    return math.nan if one == 0 or math.isnan(one) else sign * math.inf


def _quotient(left: int, right: int) -> int:
    """Toward zero."""
    if not right:
        raise WrongError("A whole number is divided by zero.")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def rest(left: object, right: object, meter: Meter) -> object:
    if _whole(left, right):
        # As CEL's engines do: the quotient beyond 64 bits is refused although the rest would be 0.
        quotient = checked(_quotient(left, right))  # type: ignore[arg-type]
        return left - quotient * right  # type: ignore[operator]
    if _numbers(left, right):
        raise WrongError("`%` is for whole numbers: int(…) cuts the fraction off.")
    raise _no_way("%", left, right)


def _no_way(sign: str, left: object, right: object) -> WrongError:
    kinds = {kind_of(left), kind_of(right)}
    advice = ""
    if sign == "+" and "text" in kinds:
        advice = " string(…) converts a value to text."
    if kinds & NUMBERS and "text" in kinds:
        advice = " string(…) converts a number to text, int(…) and double(…) a text to a number."
    if sign == "+" and kinds == {"map"}:
        advice = " Maps cannot be joined."
    return WrongError(f"Cannot {_VERBS[sign]} {called(left)} and {called(right)}.{advice}")


def negate(value: object) -> object:
    if kind_of(value) == "int":
        return checked(-value)  # type: ignore[operator]
    if kind_of(value) == "double":
        return -value  # type: ignore[operator]
    raise WrongError(f"`-` takes a number, not {called(value)}.")


_ORDERED = frozenset(("bool", "text", "bytes", "time", "duration"))


def less(left: object, right: object, meter: Meter) -> bool:
    """Whether one comes before the other."""
    kind, other = kind_of(left), kind_of(right)
    if not ((kind in NUMBERS and other in NUMBERS) or (kind == other and kind in _ORDERED)):
        raise WrongError(
            f"Cannot compare {called(left)} with {called(right)}."
            + (" int(…) and double(…) convert a text to a number." if "text" in (kind, other) else "")
        )
    if kind in ("text", "bytes"):
        meter.read(min(len(left), len(right)))  # type: ignore[arg-type]
    return left < right  # type: ignore[operator,no-any-return]


def _less_or_equal(left: object, right: object, meter: Meter) -> bool:
    return less(left, right, meter) or (not less(right, left, meter) and equal(left, right, meter))


def equal(left: object, right: object, meter: Meter) -> bool:
    """Whether two values are the same; values of different kinds are not, but 1 is 1.0."""
    meter.spend()
    kind, other = kind_of(left), kind_of(right)
    if kind in NUMBERS and other in NUMBERS:
        return left == right
    if kind != other or kind == "other":
        return False
    if kind in ("text", "bytes"):
        if len(left) != len(right):  # type: ignore[arg-type]
            return False
        meter.read(len(left))  # type: ignore[arg-type]
        return left == right
    if kind == "list":
        assert isinstance(left, list | tuple) and isinstance(right, list | tuple)
        return len(left) == len(right) and all(
            equal(one, two, meter) for one, two in zip(left, right, strict=True)
        )
    if kind == "map":
        assert isinstance(left, Mapping) and isinstance(right, Mapping)
        return len(left) == len(right) and all(
            has_key(right, key) and equal(value, right[key], meter) for key, value in left.items()
        )
    return left == right


def has_key(map_: Mapping[object, object], key: object) -> bool:
    """Whether a map has a key. True and False are never the keys 1 and 0."""
    return isinstance(key, str | int | float) and not isinstance(key, bool) and key in map_


def is_in(item: object, container: object, meter: Meter) -> bool:
    """`item in container`."""
    kind = kind_of(container)
    if kind == "list":
        return any(equal(item, one, meter) for one in container)  # type: ignore[attr-defined]
    if kind == "map":
        if kind_of(item) not in ("text", "int", "double", "bool"):
            raise WrongError(f"A key of a map is a text or a whole number, not {called(item)}.")
        return has_key(container, item)  # type: ignore[arg-type]
    if kind == "text":
        raise WrongError("`in` looks into lists and maps. For a text, write text.contains(part).")
    raise WrongError(f"`in` looks into a list or a map, not into {called(container)}.")


Operator = Callable[[object, object, Meter], object]
OPERATORS: Mapping[str, Operator] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": rest,
    "==": equal,
    "!=": lambda left, right, meter: not equal(left, right, meter),
    "<": less,
    ">": lambda left, right, meter: less(right, left, meter),
    "<=": _less_or_equal,
    ">=": lambda left, right, meter: _less_or_equal(right, left, meter),
    "in": is_in,
}
"""Each takes two values and what it may use, and raises `WrongError`."""
