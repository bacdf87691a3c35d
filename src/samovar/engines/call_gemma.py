"""Calls as Gemma writes them: `<|tool_call>call:f{x:1,word:<|"|>a<|"|>}<tool_call|>`, texts between marks.

Above: `call_syntaxes.py`, which finds it in templates. Below: `calls.py`, `call_schemas.py`,
`call_keywords.py`. FunctionGemma has the same with other marks. Whole schemas are held to here, since no part
of such a call is JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samovar.engines.call_keywords import each_call, separated
from samovar.engines.call_schemas import (
    SAYS_NOTHING,
    literal,
    members_of,
    refuse_others,
    text_schema,
    text_terminal,
    with_definitions,
)
from samovar.engines.calls import (
    MOST_CALLS,
    Called,
    GrammarRules,
    Tool,
    UnenforceableError,
    quoted,
    repeated,
    sequence,
)
from samovar.values.certainty import resolved

_NUMBER = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
_LIST = SAYS_NOTHING | {"type", "items", "minItems", "maxItems"}
_KEY = "/[A-Za-z_][A-Za-z0-9_]{0,40}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmaCalls:
    """See `calls.CallSyntax`."""

    name: str = "gemma"
    trigger: str
    quote: str
    """What is around a text."""
    following: str
    """From the end of a call's arguments to the beginning of the next call."""
    closes: str
    at_head: bool = False
    most: int = MOST_CALLS

    @property
    def marks(self) -> tuple[str, ...]:
        return (self.trigger, self.quote, self.following, self.closes)

    def rest(self, rules: GrammarRules, tools: Sequence[Tool]) -> str:
        def arguments(tool: Tool) -> str:
            return _Values(self.quote, rules, tool.schema).members(tool.schema)

        call = each_call(rules, tools, arguments, "{", "}")
        more = sequence(rules.text(self.following), quoted("call:"), call)
        return sequence(quoted("call:"), repeated(call, more, self.most), rules.text(self.closes))

    def read(self, text: str, tools: Sequence[Tool]) -> list[Called]:
        called, place = [], 0
        head = re.compile(r"call:\s*([\w.-]+)\s*(?=\{)")
        while found := head.search(text, place):
            value, place = self._value(text, found.end())
            called.append(Called(found[1], value))
        if not called:
            raise ValueError("there is no call")
        return called

    def _value(self, text: str, place: int) -> tuple[Any, int]:
        """The value at a place, and where it ends."""
        if text.startswith(self.quote, place):
            start = place + len(self.quote)
            end = text.index(self.quote, start)
            return text[start:end], end + len(self.quote)
        if text[place] in "{[":
            return self._several(text, place)
        found = re.compile(r"[^,\]}]*").match(text, place)
        assert found is not None
        try:
            return json.loads(found[0].strip()), found.end()
        except ValueError:
            return found[0].strip(), found.end()

    def _several(self, text: str, place: int) -> tuple[Any, int]:
        is_object = text[place] == "{"
        entries: dict[str, Any] = {}
        items: list[Any] = []
        place += 1
        while text[place] not in "}]":
            if is_object and text.startswith(self.quote, place):
                key, place = self._value(text, place)
                place += 1
            elif is_object:
                colon = text.index(":", place)
                key, place = text[place:colon].strip(), colon + 1
            value, place = self._value(text, place)
            if is_object:
                entries[key] = value
            items.append(value)
            while text[place] in ", \n":
                place += 1
        return (entries if is_object else items), place + 1


