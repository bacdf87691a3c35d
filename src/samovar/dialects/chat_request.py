"""OpenAI's chat completions: the request.

Above: `routes.py`. Below: `openai_shape.py`. Fields that say how the service works (`store`, `user`,
`service_tier` …) are taken and have no effect; what would change the answer and cannot be had is refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from samovar.dialects.asking import new_id
from samovar.dialects.base import ApiRequest, ModelApi
from samovar.dialects.failures import refused
from samovar.dialects.http import BodyPart, RequestBody
from samovar.dialects.openai_shape import (
    HINT,
    NOT_HERE,
    TextPart,
    answer_of,
    check_known,
    check_only,
    check_said,
    chosen,
    named,
    result_of,
    sampling_of,
    schema_of,
    text_of,
    think_of,
    tool_of,
    with_one_system,
)
from samovar.generation import Message, Options, ToolCall, ToolDefinition

_TEXTS = ("text", "refusal")


class CalledFunction(BodyPart):
    name: str = Field(min_length=1, max_length=128)
    arguments: str = ""


class ChatCall(BodyPart):
    id: str = Field(min_length=1, max_length=200)
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(BodyPart):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: str | None = None


class OfferedFunction(BodyPart):
    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ChatTool(BodyPart):
    type: Literal["function"]
    function: OfferedFunction


class NamedFunction(BodyPart):
    name: str


class ChosenTool(BodyPart):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(BodyPart):
    name: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(BodyPart):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(BodyPart):
    include_usage: bool | None = None


class ChatRequest(RequestBody):
    """The body of `POST /v1/chat/completions`."""

    model: str | None = Field(
        None, description="An id of `/v1/models`, or an alias; without it, the default."
    )
    messages: list[ChatMessage] = Field(
        min_length=1, description="Texts; images, audio and files are refused. `developer` means `system`."
    )
    stream: bool | None = Field(
        None, description="Server-sent events; calls of tools come whole, at the end."
    )
    stream_options: StreamOptions | None = Field(None, description="`include_usage`.")
    max_completion_tokens: int | None = Field(None, ge=1, description="Reasoning included.")
    max_tokens: int | None = Field(None, ge=1, description="The older name of it.")
    temperature: float | None = Field(None, ge=0, le=2, description="1 if it is not given; 0 is greedy.")
    top_p: float | None = Field(None, ge=0, le=1, description="1 if it is not given.")
    top_k: int | None = Field(
        None, ge=0, description="Not OpenAI's; as llama.cpp's and vLLM's servers have it."
    )
    min_p: float | None = Field(None, ge=0, le=1, description="Likewise.")
    seed: int | None = Field(None, description="The same seed picks the same tokens; without one, any.")
    stop: str | list[str] | None = Field(None, description="Up to 16 texts; no reasoning is searched.")
    tools: list[ChatTool] | None = Field(
        None, max_length=512, description="Functions. Arguments always match their schema, `strict` or not."
    )
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = Field(
        None, description="`none`, `auto`, `required`, or a function."
    )
    parallel_tool_calls: bool | None = Field(None, description="`false`: the first call is given.")
    response_format: ResponseFormat | None = Field(
        None, description="`text`, `json_object`, `json_schema`: enforced; the model is not shown it."
    )
    reasoning_effort: str | None = Field(
        None, description="`none` and `minimal` turn reasoning off where the model can; else no effect."
    )
    logprobs: bool | None = Field(None, description=NOT_HERE)
    top_logprobs: int | None = Field(None, description=NOT_HERE)
    n: int | None = Field(None, description=NOT_HERE)
    logit_bias: dict[str, float] | None = Field(None, description=NOT_HERE)
    frequency_penalty: float | None = Field(None, description=NOT_HERE)
    presence_penalty: float | None = Field(None, description=NOT_HERE)
    modalities: list[str] | None = Field(None, description=NOT_HERE)
    audio: dict[str, Any] | None = Field(None, description=NOT_HERE)
    web_search_options: dict[str, Any] | None = Field(None, description=NOT_HERE)
    metadata: dict[str, Any] | None = Field(None, description=HINT)
    prediction: dict[str, Any] | None = Field(None, description=HINT)
    prompt_cache_key: str | None = Field(None, description=HINT)
    prompt_cache_retention: str | None = Field(None, description=HINT)
    safety_identifier: str | None = Field(None, description=HINT)
    service_tier: str | None = Field(None, description=HINT)
    store: bool | None = Field(None, description=HINT)
    user: str | None = Field(None, description=HINT)
    verbosity: str | None = Field(None, description=HINT)

    def asked(self, api: ModelApi) -> ApiRequest:
        """Raises `ApiRefusedError`."""
        check_known(self)
        check_only(self, _ONLY)
        entry = api.entry(self.model)
        messages = with_one_system(_messages(self.messages))
        check_said(messages, "messages")
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stop) > MOST_STOPS or "" in stop:
            raise refused(f"'stop' has at most {MOST_STOPS} texts, none of them empty.", "stop")
        tools = tuple(_tool(one, index) for index, one in enumerate(self.tools or ()))
        form = self.response_format or ResponseFormat(type="text")
        schema = form.json_schema and form.json_schema.schema_
        options = Options(
            sampling=sampling_of(
                self.temperature, self.top_p, top_k=self.top_k, min_p=self.min_p, seed=self.seed
            ),
            max_tokens=self.max_completion_tokens or self.max_tokens or api.limits.answer_tokens,
            stop=tuple(stop),
            tools=tools,
            tool_choice=_choice(self.tool_choice, tools),
            schema=schema_of(form.type, schema, "response_format.json_schema.schema"),
            think=think_of(self.reasoning_effort),
        )
        return ApiRequest(
            entry=entry,
            messages=messages,
            options=options,
            one_call=self.parallel_tool_calls is False,
            is_kept=False,
            session=new_id("chatcmpl"),
        )


MOST_STOPS = 16
_ONLY: dict[str, tuple[Any, ...]] = {
    "logprobs": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
}


def _choice(choice: str | ChosenTool | None, tools: tuple[ToolDefinition, ...]) -> str:
    if isinstance(choice, ChosenTool):
        return named(choice.function.name, tools)
    return chosen(choice, tools)


def _tool(tool: ChatTool, index: int) -> ToolDefinition:
    function = tool.function
    param = f"tools[{index}].function.parameters"
    return tool_of(function.name, function.description, function.parameters, param)


def _messages(given: list[ChatMessage]) -> list[Message]:
    messages: list[Message] = []
    calls: dict[str, ToolCall] = {}
    for index, one in enumerate(given):
        place = f"messages[{index}]"
        text = text_of(one.content, _TEXTS, f"{place}.content")
        if one.role == "tool":
            messages.append(result_of(calls, one.tool_call_id or "", text, f"{place}.tool_call_id"))
        elif one.role == "assistant":
            own = tuple(
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments or "{}")
                for call in one.tool_calls or ()
            )
            calls |= {call.id: call for call in own}
            messages.append(answer_of(text + (one.refusal or ""), one.reasoning_content or "", own))
        else:
            messages.append(Message(role="user" if one.role == "user" else "system", content=text))
    return messages
