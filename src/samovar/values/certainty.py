"""The confidence of a model's choices: the choices in an answer, each with its probability.

Above: engines, which find them; events and answers, which carry them; expressions, which ask for them. Below:
`values.py`. A choice is what `choices` offered, or a field of a schema that can be one of some values. How a
model came by it is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from samovar.values import Record

Path = tuple[str | int, ...]
"""A place in an answer: names of fields, numbers of items; empty for the whole of it."""
Scalar = str | bool | int | float | None
_MOST_DEEP = 50
_SIMPLE: Mapping[str, tuple[Scalar, ...]] = {"boolean": (True, False), "null": (None,)}
"""By a type of JSON Schema: all values, if they are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenValue:
    """One value that a model chose among some."""

    path: Path = ()
    """Where it is in the answer."""
    value: Scalar
    """What was chosen."""
    confidence: float
    """The probability of what was chosen among what was allowed, 0 to 1, at temperature 1: the product over
    the tokens that decided it."""
    alternatives: Mapping[str, float | None] = field(default_factory=dict)
    """The probability of each value at the first token that decided, by how it is spelled; None if that token
    does not part it from another value."""


class Answered(Record):
    """The value of a prompt whose answer holds choices: `Record`, with how sure the model was of them."""

    __slots__ = ("chosen",)

    chosen: Mapping[Path, ChosenValue]
    """By their places."""

    def __new__(
        cls,
        text: str,
        parts: Mapping[str, object] | None = None,
        chosen: Mapping[Path, ChosenValue] | None = None,
    ) -> Answered:
        record = super().__new__(cls, text, parts)
        assert isinstance(record, Answered)
        record.chosen = dict(chosen or {})
        return record

    def __reduce__(self) -> tuple[Any, ...]:
        return Answered, (str(self), self._parts, self.chosen)


def spelled(value: Scalar) -> str:
    """A value as a person writes it: a text as it is, another one as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def path_text(path: Path) -> str:
    """A path as written: `items[0].team`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def values_of(schema: object, whole: object = None) -> tuple[Scalar, ...] | None:
    """All values that a schema allows, if those are few and none is a list or a map; else None.

    `whole`: the schema that it is a part of, for its references.
    """
    schema = resolved(schema, whole)
    if not isinstance(schema, dict):
        return None
    found: list[Scalar] = []
    if "const" in schema:
        found = [schema["const"]]
    elif isinstance(schema.get("enum"), list):
        found = schema["enum"]
    elif isinstance(several := schema.get("anyOf", schema.get("oneOf")), list):
        for one in several:
            values = values_of(one, whole)
            if values is None:
                return None
            found += values
    else:
        kinds = schema.get("type")
        for kind in map(str, kinds if isinstance(kinds, list) else [kinds]):
            if kind not in _SIMPLE or "allOf" in schema or "not" in schema:
                return None
            found += _SIMPLE[kind]
    if not found or any(isinstance(one, list | dict) for one in found):
        return None
    return tuple({(type(one), one): one for one in found}.values())


def resolved(schema: object, whole: object) -> object:
    """A schema, or the part of `whole` that it refers to."""
    for _ in range(_MOST_DEEP):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return schema
        if reference != "#" and not reference.startswith("#/"):
            return None
        schema = whole
        for step in reference[2:].split("/") if len(reference) > 2 else ():
            name = step.replace("~1", "/").replace("~0", "~")
            schema = schema.get(name) if isinstance(schema, dict) else None
    return None


def choices_in(
    schema: object, value: object, whole: object = None, path: Path = ()
) -> Iterator[tuple[Path, Scalar, tuple[Scalar, ...]]]:
    """The choices that an answer by a schema holds: its place, its value, and the allowed values."""
    whole = schema if whole is None else whole
    schema = resolved(schema, whole)
    allowed = values_of(schema, whole)
    if allowed is not None:
        if any(type(one) is type(value) and one == value for one in allowed):
            yield path, value, allowed  # type: ignore[misc]
    elif len(path) < _MOST_DEEP and isinstance(schema, dict) and not schema.keys() & _APART:
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            for name, one in value.items():
                if name in properties:
                    yield from choices_in(properties[name], one, whole, (*path, name))
        elif isinstance(value, list):
            first, items = schema.get("prefixItems", []), schema.get("items")
            for index, one in enumerate(value):
                within = first[index] if index < len(first) else items
                yield from choices_in(within, one, whole, (*path, index))


_APART = frozenset(("anyOf", "oneOf", "allOf", "not", "if"))
"""Keywords that let other keywords decide what a field may be."""


def has_choices(schema: object) -> bool:
    """Whether an answer by a schema can hold a choice."""
    waiting, seen = [schema], set()
    while waiting:
        one = resolved(waiting.pop(), schema)
        if values_of(one, schema) is not None:
            return True
        if isinstance(one, dict) and not one.keys() & _APART and id(one) not in seen:
            seen.add(id(one))
            waiting += [*one.get("properties", {}).values(), *one.get("prefixItems", []), one.get("items")]
    return False


def certain(choices: tuple[str, ...], schema: str | None, text: str) -> tuple[ChosenValue, ...]:
    """The choices of an answer that nobody doubts: each is sure."""
    found: list[tuple[Path, Scalar, tuple[Scalar, ...]]] = []
    if choices and text in choices:
        found = [((), text, choices)]
    elif schema is not None:
        try:
            found = list(choices_in(json.loads(schema), json.loads(text)))
        except (ValueError, RecursionError):
            found = []
    return tuple(
        ChosenValue(path=path, value=value, confidence=1.0, alternatives=_sure(value, allowed))
        for path, value, allowed in found
    )


def _sure(value: Scalar, allowed: tuple[Scalar, ...]) -> dict[str, float | None]:
    return {spelled(one): float(type(one) is type(value) and one == value) for one in allowed}
