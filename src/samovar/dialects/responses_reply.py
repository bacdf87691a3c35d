"""OpenAI's responses, which are Open Responses too: the resource that a response is.

Above: `responses_stream.py`, `routes.py`. Below: `responses_request.py`, whose settings it says back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from samovar.dialects.base import ApiRequest
from samovar.dialects.failures import ApiFailure
from samovar.dialects.openai_shape import prompt_tokens
from samovar.dialects.responses_request import ResponsesRequest, ToolChoiceObject
from samovar.executors.base import PromptReply
from samovar.generation import FinishReason, MessagePart, TokenCounts, ToolCall

_CODES: Mapping[str, str] = {"rate_limit": "rate_limit_exceeded"}


class Resource:
    """The response to one request, as far as it has come."""

    def __init__(self, body: ResponsesRequest, asked: ApiRequest) -> None:
        self.id = asked.session
        self._body, self._asked = body, asked
        self._created = int(time.time())

    def begun(self, status: str) -> dict[str, Any]:
        """Before there is any output."""
        return self._made(status, [])

    def ended(self, reply: PromptReply, output: list[dict[str, Any]]) -> dict[str, Any]:
        is_cut = reply.finish_reason is FinishReason.LENGTH
        made = self._made("incomplete" if is_cut else "completed", output)
        made["completed_at"] = None if is_cut else int(time.time())
        made["usage"] = _usage(reply.tokens)
        if is_cut:
            made["incomplete_details"] = {"reason": "max_output_tokens"}
        return made

    def failed(self, failure: ApiFailure) -> dict[str, Any]:
        code = failure.code or _CODES.get(failure.kind, "server_error")
        return self._made("failed", []) | {"error": {"code": code, "message": failure.message}}

    def _made(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        body, options = self._body, self._asked.options
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "completed_at": None,
            "status": status,
            "incomplete_details": None,
            "model": body.model or self._asked.entry.id,
            "previous_response_id": body.previous_response_id,
            "instructions": body.instructions,
            "output": output,
            "error": None,
            "tools": [_tool(body, index) for index in range(len(body.tools or ()))],
            "tool_choice": _choice(body),
            "truncation": body.truncation or "disabled",
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "text": _text(body),
            "top_p": options.sampling.top_p,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": 0,
            "temperature": options.sampling.temperature,
            "reasoning": {
                "effort": body.reasoning.effort if body.reasoning else None,
                "summary": body.reasoning.summary if body.reasoning else None,
            },
            "usage": None,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "store": self._asked.is_kept,
            "background": False,
            "service_tier": "default",
            "metadata": body.metadata or {},
            "safety_identifier": body.safety_identifier,
            "prompt_cache_key": body.prompt_cache_key,
        }


def output_of(reply: PromptReply, id: str) -> list[dict[str, Any]]:
    """The items of a whole answer."""
    parts = [one for one in reply.parts or (MessagePart(text=reply.text),) if one.kind != "call"]
    items: list[dict[str, Any]] = []
    status = "incomplete" if reply.finish_reason is FinishReason.LENGTH else "completed"
    for part in parts:
        if part.text:
            item = reasoning_item if part.kind == "reasoning" else message_item
            items.append(item(item_id(id, len(items)), part.text, "completed"))
    for call in reply.calls:
        items.append(call_item(item_id(id, len(items)), call, "completed"))
    if not items:  # an answer without a word is one, too
        items.append(message_item(item_id(id, 0), "", status))
    if items[-1]["type"] == "message":
        items[-1]["status"] = status
    return items


def item_id(id: str, index: int) -> str:
    """The id of an item, in the order of a response."""
    return f"item_{id.removeprefix('resp_')}_{index}"


def message_item(id: str, text: str | None, status: str) -> dict[str, Any]:
    """`text`: None before there is any part."""
    content = [] if text is None else [text_part(text)]
    return {"type": "message", "id": id, "status": status, "role": "assistant", "content": content}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning_item(id: str, text: str | None, status: str) -> dict[str, Any]:
    """`text`: None before there is any."""
    content = [] if text is None else [reasoning_part(text)]
    return {"type": "reasoning", "id": id, "summary": [], "content": content, "status": status}


def reasoning_part(text: str) -> dict[str, Any]:
    return {"type": "reasoning_text", "text": text}


def call_item(id: str, call: ToolCall, status: str) -> dict[str, Any]:
    arguments = call.arguments if status == "completed" else ""
    return {
        "type": "function_call",
        "id": id,
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments,
        "status": status,
    }


def _tool(body: ResponsesRequest, index: int) -> dict[str, Any]:
    tool = (body.tools or [])[index]
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": True,
    }


def _choice(body: ResponsesRequest) -> Any:
    choice = body.tool_choice
    if not isinstance(choice, ToolChoiceObject):
        return choice or "auto"
    if choice.type == "function":
        return {"type": "function", "name": choice.name}
    tools = [{"type": "function", "name": one.name} for one in choice.tools or ()]
    return {"type": "allowed_tools", "mode": choice.mode or "auto", "tools": tools}


def _text(body: ResponsesRequest) -> dict[str, Any]:
    form = body.text.format if body.text else None
    verbosity = body.text.verbosity if body.text else None
    said: dict[str, Any] = {"type": form.type if form else "text"}
    if form is not None and form.type == "json_schema":
        said |= {
            "name": form.name or "answer",
            "description": form.description,
            "schema": form.schema_,
            "strict": True,
        }
    return {"format": said, "verbosity": verbosity or "medium"}


def _usage(tokens: TokenCounts) -> dict[str, Any]:
    prompt = prompt_tokens(tokens)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": tokens.reused},
        "output_tokens": tokens.generated,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": prompt + tokens.generated,
    }
