"""What an endpoint is asked for in its own words: forms as JSON Schemas, and names of tools.

Above: the dialects. Below: the generation values. Endpoints take schemas of objects and names without dots:
what is asked for goes into them and comes out of them again, whatever it was.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from samovar.generation import Options

FIELD = "answer"
"""Of the object around an answer that is not an object itself."""
MOST_NAME = 64
_SIGN = re.compile(r"[^A-Za-z0-9_-]")
_CLEAR = re.compile(r"_?[A-Za-z0-9-]+(?:[_.][A-Za-z0-9-]+)*_?")
"""Names whose dots can be two `_` without being taken for another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldForm:
    """The JSON Schema that an answer is asked to have."""

    schema: dict[str, Any]
    is_wrapped: bool
    """The answer is what the object has as `FIELD`."""
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Options) -> HeldForm | None:
        """None if any text will do."""
        if options.choices:
            return cls(
                schema=_around({"enum": list(options.choices)}), is_wrapped=True, choices=options.choices
            )
        if options.schema is None:
            return None
        schema = json.loads(options.schema)
        is_object = isinstance(schema, dict) and schema.get("type") == "object"
        return cls(schema=schema if is_object else _around(schema), is_wrapped=not is_object)

    def text_of(self, answer: str) -> str:
        """The answer: one of the choices, or JSON without blanks between its parts.

        Raises `ValueError` if the endpoint does not hold to the form.
        """
        if answer.strip() in self.choices:
            return answer.strip()
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            raise ValueError("it is not JSON") from None
        if self.is_wrapped:
            if not isinstance(value, dict) or FIELD not in value:
                raise ValueError(f"it is not an object with {FIELD!r}")
            value = value[FIELD]
        if not self.choices:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if value not in self.choices:
            raise ValueError(f"{str(value)[:80]!r} is not one of the choices")
        return str(value)


def _around(schema: Any) -> dict[str, Any]:
    """The schema of an object that has what this one says; definitions stay where references find them."""
    inner = dict(schema) if isinstance(schema, dict) else schema
    lifted = {}
    if isinstance(inner, dict):
        lifted = {key: inner.pop(key) for key in ("$defs", "definitions") if key in inner}
    return {
        "type": "object",
        "properties": {FIELD: inner},
        "required": [FIELD],
        "additionalProperties": False,
        **lifted,
    }


class ToolNames:
    """Names of tools as an endpoint may have them, and back. Mutable: it learns the names it has seen.

    A name has the same form each time, whatever else is offered beside it.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._decoded: dict[str, str] = {}
        for name in names:
            self.encoded(name)

    def encoded(self, name: str) -> str:
        """The name for the endpoint."""
        plain = _SIGN.sub("__", name)
        if not _CLEAR.fullmatch(name) or len(plain) > MOST_NAME:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            plain = f"{plain[: MOST_NAME - 9]}_{digest}"
        self._decoded[plain] = name
        return plain

    def decoded(self, name: str) -> str:
        """The name here; one that nobody has offered stays as it is."""
        return self._decoded.get(name, name)
