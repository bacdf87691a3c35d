"""The known types of values before a run: their kinds, and sometimes all possible values.

Above: the checks of an expression, and whatever says what a variable can hold. Below: `kinds.py`. What nobody
knows is `ANYTHING`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from samovar.expressions.kinds import ANY, NUMBERS, either, kind_of
from samovar.values import Record

MOST_VALUES = 64
"""Values that are remembered of one variable; more are any."""
WITH_PARTS = frozenset(("map", "text", "other"))
"""The kinds whose values can have parts by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """What a value can be."""

    kinds: frozenset[str] = ANY
    values: tuple[object, ...] | None = None
    """All that it can be; None if that is not known."""
    among: tuple[object, ...] = ()
    """Some of what it can be, if `values` is None."""
    item: Type | None = None
    """The type of a list's items."""
    parts: Mapping[str, Type] = field(default_factory=dict)
    """Parts of a map or a record, as far as they are known."""
    is_closed: bool = False
    """It has no other parts."""
    is_choice: bool = False
    """What a model chose among some values."""
    is_answer: bool = False
    """The answer of a model, which knows how sure its choices were."""
    is_optional: bool = False
    """For a part: it may be missing."""

    def __str__(self) -> str:
        if self.values is not None and len(self.values) > 1 and self.kinds == {"text"}:
            shown = ", ".join(f'"{one}"' for one in self.values[:8])
            return f"one of the texts {shown}" + (", …" if len(self.values) > 8 else "")
        if self.values is not None and len(self.values) == 1 and self.kinds <= {"text"} | NUMBERS:
            return (
                f'the text "{self.values[0]}"' if self.kinds == {"text"} else f"the number {self.values[0]}"
            )
        return either(self.kinds)


ANYTHING = Type()
BOOL = Type(kinds=frozenset(("bool",)))
TEXT = Type(kinds=frozenset(("text",)))
WHOLE = Type(kinds=frozenset(("int",)))
FRACTIONAL = Type(kinds=frozenset(("double",)))
NUMBER = Type(kinds=NUMBERS)
NULL = Type(kinds=frozenset(("null",)))


def text_of(values: Iterable[str]) -> Type:
    """A text that is one of some."""
    return Type(kinds=TEXT.kinds, values=tuple(values))


def list_of(item: Type) -> Type:
    return Type(kinds=frozenset(("list",)), item=item)


def type_of_value(value: object) -> Type:
    """The type of a value that is known."""
    kind = kind_of(value)
    kinds = frozenset((kind,))
    if isinstance(value, Record):
        return Type(kinds=kinds)
    if kind == "list":
        return list_of(union(type_of_value(item) for item in value))  # type: ignore[attr-defined]
    if kind == "map":
        parts = {str(key): type_of_value(one) for key, one in value.items()}  # type: ignore[attr-defined]
        return Type(kinds=kinds, parts=parts)
    return Type(kinds=kinds, values=(value,))


def union(types: Iterable[Type]) -> Type:
    """What is one of some types; `ANYTHING` for none."""
    found: Type | None = None
    for one in types:
        found = one if found is None else _either(found, one)
    return ANYTHING if found is None else found


def _known(one: Type) -> tuple[object, ...]:
    return one.among if one.values is None else one.values


def _either(one: Type, other: Type) -> Type:
    keyed = {(kind_of(value), value): value for value in (*_known(one), *_known(other))}
    found = tuple(keyed.values())
    are_all = one.values is not None and other.values is not None and len(found) <= MOST_VALUES
    item = _either(one.item, other.item) if one.item is not None and other.item is not None else None
    if "list" not in one.kinds or "list" not in other.kinds:
        item = one.item or other.item
    return Type(
        kinds=one.kinds | other.kinds,
        values=found if are_all else None,
        among=() if are_all else found[:MOST_VALUES],
        item=item,
        parts=_parts(one, other),
        is_closed=_is_sealed(one) and _is_sealed(other),
        is_choice=one.is_choice and other.is_choice,
        is_answer=one.is_answer and other.is_answer,
        is_optional=one.is_optional or other.is_optional,
    )


def _parts(one: Type, other: Type) -> dict[str, Type]:
    """Those that both have, and those of one that the other surely has not."""
    found = {}
    for name in dict.fromkeys((*one.parts, *other.parts)):
        mine, theirs = one.parts.get(name), other.parts.get(name)
        if mine is not None and theirs is not None:
            found[name] = _either(mine, theirs)
        elif mine is not None and _is_sealed(other):
            found[name] = mine
        elif theirs is not None and _is_sealed(one):
            found[name] = theirs
    return found


def _is_sealed(one: Type) -> bool:
    """Whether it has no other parts than those that are known."""
    return one.is_closed or not one.kinds & WITH_PARTS
