"""A parameter's type as a JSON Schema, to check returned values.

Above: `returning.py`. Below: `parameters.py`. Nothing is converted here, as a text that is given is.
"""

from __future__ import annotations

from samovar.language.parameters import Parameter
from samovar.language.schemas import Schema


def schema_of(parameter: Parameter) -> Schema:
    """The schema of its values."""
    if parameter.type == "multi_choice":
        return {"type": "array", "items": {"enum": list(parameter.choices)}}
    if parameter.choices:
        return {"enum": list(parameter.choices)}
    if parameter.type in ("list", "map"):
        return parameter.bounded_form
    if parameter.type == "boolean":
        return {"type": "boolean"}
    if parameter.type == "number":
        kind = "integer" if parameter.whole else "number"
        return {"type": kind, **_given({"minimum": parameter.min, "maximum": parameter.max})}
    pattern = None if parameter.pattern is None else f"^(?:{parameter.pattern})$"
    bounds = {"minLength": parameter.min_length, "maxLength": parameter.max_length, "pattern": pattern}
    return {"type": "string", **_given(bounds)}


def _given(schema: Schema) -> Schema:
    """The keywords that have a value."""
    return {key: value for key, value in schema.items() if value is not None}
