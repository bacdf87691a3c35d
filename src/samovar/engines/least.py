"""The smallest JSON that matches a schema: the scripted engine's answer if its script has none.

Above: `scripted.py`. Below: `certainty.py`, for references. It looks at kinds, values, counts
and least numbers, and not at patterns or formats.
"""

from __future__ import annotations

import json
import math
from typing import Any

from samovar.errors import UnmetError
from samovar.values.certainty import resolved

MOST_DEEP = 20


def least_json(schema: str) -> str:
    """JSON of the schema, without white space between its parts. Raises `UnmetError` for a wrong schema."""
    try:
        whole = json.loads(schema)
        return json.dumps(_least(whole, whole, 0), ensure_ascii=False, separators=(",", ":"))
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise UnmetError(f"The schema cannot be enforced: {error!r}.") from error


def _least(schema: Any, whole: Any, deep: int) -> Any:
    schema = resolved(schema, whole)
    if not isinstance(schema, dict) or deep > MOST_DEEP:
        return None
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return schema[key][0] if key == "enum" else _least(schema[key][0], whole, deep + 1)
    kind = schema.get("type", "object" if "properties" in schema else "null")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _least(properties.get(name), whole, deep + 1) for name in schema.get("required", ())}
    if kind == "array":
        first = schema.get("prefixItems", [])
        rest = [schema.get("items")] * max(0, schema.get("minItems", 0) - len(first))
        return [_least(one, whole, deep + 1) for one in [*first, *rest]]
    if kind in ("integer", "number"):
        return _least_number(schema)
    return {"string": "x" * schema.get("minLength", 0), "boolean": False}.get(kind)


def _least_number(schema: dict[str, Any]) -> int:
    if "minimum" in schema:
        return math.ceil(float(schema["minimum"]))
    if "exclusiveMinimum" in schema:
        return math.floor(float(schema["exclusiveMinimum"])) + 1
    most = float(schema.get("maximum", schema.get("exclusiveMaximum", 1) - 1))
    return min(0, math.floor(most))
