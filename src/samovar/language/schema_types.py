"""The possible values of an answer with a schema, as types for the checks of expressions.

Above: prompts, which say what their result is. Below: `schemas.py`, `expressions/types.py`. What a schema
does not say, or says in a way that is not read here, is anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from samovar.expressions.types import (
    ANYTHING,
    BOOL,
    NUMBER,
    TEXT,
    WHOLE,
    Type,
    list_of,
    type_of_value,
    union,
)
from samovar.language.schemas import Schema
from samovar.values.certainty import values_of

_NULL = Type(kinds=frozenset(("null",)))
_SIMPLE = {"string": TEXT, "integer": WHOLE, "number": NUMBER, "boolean": BOOL, "null": _NULL}
_MOST_DEEP = 8


def type_of_schema(schema: object, deep: int = 0, *, is_apart: bool = False) -> Type:
    """What a value that a schema accepts can be.

    `is_apart`: it is one of several that the value may have, so nobody says which it was chosen by.
    """
    found = _type_of(schema, deep, is_apart=is_apart)
    if found.kinds <= {"text", "null"}:
        found = replace(found, is_closed=True)
    return found if is_apart or values_of(schema) is None else replace(found, is_choice=True)


def _type_of(schema: object, deep: int, *, is_apart: bool) -> Type:
    if not isinstance(schema, dict) or deep > _MOST_DEEP or schema.keys() & {"$ref", "allOf", "oneOf"}:
        return ANYTHING
    if "const" in schema:
        return type_of_value(schema["const"])
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return union(type_of_value(one) for one in schema["enum"])
    if isinstance(schema.get("anyOf"), list):
        return union(type_of_schema(one, deep + 1, is_apart=True) for one in schema["anyOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return union(type_of_schema({**schema, "type": one}, deep + 1, is_apart=is_apart) for one in kind)
    if kind == "array":
        return list_of(type_of_schema(schema.get("items", {}), deep + 1, is_apart=is_apart))
    if kind == "object":
        is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        return Type(
            kinds=frozenset(("map",)), parts=fields_of(schema, deep, is_apart=is_apart), is_closed=is_closed
        )
    return _SIMPLE.get(kind, ANYTHING) if isinstance(kind, str) else ANYTHING


def fields_of(schema: Schema, deep: int = 0, *, is_apart: bool = False) -> Mapping[str, Type]:
    """What each field of an object can be."""
    properties: Any = schema.get("properties", {})
    required = schema.get("required", ())
    found = {str(name): type_of_schema(one, deep + 1, is_apart=is_apart) for name, one in properties.items()}
    return {name: replace(one, is_optional=name not in required) for name, one in found.items()}
