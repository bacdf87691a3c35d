"""Functions that make lists and maps from others.

Above: `functions.py`, whose table says what each takes. Below: operators. What is made is counted
before it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cmp_to_key

from samovar.expressions.kinds import NUMBERS, WrongError, called, kind_of
from samovar.expressions.meter import Meter
from samovar.expressions.operators import checked, less
from samovar.values import ITEM_BYTES

Items = Sequence[object]


def _made(meter: Meter, count: int) -> None:
    meter.made(ITEM_BYTES * count)
    meter.spend(count)


def range_of(meter: Meter, begin: int, end: int | None = None, step: int = 1) -> list[int]:
    begin, end = (0, begin) if end is None else (begin, end)
    if step == 0:
        raise WrongError("The function 'range' takes a step other than 0.")
    numbers = range(begin, end, step)
    _made(meter, _count(begin, end, step))
    return [checked(one) for one in numbers]


def _count(begin: int, end: int, step: int) -> int:
    """How many numbers there are: `len` of a range takes no more than 63 bits."""
    distance = end - begin if step > 0 else begin - end
    return max(-(-distance // abs(step)), 0)


def reverse(meter: Meter, value: str | Items) -> str | list[object]:
    if isinstance(value, str):
        meter.made(len(value))
        return str(value)[::-1]
    _made(meter, len(value))
    return list(reversed(value))


def sort(meter: Meter, items: Items) -> list[object]:
    _made(meter, len(items))

    def compared(one: object, other: object) -> int:
        meter.spend(2)
        return -1 if less(one, other, meter) else int(less(other, one, meter))

    return sorted(items, key=cmp_to_key(compared))


def unique(meter: Meter, items: Items) -> list[object]:
    _made(meter, 2 * len(items))
    found: dict[Hashable, object] = {}
    for one in items:
        found.setdefault(_same_for_equals(one, meter), one)
    return list(found.values())


def _same_for_equals(value: object, meter: Meter) -> Hashable:
    """What is the same for values that are equal, and for no others."""
    kind = kind_of(value)
    meter.spend()
    if kind in NUMBERS:
        return "number", value
    if kind == "text":
        meter.read(len(str(value)))
        return kind, str(value)
    if isinstance(value, list | tuple):
        return kind, tuple(_same_for_equals(one, meter) for one in value)
    if isinstance(value, Mapping):
        return kind, frozenset((key, _same_for_equals(one, meter)) for key, one in value.items())
    return kind, value


def zip_of(meter: Meter, *lists: object) -> list[list[object]]:
    for one in lists:
        if kind_of(one) != "list":
            raise WrongError(f"The function 'zip' takes lists, not {called(one)}.")
    counts = {len(one) for one in lists}  # type: ignore[arg-type]
    if len(counts) > 1:
        raise WrongError(
            f"The function 'zip' takes lists of the same length, not of {sorted(counts)[0]} and "
            f"{sorted(counts)[-1]}; slice(list, 0, n) cuts one."
        )
    _made(meter, (len(lists) + 1) * (counts.pop() if counts else 0))
    return [list(one) for one in zip(*lists, strict=True)]


def merge(meter: Meter, *maps: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for one in maps:
        if not isinstance(one, Mapping):
            raise WrongError(f"The function 'merge' takes maps, not {called(one)}.")
        _made(meter, 2 * len(one))
        found.update(one)
    return found


def first(meter: Meter, items: Items) -> object:
    return _end("first", items, 0)


def last(meter: Meter, items: Items) -> object:
    return _end("last", items, -1)


def _end(name: str, items: Items, index: int) -> object:
    if not items:
        advice = f"default(list[{index}], value) allows that."
        raise WrongError(f"The function {name!r}: the list is empty. {advice}")
    return items[index]


def slice_of(meter: Meter, value: str | Items, begin: int, end: int | None = None) -> str | list[object]:
    at, to, _ = slice(begin, end).indices(len(value))
    count = max(to - at, 0)
    if isinstance(value, str):
        meter.made(count)
        return str(value)[at:to]
    _made(meter, count)
    return list(value[at:to])
