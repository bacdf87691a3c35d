"""Answers what a server asks while one of its tools is used: by the run's model, and by its one door.

Above: `served.py`, which makes one for each call. Below: the visit's context. A server gets as much as its
declaration in the settings allows, bounded in number and size. A person sees that it is a server that asks;
no answer that was given before the run, and no `--yes`, is one to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samovar.actions.asked_back import FormAsked, FormReply, RefusedToServerError, TextAsked
from samovar.actions.question import YES, Asking, Filled
from samovar.config.declared import DeclaredServer
from samovar.executors.base import PromptReply, PromptRequest
from samovar.generation import FinishReason, Options
from samovar.language.schema_values import mismatch
from samovar.tools.base import Here

MOST_TEXTS = 8
"""That a server may have the model write in one call."""
MOST_TEXT_TOKENS = 1024
"""Of each."""
MOST_ASKED_CHARS = 100_000
"""Of what it gives the model to read."""
MOST_FORMS = 4
"""That it may have the person fill in in one call."""
MOST_FIELDS = 12
MOST_TRIES = 3
"""For a field whose answer does not fit."""
MESSAGE_CHARS = 2_000
_KINDS = ("string", "integer", "number", "boolean")

Value = str | int | float | bool


class AnsweringServer:
    """See `actions.asked_back.AnswersServer`. Of one call. Mutable: how often it was asked."""

    def __init__(self, server: DeclaredServer, here: Here) -> None:
        self._server, self._here = server, here
        self._texts = self._forms = 0

    # The model.

    async def text(self, asked: TextAsked) -> PromptReply:
        context = self._here.context
        if not self._server.sampling:
            raise RefusedToServerError("The user does not allow this server to ask the model.")
        self._texts += 1
        if self._texts > MOST_TEXTS:
            raise RefusedToServerError(f"The model is asked at most {MOST_TEXTS} times in one call.")
        chars = sum(len(one.content) for one in asked.messages)
        if chars > MOST_ASKED_CHARS:
            raise RefusedToServerError(f"The model is given at most {MOST_ASKED_CHARS:,} characters.")
        prompt = context.asked
        reply = await context.ask_aside(
            PromptRequest(
                messages=asked.messages,
                executor=prompt.executor if prompt else None,
                model=prompt.model if prompt else None,
                is_from_server=True,
                options=Options(max_tokens=max(1, min(asked.max_tokens, MOST_TEXT_TOKENS))),
            )
        )
        if reply.finish_reason not in (FinishReason.STOP, FinishReason.LENGTH):
            raise RefusedToServerError(f"The model gave no answer ({reply.finish_reason}).")
        return reply

    # The person.

    async def form(self, asked: FormAsked) -> FormReply:
        if not self._server.elicitation:
            raise RefusedToServerError("The user does not allow this server to ask questions.")
        self._forms += 1
        if self._forms > MOST_FORMS:
            raise RefusedToServerError(f"The user is asked at most {MOST_FORMS} times in one call.")
        fields = _fields(asked.schema)
        name, context = self._server.name, self._here.context
        told = f" It would get: {', '.join(fields)}." if fields else ""
        reply = await context.ask_user(
            Asking(
                kind="approve",
                is_from_server=True,
                parts=(
                    f"The server {name!r} asks you: ",
                    Filled(asked.message[:MESSAGE_CHARS]),
                    Filled(told),
                    "\nNever give it a password. Do you answer?",
                ),
            )
        )
        if reply is None:
            context.warn(f"The server {name!r} asked a question, and nobody can be asked.")
            return FormReply(action="cancel", values={})
        if reply != YES:
            return FormReply(action="decline", values={})
        values: dict[str, Value] = {}
        required = asked.schema.get("required")
        for field, schema in fields.items():
            is_needed = isinstance(required, list) and field in required
            value = await self._field(field, schema, is_needed=is_needed)
            if value is None and is_needed:
                return FormReply(action="cancel", values={})
            if value is not None:
                values[field] = value
        return FormReply(action="accept", values=values)

    async def _field(self, name: str, schema: Mapping[str, Any], *, is_needed: bool) -> Value | None:
        """What the person says to a field; None if nothing."""
        choices = _choices(schema)
        default = schema.get("default")
        said = None if default is None else _as_text(default)
        why = ""
        for _ in range(MOST_TRIES):
            described = str(schema.get("description") or schema.get("title") or "")[:MESSAGE_CHARS]
            reply = await self._here.context.ask_user(
                Asking(
                    kind="choice" if choices else "text",
                    is_from_server=True,
                    parts=(f"{self._server.name}: ", Filled(f"{name}: {described}" if described else name))
                    + ((Filled(why),) if why else ()),
                    choices=choices,
                    default=said if said is not None or is_needed else "",
                )
            )
            if reply is None or not reply.text:
                return None
            value = _typed(reply.text, schema)
            wrong = "expected a number" if value is None else mismatch(value, dict(schema), name)
            if value is not None and wrong is None:
                return value
            why = f" ({wrong})"
        return None


def _fields(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By name. Raises `RefusedToServerError` for a form that nobody could fill in here."""
    fields = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(fields, dict):
        raise RefusedToServerError("The form must be an object with properties.")
    if len(fields) > MOST_FIELDS:
        raise RefusedToServerError(f"A form has at most {MOST_FIELDS} fields.")
    for name, one in fields.items():
        if not isinstance(one, dict) or one.get("type") not in _KINDS:
            raise RefusedToServerError(f"The field {name[:80]!r} must be one of: {', '.join(_KINDS)}.")
    return fields


def _choices(schema: Mapping[str, Any]) -> tuple[str, ...]:
    if schema.get("type") == "boolean":
        return ("yes", "no")
    titled = schema.get("oneOf")
    if isinstance(titled, list):
        return tuple(str(one["const"]) for one in titled if isinstance(one, dict) and "const" in one)
    listed = schema.get("enum")
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _typed(said: str, schema: Mapping[str, Any]) -> Value | None:
    """What is meant by what was said; None if it is not of the field's type."""
    kind = schema.get("type")
    if kind == "boolean":
        return said == "yes"
    try:
        if kind == "integer":
            return int(said)
        return float(said) if kind == "number" else said
    except ValueError:
        return None


def _as_text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
