"""Calls written as names with values: LFM2's Python, the XML of Qwen's coders, and what Gemma writes.

Above: `call_syntaxes.py`, which finds them in templates. Below: `calls.py`, `call_schemas.py`. Each value is
held to the schema of its argument; arguments come in the order of the schema, and those that need not be
there may be left out.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samovar.engines.call_schemas import literal, members, text_schema, text_terminal
from samovar.engines.calls import (
    MOST_CALLS,
    Called,
    GrammarRules,
    Tool,
    UnenforceableError,
    Written,
    arguments_of,
    json_text,
    of_tool,
    quoted,
    repeated,
    sequence,
)
from samovar.generation import ToolCall
from samovar.values.certainty import resolved

_DECODER = json.JSONDecoder()
_WORD = {"True": True, "False": False, "None": None}


def separated(rules: GrammarRules, parts: Sequence[tuple[str, bool]], between: str) -> str:
    """An expression of parts in their order, of which some may be left out. `parts`: (it, is required)."""
    first, later = '""', '""'
    for part, is_required in reversed(parts):
        goes_on = sequence(quoted(between) if between else "", part, later)
        begins = sequence(part, later)
        later = rules.rule(goes_on if is_required else f"{goes_on} | {later}")
        first = rules.rule(begins if is_required else f"{begins} | {first}")
    return first


def each_call(
    rules: GrammarRules, tools: Sequence[Tool], arguments: Callable[[Tool], str], between: str, ends: str
) -> str:
    """An expression of one call of any tool, from its name on. Raises `EngineError`, which names the tool."""
    calls = []
    for tool in tools:
        try:
            inner = arguments(tool)
        except UnenforceableError as error:
            raise of_tool(tool, error) from None
        calls.append(sequence(quoted(tool.name), rules.text(between), inner, rules.text(ends)))
    return rules.rule(" | ".join(calls))


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCalls:
    """See `calls.CallSyntax`: `<|tool_call_start|>[f(x=1, y="a"), g()]<|tool_call_end|>`."""

    name: str = "python"
    trigger: str
    closes: str
    at_head: bool = False
    most: int = MOST_CALLS

    @property
    def marks(self) -> tuple[str, ...]:
        return (self.trigger, self.closes)

    def rest(self, rules: GrammarRules, tools: Sequence[Tool]) -> str:
        def arguments(tool: Tool) -> str:
            parts = [
                (sequence(quoted(f"{name}="), self._value(rules, schema)), is_required)
                for name, (schema, is_required) in members(tool).items()
            ]
            return separated(rules, parts, ", ")

        call = each_call(rules, tools, arguments, "(", ")")
        calls = repeated(call, sequence(quoted(", "), call), self.most)
        return sequence(quoted("["), calls, quoted("]"), rules.text(self.closes))

    def _value(self, rules: GrammarRules, schema: Mapping[str, Any]) -> str:
        kind = resolved(schema, schema)
        kind = (
            kind.get("type") if isinstance(kind, dict) and kind.keys().isdisjoint(("enum", "const")) else None
        )
        if kind == "boolean":
            return '("True" | "False")'
        return '"None"' if kind == "null" else rules.json(schema, (", ", ": "))

    def read(self, text: str, tools: Sequence[Tool]) -> list[Called]:
        called, place = [], len(self.trigger)
        head = re.compile(r"[\s\[,]*([\w.-]+)\(\s*")
        while found := head.match(text, place):
            place, arguments = found.end(), {}
            while key := re.compile(r"\s*([\w.$ -]+?)\s*=\s*").match(text, place):
                arguments[key[1]], place = _python_value(text, key.end())
                place += len(re.match(r"\s*,?\s*", text[place : place + 8])[0])  # type: ignore[index]
            if text[place : place + 1] != ")":
                raise ValueError("a call does not end")
            place += 1
            called.append(Called(found[1], arguments))
        if not called:
            raise ValueError("there is no call")
        return called

    def written(self, calls: Sequence[ToolCall]) -> list[Written]:
        pieces = [Written(self.trigger, is_mark=True), Written("[")]
        for number, call in enumerate(calls):
            given = arguments_of(call)
            given = given if isinstance(given, dict) else {}
            shown = ", ".join(f"{key}={_python_text(value)}" for key, value in given.items())
            pieces.append(Written(f"{', ' if number else ''}{call.name}({shown})"))
        return [*pieces, Written("]"), Written(self.closes, is_mark=True)]


def _python_text(value: Any) -> str:
    return str(value) if value is None or isinstance(value, bool) else json_text(value)


def _python_value(text: str, place: int) -> tuple[Any, int]:
    """The value at a place, as JSON or as Python writes it, and where it ends."""
    if word := re.compile(r"(True|False|None)\b").match(text, place):
        return _WORD[word[1]], word.end()
    try:
        value, end = _DECODER.raw_decode(text, place)
        return value, end
    except ValueError:
        pass
    depth, end = 0, place
    string = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
    while end < len(text) and (depth or text[end] not in ",)"):
        if found := string.match(text, end):
            end = found.end()
            continue
        depth += (text[end] in "[{(") - (text[end] in "]})")
        end += 1
    return ast.literal_eval(text[place:end].strip()), end


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlCalls:
    """See `calls.CallSyntax`: `<function=f>` with a `<parameter=x>` for each argument, in plain text."""

    name: str = "xml"
    trigger: str
    begins: str
    """From behind the trigger to the first name."""
    between: str
    """From a name to the first argument."""
    value: str
    """From an argument's name to its value."""
    value_ends: str
    """From a value to the next argument, or to `ends`."""
    ends: str
    following: str
    """From the end of a call to the name of the next."""
    closes: str
    at_head: bool = False
    most: int = MOST_CALLS

    @property
    def marks(self) -> tuple[str, ...]:
        return (self.trigger, self.begins, self.ends, self.following, self.closes)

    @property
    def _border(self) -> str:
        """What no text may have: all up to the end of the closing tag."""
        return self.value_ends[: self.value_ends.rindex(">") + 1]

    def rest(self, rules: GrammarRules, tools: Sequence[Tool]) -> str:
        def arguments(tool: Tool) -> str:
            parts = []
            for name, (schema, is_required) in members(tool).items():
                text = text_schema(schema)
                if text is None:
                    value = sequence(rules.json(schema, (", ", ": ")), quoted(self.value_ends))
                else:
                    ended = f"{text_terminal(text, self._border)} {literal(self.value_ends)}"
                    value = rules.terminal(ended)
                parts.append((sequence(quoted(f"<parameter={name}{self.value}"), value), is_required))
            return separated(rules, parts, "")

        call = each_call(rules, tools, arguments, self.between, self.ends)
        more = sequence(rules.text(self.following), call)
        return sequence(rules.text(self.begins), repeated(call, more, self.most), rules.text(self.closes))

    def read(self, text: str, tools: Sequence[Tool]) -> list[Called]:
        schemas = {tool.name: tool for tool in tools}
        called, place = [], 0
        head = re.compile(r"<function=\s*([\w.-]+)\s*>\s*")
        key = re.compile(r"\s*<parameter=\s*([\w.$ -]+?)\s*>")
        while found := head.search(text, place):
            place, arguments = found.end(), {}
            of = members(schemas[found[1]]) if found[1] in schemas else {}
            while name := key.match(text, place):
                raw, place = self._raw(text, name.end())
                schema = of[name[1]][0] if name[1] in of else None
                arguments[name[1]] = _xml_value(raw, schema)
            called.append(Called(found[1], arguments))
        if not called:
            raise ValueError("there is no call")
        return called

    def _raw(self, text: str, start: int) -> tuple[str, int]:
        """The text of a value, and where what follows it begins."""
        lead = self.value[1:]
        start += len(lead) if text.startswith(lead, start) else 0
        for border in (self._border, self._border.strip()):
            end = text.find(border, start)
            if end >= 0:
                return text[start:end], end + len(border)
        raise ValueError("an argument does not end")


def _xml_value(raw: str, schema: Mapping[str, Any] | None) -> Any:
    if schema is not None and text_schema(schema) is not None:
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw
