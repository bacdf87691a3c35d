"""Calls of tools, and what tools give back, as a case tells them and as one is written.

Above: `told_values.py`, `case_file.py`, `recorded_values.py`. Below: the values of messages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from samovar.actions.tools import ToolResult
from samovar.generation import ToolCall
from samovar.testing.cases import CALL_KEYS, TOOL_KEYS
from samovar.testing.checked_values import CheckedValues, Step
from samovar.values import plain


def read_calls(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> tuple[ToolCall, ...]:
    """The calls of an answer, in their order: `[{name: files.read, arguments: {path: a.txt}}]`."""
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    calls: list[ToolCall] = []
    for number, item in enumerate(items):
        here = (*at, number) if isinstance(value, list) else at
        values = yaml.map(item, "A call", CALL_KEYS, *here)
        name = yaml.text(values.get("name"), "`name`", *here, "name")
        given = values.get("arguments", {})
        arguments = given if isinstance(given, str) else json.dumps(plain(given), ensure_ascii=False)
        if name is not None:
            calls.append(ToolCall(id=f"call-{number + 1}", name=name, arguments=arguments))
    return tuple(calls)


def read_tool_result(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> ToolResult | None:
    """What one call gave back: a text, or `{failed: why}`, or `{refused: why}`."""
    if not isinstance(value, dict):
        text = yaml.text(value, "What a tool gives back", *at)
        return None if text is None else ToolResult(text=text)
    values = yaml.map(value, "What a tool gives back", TOOL_KEYS, *at)
    key = next((one for one in ("refused", "failed", "text") if one in values), "text")
    text = yaml.text(values.get(key, ""), f"`{key}`", *at, key)
    if text is None:
        return None
    return ToolResult(text=text, is_error=key != "text", is_refused=key == "refused")


def call_values(calls: Sequence[ToolCall]) -> list[object]:
    """As a case has them."""
    return [{"name": call.name, "arguments": _arguments(call.arguments)} for call in calls]


def _arguments(text: str) -> object:
    try:
        read = json.loads(text)
    except ValueError:
        return text
    return read if isinstance(read, dict) else text


def result_values(result: ToolResult) -> object:
    """As a case has it."""
    if result.is_refused:
        return {"refused": result.text}
    return {"failed": result.text} if result.is_error else result.text
