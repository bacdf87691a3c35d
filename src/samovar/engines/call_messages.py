"""Conversations with calls, changed for templates that cannot take them as they are.

Above: `llama/calling.py`, `scripted.py`. Below: `calls.py`, `call_json.py`. Pure: messages in, messages out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from samovar.engines.call_json import OWN, OWN_WORDS, RESULT
from samovar.engines.calls import definition_of, json_text
from samovar.generation import Message, ToolDefinition

BETWEEN = "\n\n"
"""Between texts that our own convention puts into one message."""


def one_by_one(messages: Sequence[Message]) -> list[Message]:
    """With one call in each message, for templates that take no more: each has its result behind it."""
    results = {message.call.id: message for message in messages if message.call is not None}
    parted: list[Message] = []
    moved: set[int] = set()
    for message in messages:
        if len(message.calls) < 2:
            if id(message) not in moved:
                parted.append(message)
            continue
        for number, call in enumerate(message.calls):
            content = message.content if number == 0 else ""
            parts = message.parts if number == 0 else ()
            parted.append(replace(message, content=content, parts=parts, calls=(call,)))
            if call.id in results:
                moved.add(id(results[call.id]))
                parted.append(results[call.id])
    return parted


def in_own_words(messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> list[Message]:
    """Tools, calls and results in the messages' texts. Definitions come first, since they never change."""
    told: list[Message] = []
    for message in messages:
        content = message.content
        if message.calls:
            written = "".join(piece.text for piece in OWN.written(message.calls))
            message = Message(role="assistant", content=f"{content}\n{written}" if content else written)
        elif message.call is not None:
            result = json_text({"name": message.call.name, "result": content})
            message = Message(role="user", content=f"{RESULT} {result}")
        is_behind = bool(told) and told[-1].role == "user" and told[-1].content.startswith(RESULT)
        if is_behind and message.role == "user":
            between = "\n" if message.content.startswith(RESULT) else BETWEEN
            message = replace(message, content=told.pop().content + between + message.content)
        told.append(message)
    if not tools:
        return told
    lines = (json_text(definition_of(tool)["function"]) for tool in tools)
    words = OWN_WORDS.format(tools="\n".join(lines))
    if told and told[0].role == "system":
        return [replace(told[0], content=words + BETWEEN + told[0].content), *told[1:]]
    return [Message(role="system", content=words), *told]
