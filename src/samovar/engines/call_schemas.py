"""What of a tool's schema is held to where arguments are not JSON: each by itself, texts as they are.

Above: `call_keywords.py`. Below: `calls.py`. A schema is never loosened: what cannot be enforced is an error
that names the keyword. It may be tightened: of a text or null it takes the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from samovar.engines.calls import Tool, UnenforceableError, escaped, quoted, without
from samovar.values.certainty import resolved

SAYS_NOTHING = frozenset(
    (
        *("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"),
        *("readOnly", "writeOnly", "$defs", "definitions", "contentEncoding", "contentMediaType"),
        *("nullable", "x-guidance"),
    )
)
"""Keywords that refuse no value."""
_OF_OBJECT = SAYS_NOTHING | {"type", "properties", "required", "additionalProperties"}
_OF_TEXT = SAYS_NOTHING | {"type", "minLength", "maxLength", "pattern", "format", "enum", "const"}
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_FORMATS = {
    "date": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])",
    "time": r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": rf"{_BYTE}(\.{_BYTE}){{3}}",
    "email": r"[A-Za-z0-9._%+-]{1,40}@[A-Za-z0-9-]{1,30}(\.[A-Za-z0-9-]{1,20}){1,3}",
    "uri": r"[a-z][a-z0-9+.-]{1,10}:[A-Za-z0-9._~:\/?#\[\]@!$&'()*+,;=%-]{1,200}",
}
_FORMATS["date-time"] = f"{_FORMATS['date']}T{_FORMATS['time']}"
_FORMATS["url"] = _FORMATS["uri"]
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]|\\.")


def members(tool: Tool) -> dict[str, tuple[Mapping[str, Any], bool]]:
    """By name: the schema of an argument, and whether it must be there. Raises `UnenforceableError`."""
    return members_of(tool.schema, tool.schema)


def members_of(
    schema: Mapping[str, Any], whole: Mapping[str, Any]
) -> dict[str, tuple[Mapping[str, Any], bool]]:
    """As `members`, for an object within `whole`."""
    refuse_others(schema, _OF_OBJECT)
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    missing = [name for name in required if name not in properties]
    if missing:
        raise UnenforceableError(f"`required` names {missing[0]!r}, which is not among its properties")
    odd = next((name for name in properties if not re.fullmatch(r"[\w.$ -]+", name)), None)
    if odd is not None:
        raise UnenforceableError(f"the name {odd!r} has characters that its calls cannot have in a name")
    found = {}
    for name, one in properties.items():
        if one is False:
            continue
        one = {} if one is True else one
        found[name] = (with_definitions(one, whole), name in required)
    return found


def with_definitions(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a schema by itself, with what its references lead to."""
    return {**{key: whole[key] for key in ("$defs", "definitions") if key in whole}, **schema}


def refuse_others(schema: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in schema:
        if key not in known:
            raise UnenforceableError(f"`{key}` cannot be enforced in the form in which it writes calls")


def text_schema(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a text, if a text is among what a schema allows; else None."""
    one = resolved(schema, schema)
    if not isinstance(one, dict):
        return None
    kind, values = one.get("type"), one.get("enum", [one["const"]] if "const" in one else None)
    if values is not None:
        texts = [value for value in values if isinstance(value, str)]
        return {"enum": texts} if texts and kind in (None, "string") else None
    if kind == "string" or (isinstance(kind, list) and "string" in kind):
        return {**one, "type": "string"}
    for key in ("anyOf", "oneOf"):
        if key in one and not one.keys() - SAYS_NOTHING - {key}:
            branches = [text_schema(with_definitions(branch, schema)) for branch in one[key]]
            texts_of = [branch for branch in branches if branch is not None]
            if texts_of and (key == "anyOf" or len(texts_of) == 1):
                return texts_of[0]
    return None


def text_terminal(schema: Mapping[str, Any], end: str) -> str:
    """An expression of Lark for a text as it is, in which its end's text is not.

    Raises `UnenforceableError` for what it cannot be held to.
    """
    refuse_others(schema, _OF_TEXT)
    if "enum" in schema:
        texts = [text for text in schema["enum"] if end not in text]
        if len(texts) < len(schema["enum"]):
            raise UnenforceableError("a value of `enum` has a text that ends a value there")
        return "(" + " | ".join(map(quoted, texts)) + ")"
    parts = [without(end)]
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if least or most is not None:
        parts.append(f"/(?s:.{{{least},{'' if most is None else most}}})/")
    if "pattern" in schema:
        parts.append(f"/{_whole(schema['pattern'])}/")
    if "format" in schema:
        if schema["format"] not in _FORMATS:
            raise UnenforceableError(
                f"the format `{schema['format']}` cannot be enforced in the form in which it writes calls"
            )
        parts.append(f"/{_FORMATS[schema['format']]}/")
    return "(" + " & ".join(parts) + ")"


def _whole(pattern: str) -> str:
    """An expression for whole texts in which a pattern is found. Raises `UnenforceableError`."""
    inner = pattern
    begins, ends = inner.startswith("^"), inner.endswith("$") and not inner.endswith("\\$")
    inner = inner[1:] if begins else inner
    inner = inner[:-1] if ends else inner
    plain = _CLASS.sub("", inner)
    while (shorter := re.sub(r"\([^()]*\)", "", plain)) != plain:
        plain = shorter
    if re.search(r"[\^$]", _CLASS.sub("", inner)) or ((begins or ends) and "|" in plain):
        raise UnenforceableError(
            "the anchors in its `pattern` cannot be enforced in the form in which it writes calls: put `^` "
            "only at the beginning, and `$` only at the end"
        )
    around = "(?s:.*)"
    inner = re.sub(r"(?<!\\)/", r"\\/", inner).replace("\n", r"\n")
    return f"{'' if begins else around}({inner}){'' if ends else around}"


def literal(text: str) -> str:
    """A text as an expression that is part of a terminal."""
    return f"/{escaped(text)}/"
