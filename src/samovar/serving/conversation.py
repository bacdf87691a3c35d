"""A conversation's messages: the earlier and the new ones, and which to drop if it is too long.

Above: `session.py`. Below: the message. Pure: tuples in, tuples out. A tuple is never copied to be kept, so
a session and its forks share what they have in common.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from samovar.generation import Message

MARKUP_TOKENS = 16
"""A chat template puts at most this many tokens around a message; Llama 3 needs 5."""


def say(before: tuple[Message, ...], messages: Sequence[Message]) -> tuple[Message, ...]:
    """`before` and then `messages`. The system message comes first; a new one replaces the old."""
    if any(message.role == "system" for message in messages):
        before = tuple(message for message in before if message.role != "system")
    both = (*before, *messages)
    system = tuple(message for message in both if message.role == "system")
    return system + tuple(message for message in both if message.role != "system")


def without_oldest(messages: tuple[Message, ...], excess_tokens: int) -> tuple[Message, ...] | None:
    """Without its oldest exchanges: the least of them that can be worth `excess_tokens`, at least one.

    An exchange is a user message and what follows it: answers, and calls of tools with their results, which
    are never parted. The system message and the newest user message, with what follows it, stay; None when
    nothing but them is left. A token spells at least one
    byte, so that too much is never taken; ask again when it was too little.
    """
    first = sum(message.role == "system" for message in messages)
    borders = [index for index in range(first, len(messages)) if messages[index].role == "user"]
    newest = borders[-1] if borders else len(messages) - 1
    if newest <= first:
        return None
    worth_tokens = 0
    for index in range(first, newest):
        worth_tokens += _most_tokens(messages[index])
        if worth_tokens >= excess_tokens and (index + 1 in borders or index + 1 == newest):
            return messages[:first] + messages[index + 1 :]
    return messages[:first] + messages[newest:]


def _most_tokens(message: Message) -> int:
    """A message is not more tokens than that."""
    said = message.content + message.reasoning
    if message.call is not None:  # which may be written as JSON
        said = json.dumps(said + message.call.name + message.call.id)
    said += "".join(call.name + call.id + json.dumps(call.arguments) for call in message.calls)
    return len(said.encode("utf-8", "replace")) + MARKUP_TOKENS * (1 + len(message.calls))
