"""The questions of runs as forms of the Model Context Protocol, and what came back as answers.

Above: `mcp_tools.py`. Below: questions, as the journal keeps them; the package `mcp_types`. What a client
sends is data: an answer that the question does not take is none. What a model may do is not among these
questions: it is asked of the user alone, and is not allowed while nobody sits at a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mcp_types

from samovar.actions.question import NO, YES, Question, accepted
from samovar.journal.people import KeptQuestion
from samovar.running.waiting import question_from

ANSWER = "answer"
"""The one field of a form."""
MOST_MESSAGE_CHARS = 8_000


def form_of(kept: KeptQuestion) -> mcp_types.ElicitRequestFormParams:
    """The form that a client shows to its user."""
    question = question_from(kept)
    message = question.text.strip() or "May the workflow go on?"
    if len(message) > MOST_MESSAGE_CHARS:
        message = message[:MOST_MESSAGE_CHARS] + " […]"
    schema = {"type": "object", "properties": {ANSWER: _field(question)}, "required": [ANSWER]}
    return mcp_types.ElicitRequestFormParams(message=message, requested_schema=schema)


def _field(question: Question) -> dict[str, Any]:
    if question.is_approval:
        return {"type": "boolean", "title": "Yes?"}
    default = {} if question.default is None else {"default": question.default}
    if question.kind == "choice":
        return {"type": "string", "title": "Answer", "enum": list(question.choices), **default}
    return {"type": "string", "title": "Answer", **default}


def requests_of(questions: Sequence[KeptQuestion]) -> dict[str, mcp_types.InputRequest]:
    """The forms of questions, by the name of the visit that asks."""
    return {str(one.key): mcp_types.ElicitRequest(params=form_of(one)) for one in questions}


def answer_in(kept: KeptQuestion, response: object) -> str | None:
    """The answer that a client sends; None: there is none yet.

    Who declines says no, if that is an answer. Raises `ValueError` for an answer that the question does not
    take.
    """
    question = question_from(kept)
    if not isinstance(response, mcp_types.ElicitResult):
        raise ValueError("the answer is not that of a form")
    if response.action == "decline" and question.is_approval:
        return NO.text
    if response.action != "accept":
        return None
    content: Mapping[str, object] = response.content or {}
    value = content.get(ANSWER)
    if question.is_approval and isinstance(value, bool):
        return (YES if value else NO).text
    if (value is None or value == "") and question.default is not None:
        return question.default
    reply = question.reply(value) if isinstance(value, str) else None
    if reply is None:
        raise ValueError(f"the question takes {accepted(question)}")
    return reply.text
