"""One step of a path: a part of a map or of a record by its name, an item of a list by its number.

Above: `closures.py`. Below: `evaluation.py`. What is not there is a `MissingError`, which `default` catches.
"""

from __future__ import annotations

from collections.abc import Mapping

from samovar.errors import nearest
from samovar.errors.counting import counted
from samovar.expressions.complaints import instead_of_part
from samovar.expressions.evaluation import MissingError, narrow, sentence
from samovar.expressions.kinds import called, kind_of
from samovar.expressions.names import normal
from samovar.expressions.operators import has_key
from samovar.values import Record


def part_of(value: object, name: str, at: int) -> object:
    parts = value.parts if isinstance(value, Record) else value
    if kind_of(parts) != "map":
        offer = instead_of_part(name, "…") if kind_of(value) in ("text", "list") else ""
        raise MissingError(f"{sentence(called(value))} has no part {name!r}.{offer}", at)
    assert isinstance(parts, Mapping)
    key = key_of(parts, name)
    if key is not None:
        found = parts[key]
        return found if type(found) is not int else narrow(found, at)
    raise MissingError(f"There is no part {name!r}.{nearest(name[:100], map(str, parts))}", at)


def key_of(parts: Mapping[object, object], name: str) -> object:
    """The key that a name means; None if there is none.

    Keys of JSON are in whatever Unicode form somebody wrote them, and a name is in its normal one.
    """
    if name in parts or name.isascii():
        return name if name in parts else None
    return next((key for key in parts if isinstance(key, str) and normal(key) == name), None)


def item_of(value: object, key: object, at: int) -> object:
    kind = kind_of(value)
    if kind == "list":
        assert isinstance(value, list | tuple)
        if kind_of(key) != "int":
            raise MissingError(
                f"The items of a list are numbered: an index is a whole number, not {called(key)}.", at
            )
        assert isinstance(key, int)
        if not -len(value) <= key < len(value):
            raise MissingError(f"The list has {counted(len(value), 'item')}, none at {key}.", at)
        return value[key]
    if kind == "text" and not isinstance(value, Record):
        raise MissingError("A text has no items: text.charAt(n) is its nth character.", at)
    if kind not in ("map", "text"):
        raise MissingError(f"{sentence(called(value))} has no items.", at)
    if isinstance(key, str):
        return part_of(value, key, at)
    if kind == "map" and has_key(value, key):  # type: ignore[arg-type]
        return value[key]  # type: ignore[index]
    raise MissingError(f"There is no part {key!r}.", at)