class _Values:
    """The rules of one tool's values. Mutable: what it has begun."""

    def __init__(self, quote: str, rules: GrammarRules, whole: Mapping[str, Any]) -> None:
        self._quote, self._rules, self._whole = quote, rules, whole
        self._references: dict[str, str] = {}

    def members(self, schema: Mapping[str, Any]) -> str:
        """What is between the braces of an object. Its members are in the order of their names, as templates
        of the family write them."""
        parts = [
            (sequence(quoted(f"{name}:"), self.value(one)), is_required)
            for name, (one, is_required) in sorted(members_of(schema, self._whole).items())
        ]
        return separated(self._rules, parts, ",")

    def value(self, schema: Mapping[str, Any]) -> str:
        """An expression of the values of a schema. Raises `UnenforceableError`."""
        reference = schema.get("$ref")
        if isinstance(reference, str) and not schema.keys() - SAYS_NOTHING - {"$ref"}:
            if reference not in self._references:
                name = self._references[reference] = self._rules.begin("r")
                target = resolved(with_definitions(schema, self._whole), self._whole)
                if not isinstance(target, dict) or "$ref" in target:
                    raise UnenforceableError(f"`$ref` {reference!r} leads nowhere")
                self._rules.end(name, self.value(target))
            return self._references[reference]
        if (text := text_schema(with_definitions(schema, self._whole))) is not None:
            return self._text(text)
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            return "(" + " | ".join(map(self._written, values)) + ")"
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._one_of(schema, key)
        return self._of_kind(schema)

    def _text(self, text: Mapping[str, Any]) -> str:
        inner = text_terminal(text, self._quote)
        if self._rules.is_tokens(self._quote):
            quote = self._rules.text(self._quote)
            return sequence(
                quote,
                f"({self._rules.terminal(inner)})?"
                if self._may_be_empty(text)
                else self._rules.terminal(inner),
                quote,
            )
        return sequence(quoted(self._quote), self._rules.terminal(f"{inner} {literal(self._quote)}"))

    def _may_be_empty(self, text: Mapping[str, Any]) -> bool:
        if "enum" in text:
            return "" in text["enum"]
        return (
            not text.get("minLength")
            and "format" not in text
            and ("pattern" not in text or re.search(text["pattern"], "") is not None)
        )

    def _one_of(self, schema: Mapping[str, Any], key: str) -> str:
        refuse_others(schema, SAYS_NOTHING | {key})
        kinds = [str(one.get("type")) for one in schema[key]]
        if key == "oneOf" and (len(set(kinds)) < len(kinds) or {"integer", "number"} <= set(kinds)):
            raise UnenforceableError("the alternatives of `oneOf` overlap: use `anyOf`")
        return "(" + " | ".join(map(self.value, schema[key])) + ")"

    def _of_kind(self, schema: Mapping[str, Any]) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return "(" + " | ".join(self.value({**schema, "type": one}) for one in kind) + ")"
        if kind is None and "properties" in schema:
            kind = "object"
        if kind == "object" and "properties" in schema:
            return sequence('"{"', self.members(schema), '"}"')
        if kind == "array" and ("items" in schema or "minItems" in schema or "maxItems" in schema):
            return self._list(schema)
        if kind in ("integer", "number", "boolean", "null"):
            refuse_others(schema, SAYS_NOTHING | _NUMBER | {"type"})
            return self._rules.json(schema, (",", ":"))
        refuse_others(schema, SAYS_NOTHING | {"type", "additionalProperties"})
        if isinstance(schema.get("additionalProperties"), dict):
            raise UnenforceableError("`additionalProperties` cannot be enforced in the form of its calls")
        return self._any(kind)

    def _list(self, schema: Mapping[str, Any]) -> str:
        refuse_others(schema, _LIST)
        items = schema.get("items", {})
        item = self._rules.rule(self.value(items)) if isinstance(items, dict) else self._any(None)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[]"'
        end = "" if most is None else str(most - 1)
        inner = f'{item} ("," {item}){{{max(0, least - 1)},{end}}}'
        return sequence('"["', inner if least else f"({inner})?", '"]"')

    def _any(self, kind: Any) -> str:
        """Any value of a kind, or at all."""
        text = self._text({"type": "string"})
        name = self._rules.rule(text)
        for _ in range(2):
            value = f"{self._rules.rule(text)} | {self._scalar()} | {name}"
            value = self._rules.rule(value)
            entries = f'"{{" (T_KEY ":" {value} ("," T_KEY ":" {value})*)? "}}"'
            entries = entries.replace("T_KEY", self._rules.terminal(_KEY))
            items = f'"[" ({value} ("," {value})*)? "]"'
            name = self._rules.rule(f"{entries} | {items}")
        if kind == "object":
            return self._rules.rule(entries)
        return self._rules.rule(items) if kind == "array" else value

    def _scalar(self) -> str:
        return self._rules.json({"type": ["number", "boolean", "null"]}, (",", ":"))

    def _written(self, value: Any) -> str:
        if isinstance(value, str):
            return self._text({"enum": [value]})
        if isinstance(value, list | dict):
            raise UnenforceableError(
                "a list or an object in `enum` cannot be enforced in the form of its calls"
            )
        return quoted(json.dumps(value))
