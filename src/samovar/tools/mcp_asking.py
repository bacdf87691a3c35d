"""What a server asks back, in the package's words, handed to the call that it is asked for.

Above: `mcp.py`. Below: `actions/asked_back.py`, and the package. The package hears a server in tasks of its
own; it is answered in the task of the visit that called it, so that whatever stops the visit stops the
answer, and whatever ends the run comes out there. A server may ask only while one of its tools is called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from samovar.actions.asked_back import AnswersServer, FormAsked, RefusedToServerError, TextAsked
from samovar.background import beside
from samovar.errors import JournalError, LimitError, SamovarError
from samovar.generation import FinishReason, Message

MOST_MESSAGES = 100
"""Of a conversation that a model is to go on with."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """Something a server asked. Changed once, by whoever answers it."""

    params: Any
    result: Any = None
    """None: nobody answers any more."""
    done: anyio.Event = field(default_factory=anyio.Event)


class AsksBack:
    """What one server asks. Mutable: the call that is under way."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._to_call: anyio.abc.ObjectSendStream[_Waiting] | None = None

    async def asked(self, context: object, params: Any) -> Any:
        """The package's callback: a result, or an error of the protocol."""
        if self._to_call is None:
            return _error("It may ask only while one of its tools is called.")
        waiting = _Waiting(params)
        try:
            await self._to_call.send(waiting)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return _error("The call is over.")
        await waiting.done.wait()
        return waiting.result or _error("The call is over.")

    @asynccontextmanager
    async def answered(
        self, answers: AnswersServer, limit: anyio.CancelScope, timeout_s: float
    ) -> AsyncIterator[None]:
        """While the body calls a tool, what the server asks is answered. One call at a time.

        `limit`: ends the call after so many seconds in which nothing is asked.
        """
        limit.deadline = float("inf")  # the call before has limits of its own
        async with self._turn:
            send, receive = anyio.create_memory_object_stream[_Waiting](0)

            async def answer() -> None:
                async for waiting in receive:
                    limit.deadline = float("inf")  # a person takes time
                    try:
                        waiting.result = await _answer(answers, waiting.params)
                    finally:
                        waiting.done.set()
                        limit.deadline = anyio.current_time() + timeout_s

            with send, receive:
                self._to_call = send
                try:
                    async with beside(answers=answer):
                        limit.deadline = anyio.current_time() + timeout_s
                        yield
                finally:
                    self._to_call = None


async def _answer(answers: AnswersServer, params: Any) -> Any:
    """Raises what ends the run."""
    import mcp_types

    try:
        if isinstance(params, mcp_types.CreateMessageRequestParams):
            return await _text(answers, params)
        if isinstance(params, mcp_types.ElicitRequestFormParams):
            schema = params.model_dump(by_alias=True, mode="json", exclude_none=True)["requestedSchema"]
            reply = await answers.form(FormAsked(message=params.message, schema=schema))
            content: dict[str, Any] | None = dict(reply.values) if reply.action == "accept" else None
            return mcp_types.ElicitResult(action=reply.action, content=content)
        return _error("Only forms are filled in here; no page is opened.")
    except RefusedToServerError as refused:
        return _error(str(refused))
    except (LimitError, JournalError):
        raise
    except SamovarError as error:
        return _error(error.message)


async def _text(answers: AnswersServer, params: Any) -> Any:
    import mcp_types

    if params.tools or params.tool_choice:
        raise RefusedToServerError("No tools are used for a server.")
    if len(params.messages) > MOST_MESSAGES:
        raise RefusedToServerError(f"A conversation has at most {MOST_MESSAGES} messages.")
    system = params.system_prompt
    first = [Message(role="system", content=system)] if system and system.strip() else []
    messages = [Message(role=one.role, content=_content(one.content)) for one in params.messages]
    if not messages:
        raise RefusedToServerError("There is no message.")
    reply = await answers.text(TextAsked(messages=(*first, *messages), max_tokens=params.max_tokens))
    text, reason = reply.text, "maxTokens" if reply.finish_reason is FinishReason.LENGTH else "endTurn"
    ends = [at for one in params.stop_sequences or () if one and (at := text.find(one)) >= 0]
    if ends:
        text, reason = text[: min(ends)], "stopSequence"
    content = mcp_types.TextContent(type="text", text=text)
    return mcp_types.CreateMessageResult(
        role="assistant", content=content, model=reply.model, stop_reason=reason
    )


def _content(content: Any) -> str:
    pieces = content if isinstance(content, list) else [content]
    if any(one.type != "text" for one in pieces):
        raise RefusedToServerError("Only texts are given to the model.")
    return "\n".join(one.text for one in pieces)


def _error(message: str) -> Any:
    import mcp_types

    return mcp_types.ErrorData(code=mcp_types.INVALID_REQUEST, message=message)
