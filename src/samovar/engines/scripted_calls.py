"""Calls of tools for the engine that says what it is told, in our own convention.

Above: `scripted.py`, and scripts, which write calls by `call_text`. Below: `call_json.py`, `call_reader.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from samovar.engines.call_json import OWN
from samovar.engines.call_messages import in_own_words
from samovar.engines.call_reader import CallReader
from samovar.engines.calls import callable_of, json_text
from samovar.engines.least import least_json
from samovar.generation import Message, Options, ToolCall


def call_text(name: str, /, **arguments: Any) -> str:
    """What a script says to have a tool called; several of them are lines."""
    call = ToolCall(id="", name=name, arguments=json_text(arguments))
    return "".join(piece.text for piece in OWN.written([call]))


def reader_of(messages: Sequence[Message], options: Options) -> CallReader | None:
    """What parts an answer from its calls; None if it may have none. Raises `EngineError` for wrong tools."""
    tools = callable_of(options)
    if not options.may_call:
        return None
    before = sum(len(message.calls) for message in messages)
    return CallReader(OWN, tools, before=before, at_head=options.must_call or bool(options.held_by))


def with_call(text: str, options: Options) -> str:
    """What is said instead of a text without a call, if the answer must call something."""
    if not options.must_call or OWN.trigger in text:
        return text
    tool = callable_of(options)[0]
    return call_text(tool.name, **json.loads(least_json(json.dumps(tool.schema))))


def prompt_text(messages: Sequence[Message], options: Options) -> str:
    """All that is asked, the definitions of tools first."""
    told = in_own_words(messages, options.tools)
    return " ".join(f"{message.role}: {message.content}" for message in told)
