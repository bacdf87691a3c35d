"""Shows a schema to the model that must answer with it: a short form at the end of the prompt.

Above: prompts, their previews, the Python API. Below: `schemas.py`. A model does not see what its tokens are
constrained to; without this it would fill fields without knowing which there are.
"""

from __future__ import annotations

import json
from dataclasses import replace

from samovar.errors.counting import counted
from samovar.generation import Message, Options
from samovar.language.schemas import Schema, schema_text

ASKS = "Answer with JSON of this form: "
_WORDS = {"string": "text", "null": "null"}
_BOUNDS = {
    "minLength": "at least {}",
    "maxLength": "at most {}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "pattern": "matching {}",
    "format": "a {}",
}
_UNITS = {"minLength": "character", "maxLength": "character", "minItems": "item", "maxItems": "item"}
"""What these bounds count."""
_PLAIN = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"),
        *("description", "title", "default", "examples", "$schema", "$comment", *_BOUNDS),
    )
)
"""Keywords that the short form can say."""


def shown_schema(schema: Schema) -> str:
    """The form in words that a model knows from JSON; the schema itself if these cannot say it."""
    short = _shown(schema)
    return schema_text(schema) if short is None else short


def with_schema(text: str, options: Options) -> str:
    """The text of a prompt, with the schema that its answer is constrained to at its end."""
    if options.schema is None or not options.show_schema:
        return text
    return f"{text}\n\n{ASKS}{shown_schema(json.loads(options.schema))}"


def last_with_schema(messages: list[Message], options: Options) -> list[Message]:
    """Messages to a model, with the schema at the end of the last of the user's."""
    for index in reversed(range(len(messages))):
        message = messages[index]
        if message.role == "user" and not message.parts:
            shown = replace(message, content=with_schema(message.content, options))
            return [*messages[:index], shown, *messages[index + 1 :]]
    return messages


def _shown(schema: object) -> str | None:
    if not isinstance(schema, dict) or not schema.keys() <= _PLAIN:
        return None
    if "const" in schema:
        found: str | None = json.dumps(schema["const"], ensure_ascii=False)
    elif "enum" in schema:
        found = " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    elif "anyOf" in schema:
        found = _joined([_shown(one) for one in schema["anyOf"]])
    elif isinstance(schema.get("type"), list):
        found = _joined([_shown({**schema, "type": one}) for one in schema["type"]])
    elif schema.get("type") == "object":
        found = _object(schema)
    elif schema.get("type") == "array":
        item = _shown(schema.get("items", {}))
        found = None if item is None else f"[{item}, …]"
    elif "type" in schema:
        found = _WORDS.get(schema["type"], schema["type"])
    else:
        return None
    if found is None:
        return None
    notes = [words.format(_amount(key, schema[key])) for key, words in _BOUNDS.items() if key in schema]
    if isinstance(schema.get("description"), str):
        notes.append(schema["description"])
    return f"{found} ({'; '.join(notes)})" if notes else found


def _joined(parts: list[str | None]) -> str | None:
    return None if None in parts else " | ".join(filter(None, parts))


def _object(schema: Schema) -> str | None:
    if "properties" not in schema or schema.get("additionalProperties") not in (False, None):
        return None
    fields = []
    for name, one in schema["properties"].items():
        shown = _shown(one)
        if shown is None:
            return None
        may = "" if name in schema.get("required", ()) else " (may be left out)"
        fields.append(f"{json.dumps(name, ensure_ascii=False)}: {shown}{may}")
    return "{" + ", ".join(fields) + "}"


def _amount(key: str, bound: object) -> object:
    return counted(bound, _UNITS[key]) if key in _UNITS and isinstance(bound, int) else bound
