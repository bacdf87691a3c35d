"""Entries of a case by state, under any of its keys: one value for every visit, or a list of values.

Above: `told_values.py` and `expected_values.py`, whose values are there. Below: `checked_values.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from samovar.testing.checked_values import CheckedValues, Step
from samovar.testing.expectations import Told

T = TypeVar("T")
ReadOne = Callable[[CheckedValues, Any, tuple[Step, ...]], T | None]
"""Reads the value that is at these steps; None, and a fault, if it is none."""


def by_state(
    yaml: CheckedValues,
    value: Any,
    read: ReadOne[T],
    keys: Sequence[str],
    *at: Step,
    prefix: str = "",
) -> Iterator[tuple[str, Told[T]]]:
    """By path, the entry of a state; a map without any of `keys` is of the states below it."""
    for name, item in yaml.map(value, f"`{prefix or at[-1]}`", None, *at).items():
        path, here = prefix + name, (*at, name)
        if item == {}:
            yaml.fault("case", f"There is nothing in the map for {path!r}.", *here)
            continue
        if isinstance(item, dict) and not any(key in item for key in keys):
            yield from by_state(yaml, item, read, keys, *here, prefix=f"{path}/")
            continue
        items = item if isinstance(item, list) else [item]
        spots = [(*here, index) if isinstance(item, list) else here for index in range(len(items))]
        told = [
            one
            for item, spot in zip(items, spots, strict=True)
            if (one := read(yaml, item, spot)) is not None
        ]
        if not items:
            yaml.fault("case", f"There is nothing in the list for {path!r}.", *here)
        elif len(told) == len(items):
            is_list = isinstance(item, list)
            yield path, Told(values=tuple(told), is_list=is_list, place=yaml.place(*here))
