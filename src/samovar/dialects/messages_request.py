"""Anthropic's Messages API: the request, also that of counting its tokens, and the shape of an error.

Above: `routes.py`. Below: `http.py`. A field that there is not is refused, as Anthropic does, unless the
client says that it is of a beta (the header `anthropic-beta`): then it has no effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from samovar.dialects.asking import new_id
from samovar.dialects.base import ApiRequest, ModelApi
from samovar.dialects.failures import ApiFailure, Kind, refused
from samovar.dialects.http import ApiDialect, BodyPart, RequestBody, schema_text
from samovar.dialects.openai_shape import HINT, check_said, result_of, sampling_of, with_one_system
from samovar.generation import Message, MessagePart, Options, ToolCall, ToolDefinition

_TYPES: Mapping[Kind, str] = {
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "server": "api_error",
}
_OVERLOADED = 529


class AnthropicDialect(ApiDialect):
    """See `http.ApiDialect`."""

    def error(self, failure: ApiFailure) -> tuple[int, dict[str, Any]]:
        status = _OVERLOADED if failure.kind == "overloaded" else failure.status
        return status, error_of(failure)

    def place(self, location: tuple[str | int, ...]) -> str:
        return ".".join(str(step) for step in location if not _is_member(step))


ANTHROPIC = AnthropicDialect()


def error_of(failure: ApiFailure) -> dict[str, Any]:
    """An error as Anthropic's clients know it."""
    kind = _TYPES.get(failure.kind, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": failure.message}, "request_id": None}


def _is_member(step: str | int) -> bool:
    """The name of a member of a union, which no client knows."""
    return isinstance(step, str) and (step == "str" or "[" in step or step[:1].isupper())


class ContentBlock(BodyPart):
    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[ContentBlock] | None = None
    is_error: bool | None = None


class MessageParam(BodyPart):
    role: Literal["user", "assistant", "system"]
    content: str | list[ContentBlock]


class MessagesTool(BodyPart):
    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class ToolChoice(BodyPart):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(BodyPart):
    type: Literal["enabled", "disabled", "adaptive"]


class OutputFormat(BodyPart):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(BodyPart):
    format: OutputFormat | None = None


class CountRequest(RequestBody):
    """The body of `POST /v1/messages/count_tokens`, which is a part of the other."""

    model: str = Field(description="An id of `/v1/models`, or an alias; `claude-…` means the default model.")
    messages: list[MessageParam] = Field(
        min_length=1,
        description="Texts, thinking, calls of tools and their results; images and documents are refused. "
        "The last one is the user's.",
    )
    system: str | list[ContentBlock] | None = Field(None, description="Texts.")
    tools: list[MessagesTool] | None = Field(
        None, max_length=512, description="The client's own. Arguments always match their schema."
    )
    tool_choice: ToolChoice | None = Field(
        None,
        description="`auto`, `any`, `tool`, `none`; `disable_parallel_tool_use`: the first call is given.",
    )
    thinking: Thinking | None = Field(
        None, description="`enabled` turns it on, `disabled` off where the model can; a budget has no effect."
    )
    output_format: OutputFormat | None = Field(
        None, description="`json_schema`: enforced; the model is not shown it."
    )
    output_config: OutputConfig | None = Field(
        None, description="Its `format` likewise; `effort` has no effect."
    )
    cache_control: dict[str, Any] | None = Field(None, description=HINT)
    context_management: dict[str, Any] | None = Field(None, description=HINT)
    mcp_servers: list[Any] | None = Field(None, description="Refused, unless it is empty.")

    def asked(self, api: ModelApi, *, is_beta: bool = False) -> ApiRequest:
        """Raises `ApiRefusedError`. `is_beta`: the client says that there may be fields of a beta."""
        for name in () if is_beta else self.model_extra or ():
            raise refused(f"{name[:100]}: Extra inputs are not permitted", name[:100])
        if self.mcp_servers:
            raise refused("mcp_servers: no servers of tools are used here", "mcp_servers")
        entry = api.entry(self.model, stands_for_any=self.model.startswith("claude"))
        system = _text(self.system or "", "system")
        heads = [Message(role="system", content=system)] if system else []
        messages = with_one_system([*heads, *_messages(self.messages)])
        check_said(messages, "messages")
        if messages[-1].role == "assistant":
            raise refused(
                "This model does not support assistant message prefill. The conversation must end with a "
                "user message.",
                "messages",
            )
        choice = self.tool_choice
        tools = tuple(_tool(one, index) for index, one in enumerate(self.tools or ()))
        return ApiRequest(
            entry=entry,
            messages=messages,
            options=self.options(tools),
            one_call=choice is not None and bool(choice.disable_parallel_tool_use),
            is_kept=False,
            session=new_id("msg"),
        )

    def options(self, tools: tuple[ToolDefinition, ...]) -> Options:
        """The options that count for the tokens of a prompt."""
        held = self.output_format or (self.output_config and self.output_config.format)
        thinking = self.thinking.type if self.thinking else None
        return Options(
            tools=tools,
            tool_choice=_choice(self.tool_choice, tools),
            schema=schema_text(held.schema_, "output_format.schema") if held else None,
            think={"enabled": True, "disabled": False}.get(thinking or ""),
        )


class MessagesRequest(CountRequest):
    """The body of `POST /v1/messages`."""

    max_tokens: int = Field(ge=1, description="Thinking included.")
    stream: bool | None = Field(
        None, description="Server-sent events; calls of tools come whole, at the end."
    )
    stop_sequences: list[str] | None = Field(
        None,
        max_length=64,
        description="`stop_reason` is `end_turn` after one, for which it was is not known.",
    )
    temperature: float | None = Field(None, ge=0, le=2, description="1 if it is not given; 0 is greedy.")
    top_p: float | None = Field(None, ge=0, le=1, description="1 if it is not given.")
    top_k: int | None = Field(None, ge=0, description="0, or none: all tokens.")
    seed: int | None = Field(None, description="Not Anthropic's. The same seed picks the same tokens.")
    metadata: dict[str, Any] | None = Field(None, description=HINT)
    service_tier: str | None = Field(None, description=HINT)
    inference_geo: str | None = Field(None, description=HINT)
    container: Any = Field(None, description=HINT)
    speed: str | None = Field(None, description=HINT)

    def options(self, tools: tuple[ToolDefinition, ...]) -> Options:
        if "" in (self.stop_sequences or ()):
            raise refused("stop_sequences: each text must contain something", "stop_sequences")
        return replace(
            super().options(tools),
            sampling=sampling_of(self.temperature, self.top_p, top_k=self.top_k, seed=self.seed),
            max_tokens=self.max_tokens,
            stop=tuple(self.stop_sequences or ()),
        )


def _tool(tool: MessagesTool, index: int) -> ToolDefinition:
    if tool.type not in (None, "custom"):
        raise refused(f"tools.{index}.type: {tool.type[:50]!r} is not available here", f"tools.{index}.type")
    if tool.input_schema is None:
        raise refused(f"tools.{index}.input_schema: Field required", f"tools.{index}.input_schema")
    text = schema_text(tool.input_schema, f"tools.{index}.input_schema")
    return ToolDefinition(name=tool.name, description=tool.description or "", parameters=text)


def _choice(choice: ToolChoice | None, tools: tuple[ToolDefinition, ...]) -> str:
    if choice is None or choice.type in ("auto", "none"):
        return choice.type if choice else "auto"
    if not tools:
        raise refused("tool_choice: there are no tools", "tool_choice")
    if choice.type == "any":
        return "required"
    if choice.name in ("auto", "none", "required") or all(one.name != choice.name for one in tools):
        raise refused(
            f"tool_choice.name: the tool {str(choice.name)[:100]!r} is not among the tools", "tools"
        )
    return str(choice.name)


def _messages(given: list[MessageParam]) -> list[Message]:
    messages: list[Message] = []
    calls: dict[str, ToolCall] = {}
    for index, one in enumerate(given):
        blocks = (
            [ContentBlock(type="text", text=one.content)] if isinstance(one.content, str) else one.content
        )
        place = f"messages.{index}.content"
        if one.role == "assistant":
            messages.append(_assistant(blocks, calls, place))
            continue
        for number, block in enumerate(blocks):
            if block.type == "tool_result":
                text = _text(block.content or "", f"{place}.{number}.content")
                text = f"Error: {text}" if block.is_error else text
                messages.append(result_of(calls, block.tool_use_id or "", text, f"{place}.{number}"))
        said = [block for block in blocks if block.type != "tool_result"]
        if said or not blocks:
            messages.append(Message(role=one.role, content=_text(said, place)))
    return messages


def _assistant(blocks: list[ContentBlock], calls: dict[str, ToolCall], place: str) -> Message:
    parts: list[MessagePart] = []
    own: list[ToolCall] = []
    for number, block in enumerate(blocks):
        match block.type:
            case "text":
                parts.append(MessagePart(text=block.text or ""))
            case "thinking":
                parts.append(MessagePart(kind="reasoning", text=block.thinking or ""))
            case "redacted_thinking":
                pass
            case "tool_use":
                if not block.id or not block.name or len(block.name) > 128:
                    raise refused(f"{place}.{number}: a call of a tool has an id and a name", place)
                text = json.dumps(block.input or {}, ensure_ascii=False)
                call = ToolCall(id=block.id[:200], name=block.name, arguments=text)
                own.append(call)
                calls[block.id] = call
            case kind:
                raise refused(f"{place}.{number}: the model takes no {kind[:50]!r} block here", place)
    message = Message.of_parts("assistant", parts)
    return Message(role="assistant", content=message.content, parts=message.parts, calls=tuple(own))


def _text(content: str | list[ContentBlock], place: str) -> str:
    if isinstance(content, str):
        return content
    for number, block in enumerate(content):
        if block.type != "text":
            raise refused(f"{place}.{number}: the model takes no {block.type[:50]!r} block, only text", place)
    return "\n".join(block.text or "" for block in content)
