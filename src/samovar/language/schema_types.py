"""The possible values of an answer with a schema, as types for the checks of expressions.

Above: prompts, which say what their result is. Below: `schemas.py`, `expressions/types.py`. What a schema
does not say, or says in a way that is not read here, is anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from samovar.expressions.types import (
    ANYTHING,
    BOOL,
    NULL,
    NUMBER,
    TEXT,
    WHOLE,
    Type,
    list_of,
    type_of_value,
    union,
)
from samovar.language.schemas import REMARKS, Schema
from samovar.values.certainty import resolved, values_of

_SIMPLE = {"string": TEXT, "integer": WHOLE, "number": NUMBER, "boolean": BOOL, "null": NULL}
_DEPTHS = (8, 5, 3, 2, 1)
"""How deep a schema is read: the first of these at which it is not too large."""
_MOST_TYPES = 2000
"""Types of one schema, whose references can make it arbitrarily large."""
_MOST_WITHIN = 3
"""How often what a reference leads to is read within itself."""


def type_of_schema(schema: object) -> Type:
    """What a value that a schema accepts can be."""
    for deepest in _DEPTHS:
        reading = _Reading(schema, deepest)
        found = reading.of(schema)
        if reading.left >= 0:
            return found
    return ANYTHING


@dataclass(slots=True)
class _Reading:
    """Reads one schema. Changed by what it may still read."""

    whole: object
    """The schema that references are looked up in."""
    deepest: int
    left: int = _MOST_TYPES

    def of(self, schema: object, deep: int = 0, way: tuple[str, ...] = (), *, is_apart: bool = False) -> Type:
        """The type of a part of it.

        `way`: the references that led here. `is_apart`: it is one of several that the value may have, so
        nobody says which it was chosen by.
        """
        if not isinstance(schema, dict) or deep > self.deepest or self.left < 0:
            return ANYTHING
        self.left -= 1
        if isinstance(reference := schema.get("$ref"), str):
            if way.count(reference) == _MOST_WITHIN:
                return ANYTHING
            way = (*way, reference)
            schema = resolved(schema, self.whole)
            if not isinstance(schema, dict):
                return ANYTHING
        found = self._of(schema, deep, way, is_apart=is_apart)
        if found.kinds <= {"text", "null"}:
            found = replace(found, is_closed=True)
        return found if is_apart or values_of(schema, self.whole) is None else replace(found, is_choice=True)

    def _of(self, schema: Schema, deep: int, way: tuple[str, ...], *, is_apart: bool) -> Type:
        def one_of(several: Iterable[object]) -> Type:
            return union([self.of(one, deep + 1, way, is_apart=True) for one in several])

        if "allOf" in schema:
            several = schema["allOf"]
            is_one = isinstance(several, list) and len(several) == 1 and schema.keys() <= {"allOf", *REMARKS}
            return self.of(several[0], deep + 1, way, is_apart=True) if is_one else ANYTHING
        if "const" in schema:
            return type_of_value(schema["const"])
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return union(type_of_value(one) for one in schema["enum"])
        if isinstance(several := schema.get("anyOf", schema.get("oneOf")), list):
            return one_of(several)
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = ({**schema, "type": one} for one in kind)
            return union([self.of(one, deep + 1, way, is_apart=is_apart) for one in kinds])
        if kind == "array":
            if isinstance(first := schema.get("prefixItems"), list):
                rest = schema.get("items", {})
                return list_of(one_of(first if rest is False else (*first, rest)))
            return list_of(self.of(schema.get("items", {}), deep + 1, way, is_apart=is_apart))
        if kind == "object":
            is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
            parts = self._fields(schema, deep, way, is_apart=is_apart)
            return Type(kinds=frozenset(("map",)), parts=parts, is_closed=is_closed)
        return _SIMPLE.get(kind, ANYTHING) if isinstance(kind, str) else ANYTHING

    def _fields(self, schema: Schema, deep: int, way: tuple[str, ...], *, is_apart: bool) -> dict[str, Type]:
        """What each field of an object can be."""
        properties: Any = schema.get("properties", {})
        required = schema.get("required", ())
        found = {
            str(name): self.of(one, deep + 1, way, is_apart=is_apart) for name, one in properties.items()
        }
        return {name: replace(one, is_optional=name not in required) for name, one in found.items()}
