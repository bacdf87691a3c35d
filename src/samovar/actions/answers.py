"""The value of a prompt: the answer's text with its parts, and the confidence of the choices in it.

Above: `prompt.py`. Below: the waist's reply, `values/`.
"""

from __future__ import annotations

from samovar.executors.base import PromptReply
from samovar.values import Record
from samovar.values.certainty import Answered


def answer_of(reply: PromptReply, session: str | None) -> Answered:
    """`session`: the named conversation it belongs to."""
    parts = {
        "content": reply.text,
        "reasoning": reply.reasoning,
        "tokens": reply.tokens.generated,
        "finish_reason": str(reply.finish_reason),
        "duration_s": reply.duration_s,
        "session": session,
        "model": reply.model,
        "dropped_messages": reply.dropped_messages,
    }
    return Answered(reply.text, parts, {one.path: one for one in reply.chosen})


def is_json(text: str) -> bool:
    return Record(text).part("json") is not None or text.strip() == "null"


def by_schema(answer: Answered) -> object:
    """What an answer by a schema is: an object's fields are parts of it; another value is itself."""
    value = answer.part("json")
    if isinstance(value, str):
        return Answered(value, {}, answer.chosen)
    if isinstance(value, dict):
        return Answered(str(answer), {**answer.parts, **value}, answer.chosen)
    return value
