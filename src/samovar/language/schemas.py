"""Reads the schema of an answer: a JSON Schema, or its short form in YAML, `{urgent: boolean, why: text?}`.

Above: the options of prompts, the Python API. Below: `yaml_document.py`. It knows all keywords, so that a
misspelt one is not taken for a remark; which of them can be enforced only the engine knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from samovar.errors import FaultsError, nearest
from samovar.language.yaml_document import read_yaml
from samovar.values import plain

Schema = dict[str, Any]

FORMS = 'a JSON Schema, or its short form, as in "{urgent: boolean, team: billing|support, reason: text?}"'
"""What a schema can be, in words."""
MOST_DEEP = 50
"""Schemas within each other."""

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
SHORT: Mapping[str, Schema] = {
    "text": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "null": {"type": "null"},
}
"""The words of the short form."""
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose value has schemas by name."""
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONES = (
    *("items", "additionalProperties", "additionalItems", "not", "contains", "propertyNames", "if", "then"),
    *("else", "unevaluatedProperties", "unevaluatedItems", "contentSchema"),
)
"""Keywords whose value is a schema."""
_OTHERS = (
    *("type", "enum", "const", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
    *("minContains", "maxContains", "minProperties", "maxProperties", "dependentRequired", "dependencies"),
    *("$ref", "$id", "$schema", "$anchor", "$dynamicRef", "$dynamicAnchor", "$comment", "$vocabulary", "id"),
    *("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly"),
    *("contentEncoding", "contentMediaType", "nullable"),
)
REMARKS = frozenset(("title", "description", "default", "examples", "$comment", "deprecated"))
"""Keywords that say nothing of what a value can be."""
KEYWORDS = frozenset((*_MAPS, *_LISTS, *_ONES, *_OTHERS))


def read_schema(value: object) -> Schema:
    """The JSON Schema that a value stands for. Raises `ValueError` saying what was expected."""
    if isinstance(value, str):
        if not value.lstrip().startswith("{"):
            raise ValueError(FORMS)
        return read_schema_source(value)
    if not isinstance(value, Mapping):
        raise ValueError(FORMS)
    value = plain(value)
    assert isinstance(value, dict)
    schema = value if is_json_schema(value) else _short_map(value, 0)
    _check(schema, 0)
    return schema


def read_short(said: object, name: str) -> Schema:
    """The JSON Schema of what the short form says of one field. Raises `ValueError` as `read_schema` does."""
    schema = _short(plain(said), name, 0)
    _check(schema, 0)
    return schema


def read_schema_source(text: str) -> Schema:
    """The JSON Schema that a text of JSON or YAML stands for. Raises `ValueError` as `read_schema` does."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = read_yaml(text, path=None).values
        except FaultsError as error:
            raise ValueError(f"{FORMS}: {error.faults[0].message}") from None
    return read_schema(value if isinstance(value, Mapping) else None)


def schema_text(schema: Schema) -> str:
    """The schema as JSON, its fields in the order in which they were written."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def is_json_schema(value: Mapping[str, object]) -> bool:
    """Whether a map is a JSON Schema, and not the short form, whose keys are the fields of an answer."""
    if "$schema" in value or "$ref" in value:
        return True
    kind = value.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    says = (
        (bool(kinds) and all(one in _TYPES for one in kinds))
        or any(isinstance(value.get(key), list) for key in ("enum", "anyOf", "oneOf", "allOf"))
        or isinstance(value.get("properties"), Mapping)
        or "const" in value
    )
    if not says or not value:
        return not value
    is_long = kind in ("object", "array", "string") or isinstance(kind, list) or "properties" in value
    return is_long or all(key in KEYWORDS or key.startswith("x-") for key in value)


def _short_map(fields: Mapping[str, object], deep: int) -> Schema:
    properties, required = {}, []
    for name, said in fields.items():
        is_optional = name.endswith("?")
        if isinstance(said, str) and said.endswith("?"):
            is_optional, said = True, said[:-1]
        name = name.removesuffix("?")
        properties[name] = _short(said, name, deep + 1)
        if not is_optional:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _short(said: object, name: str, deep: int) -> Schema:
    """The schema of a field."""
    if deep > MOST_DEEP:
        raise ValueError(f"a schema nested at most {MOST_DEEP} deep")
    if isinstance(said, Mapping):
        return dict(said) if said and is_json_schema(said) else _short_map(said, deep)
    if isinstance(said, list):
        if len(said) != 1:
            raise ValueError(f"one form for all items of the list `{name}`, as in [text]")
        return {"type": "array", "items": _short(said[0], name, deep + 1)}
    if isinstance(said, str) and "|" in said:
        values = [one.strip() for one in said.split("|")]
        if not all(values):
            raise ValueError(f"values separated by | for `{name}`, none of them empty")
        return {"enum": list(dict.fromkeys(values))}
    if isinstance(said, str) and said.strip() in SHORT:
        return dict(SHORT[said.strip()])
    shown = said if isinstance(said, str) else json.dumps(said, default=str)
    words = ", ".join(SHORT)
    raise ValueError(
        f"for `{name}` one of {words}, values separated by |, a [list] or a {{map}}, not {shown[:60]!r}."
        f"{nearest(shown[:60], SHORT)}"
    )


def _check(schema: object, deep: int) -> None:
    """Raises `ValueError` for a keyword that there is not."""
    if deep > MOST_DEEP:
        raise ValueError(f"a schema nested at most {MOST_DEEP} deep")
    if not isinstance(schema, dict):
        return
    for key in schema:
        if key not in KEYWORDS and (not key.startswith("x-") or key == "x-guidance"):
            raise ValueError(
                f"keywords of JSON Schema, but {key[:60]!r} is not one.{nearest(key[:60], KEYWORDS)}"
            )
    for one in _within(schema):
        _check(one, deep + 1)


def _within(schema: Schema) -> Iterator[object]:
    for key in _MAPS:
        inside = schema.get(key)
        yield from inside.values() if isinstance(inside, dict) else ()
    for key in _LISTS:
        inside = schema.get(key)
        yield from inside if isinstance(inside, list) else ()
    yield from (schema[key] for key in _ONES if key in schema)
    if isinstance(schema.get("items"), list):
        yield from schema["items"]
