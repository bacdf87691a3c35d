"""What a server may ask while it is used: the run's model for a text, the person for the fields of a form.

Above: whoever speaks with servers, and whoever answers them. Below: plain values. What is refused is an error
that the server gets; what ends the run is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from samovar.executors.base import PromptReply, PromptRequest
from samovar.generation import Message


class RefusedToServerError(Exception):
    """What a server asks is not answered; the text says why, to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAsked:
    """A server wants a model to go on with this."""

    messages: tuple[Message, ...]
    """The system prompt first, if there is one."""
    max_tokens: int
    """As many as it would take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormAsked:
    """A server wants a person to fill this in."""

    message: str
    schema: Mapping[str, Any]
    """Of an object; what it has is texts, numbers, yes and no, and choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormReply:
    """What became of a form."""

    action: Literal["accept", "decline", "cancel"]
    """`cancel`: there is nobody, or nobody said anything."""
    values: Mapping[str, str | int | float | bool]
    """What was filled in, by field."""


class AnswersServer(Protocol):
    """Answers a server while one of its tools is used."""

    async def text(self, asked: TextAsked) -> PromptReply:
        """Raises `RefusedToServerError`; a `LimitError`, which ends the run; and as a prompt does."""
        ...

    async def form(self, asked: FormAsked) -> FormReply:
        """Raises `RefusedToServerError`."""
        ...


AskAside = Callable[[PromptRequest], Awaitable[PromptReply]]
"""Has a prompt answered that is no part of what a visit says."""


async def nobody_is_asked(request: PromptRequest) -> PromptReply:
    """See `AskAside`: nobody."""
    raise RefusedToServerError("There is no model here.")


class NobodyAnswers:
    """See `AnswersServer`: nothing is answered."""

    async def text(self, asked: TextAsked) -> PromptReply:
        raise RefusedToServerError("There is nobody here who answers.")

    async def form(self, asked: FormAsked) -> FormReply:
        raise RefusedToServerError("There is nobody here who answers.")
