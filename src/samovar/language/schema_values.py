"""Checks a value against a schema, and explains the first difference in a sentence.

Above: parameters, and what a workflow returns. Below: `schemas.py`, patterns. The form of an answer is kept
by the engine while the answer grows; this is for values that come from elsewhere. A schema with a keyword
that is not looked at here is refused when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from samovar.errors import nearest
from samovar.errors.counting import counted
from samovar.expressions.operators import LEAST, MOST
from samovar.language.schemas import REMARKS, Schema, read_short
from samovar.values import is_finite

_KEPT = frozenset(
    (
        *("type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items"),
        *("minItems", "maxItems", "minLength", "maxLength", "pattern", "minimum", "maximum"),
        *("exclusiveMinimum", "exclusiveMaximum"),
    )
)
_KINDS: Mapping[str, str] = {
    "object": "a map",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def read_value_schema(said: object, name: str) -> Schema:
    """The schema of values, in the short form or as JSON Schema. `name`: of what it is the schema.

    Raises `ValueError` saying what was expected.
    """
    schema = read_short(said, name)
    for one in _all(schema):
        for key in one:
            if key not in _KEPT | REMARKS:
                raise ValueError(f"for `{name}` a schema without `{key}`, which is not checked for values")
        if "pattern" in one:
            _pattern(str(one["pattern"]))
    return schema


def _all(schema: Any) -> Iterator[Schema]:
    """A schema and all within it."""
    if isinstance(schema, dict):
        yield schema
        inside = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
        for one in (*inside, schema.get("items"), schema.get("additionalProperties")):
            yield from _all(one)


def mismatch(value: object, schema: Schema, name: str) -> str | None:
    """The first thing about a value that is not as the schema says, as a sentence; None if all is.

    `name`: of the value, as in `rows[2].line`.
    """
    if "anyOf" in schema:
        found = [mismatch(value, one, name) for one in schema["anyOf"]]
        if all(found):
            return found[0]
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"`{name}` must be {' or '.join(_KINDS[kind] for kind in kinds)}, not {_shown(value)}."
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is not None and not any(_same(value, one) for one in choices):
        texts = [one for one in choices if isinstance(one, str)]
        offer = nearest(value[:100], texts) if isinstance(value, str) else ""
        return f"`{name}` must be one of {', '.join(map(_shown, choices[:20]))}, not {_shown(value)}.{offer}"
    if isinstance(value, str):
        return _text_mismatch(value, schema, name)
    if isinstance(value, Mapping):
        return _map_mismatch(value, schema, name)
    if isinstance(value, list | tuple):
        return _list_mismatch(value, schema, name)
    return _number_mismatch(value, schema, name) if isinstance(value, int | float) else None


def _is(value: object, kind: str) -> bool:
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int if kind == "integer" else int | float):
            return False
        return LEAST <= value <= MOST if isinstance(value, int) else is_finite(value)
    if kind == "null":
        return value is None
    types: Mapping[str, Any] = {"object": Mapping, "array": (list, tuple), "string": str, "boolean": bool}
    return isinstance(value, types[kind])


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else f'"{value[:39]}…"'
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value) if isinstance(value, int | float) else f"a value of the type {type(value).__name__}"


def _text_mismatch(value: str, schema: Schema, name: str) -> str | None:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least is not None and len(value) < least:
        return f"`{name}` must have at least {counted(least, 'character')}."
    if most is not None and len(value) > most:
        return f"`{name}` must have at most {counted(most, 'character')}."
    if "pattern" in schema and not _is_in(str(schema["pattern"]), value):
        return f"`{name}` must match {schema['pattern']}."
    return None


def _is_in(pattern: str, text: str) -> bool:
    from samovar.expressions.meter import Meter, SpentError

    try:
        return bool(_pattern(pattern).is_in(text, Meter()))
    except SpentError:
        return False


def _pattern(text: str) -> Any:
    from samovar.expressions.patterns import Pattern, PatternError  # few have one

    try:
        return Pattern.parse(text)
    except PatternError as error:
        raise ValueError(f"a regular expression: {error}") from error


def _number_mismatch(value: float, schema: Schema, name: str) -> str | None:
    if isinstance(value, bool):
        return None
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if isinstance(above, bool):  # as draft 4 has it: of `minimum`
        above, least = (least, None) if above else (None, least)
    if isinstance(below, bool):
        below, most = (most, None) if below else (None, most)
    if least is not None and value < least:
        return f"`{name}` must be at least {least}."
    if most is not None and value > most:
        return f"`{name}` must be at most {most}."
    if above is not None and value <= above:
        return f"`{name}` must be above {above}."
    if below is not None and value >= below:
        return f"`{name}` must be below {below}."
    return None


def _list_mismatch(value: list[object] | tuple[object, ...], schema: Schema, name: str) -> str | None:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        return f"`{name}` must have at least {counted(least, 'item')}."
    if most is not None and len(value) > most:
        return f"`{name}` must have at most {counted(most, 'item')}."
    items = schema.get("items")
    if not isinstance(items, dict):
        return None
    found = (mismatch(one, items, f"{name}[{index}]") for index, one in enumerate(value))
    return next((one for one in found if one), None)


def _map_mismatch(value: Mapping[str, object], schema: Schema, name: str) -> str | None:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            return f"`{name}` lacks `{key}`."
    for key, one in value.items():
        form = fields.get(key, others)
        if form is False:
            return f"`{name}` has no `{str(key)[:60]}`.{nearest(str(key)[:60], fields)}"
        if isinstance(form, dict) and (found := mismatch(one, form, f"{name}.{str(key)[:60]}")):
            return found
    return None
