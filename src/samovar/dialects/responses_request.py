"""OpenAI's responses, which are Open Responses too: the request.

Above: `routes.py`. Below: `openai_shape.py`. `previous_response_id` names an answer that was given: what led
to it comes before the input, and is not evaluated again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from samovar.dialects.asking import new_id
from samovar.dialects.base import ApiRequest, ModelApi
from samovar.dialects.conversations import SaidBefore
from samovar.dialects.failures import ApiFailure, ApiRefusedError, refused
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

_TEXTS = ("input_text", "output_text", "text", "refusal")


class Item(BodyPart):
    type: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[TextPart] | None = None
    summary: list[TextPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[TextPart] | None = None


class ResponsesTool(BodyPart):
    type: str
    name: str | None = Field(None, pattern=r"^[a-zA-Z0-9_.-]{1,128}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolName(BodyPart):
    type: str
    name: str | None = None


class ToolChoiceObject(ToolName):
    mode: Literal["none", "auto", "required"] | None = None
    tools: list[ToolName] | None = None


class TextFormat(BodyPart):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextConfig(BodyPart):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(BodyPart):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class CountedRequest(RequestBody):
    """The body of `POST /v1/responses/input_tokens`, which is a part of the other."""

    model: str | None = Field(
        None, description="An id of `/v1/models`, or an alias; without it, the default."
    )
    input: str | list[Item] | None = Field(
        None,
        description="A text, or items: messages of texts, reasoning, function calls and their outputs. "
        "Images and files are refused.",
    )
    instructions: str | None = Field(None, description="The system message of this answer alone.")
    previous_response_id: str | None = Field(
        None, description="An answer to go on from, once or many times; kept in memory, the latest 1,000."
    )
    tools: list[ResponsesTool] | None = Field(
        None, max_length=512, description="Functions. Arguments always match their schema, `strict` or not."
    )
    tool_choice: Literal["none", "auto", "required"] | ToolChoiceObject | None = Field(
        None, description="`none`, `auto`, `required`, a function, or `allowed_tools`."
    )
    parallel_tool_calls: bool | None = Field(None, description="`false`: the first call is given.")
    text: TextConfig | None = Field(
        None, description="`format`: enforced; the model is not shown it. `verbosity` has no effect."
    )
    reasoning: Reasoning | None = Field(
        None, description="`effort` `none` and `minimal` turn it off where the model can; else no effect."
    )
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description="`auto`: the oldest messages are left out of what is too long."
    )
    max_output_tokens: int | None = Field(None, ge=1, description="Reasoning included.")
    temperature: float | None = Field(None, ge=0, le=2, description="1 if it is not given; 0 is greedy.")
    top_p: float | None = Field(None, ge=0, le=1, description="1 if it is not given.")

    def asked(self, api: ModelApi, known: Callable[[str], SaidBefore | None]) -> ApiRequest:
        """Raises `ApiRefusedError`. `known`: what was said up to an answer."""
        check_known(self)
        check_only(self, {name: one for name, one in _ONLY.items() if name in type(self).model_fields})
        entry = api.entry(self.model)
        before = self._before(known)
        heads = [Message(role="system", content=self.instructions)] if self.instructions else []
        new = _messages(self.input, before)
        check_said(new, "input")
        messages = with_one_system([*heads, *before, *new])
        tools = self._tools()
        form = (self.text and self.text.format) or TextFormat(type="text")
        options = Options(
            sampling=sampling_of(self.temperature, self.top_p),
            max_tokens=self.max_output_tokens or api.limits.answer_tokens,
            tools=tools,
            tool_choice=self._choice(tools),
            schema=schema_of(form.type, form.schema_, "text.format.schema"),
            think=think_of(self.reasoning.effort if self.reasoning else None),
            overflow="drop_oldest" if self.truncation == "auto" else "error",
        )
        return ApiRequest(
            entry=entry,
            messages=messages,
            options=options,
            one_call=self.parallel_tool_calls is False,
            is_kept=getattr(self, "store", True) is not False,
            is_instructed=bool(self.instructions),
            session=new_id("resp"),
        )

    def _before(self, known: Callable[[str], SaidBefore | None]) -> list[Message]:
        """What was said before, without instructions, which are given anew each time."""
        if self.previous_response_id is None:
            return []
        said = known(self.previous_response_id)
        if said is None:
            message = f"Previous response with id '{self.previous_response_id[:100]}' not found."
            param, code = "previous_response_id", "previous_response_not_found"
            raise ApiRefusedError(
                ApiFailure(status=404, message=message, param=param, code=code, kind="not_found")
            )
        return [one for one in said.messages if one.role != "system" or not said.is_instructed]

    def _tools(self) -> tuple[ToolDefinition, ...]:
        """Those that may be called are all that are offered."""
        found = []
        for index, one in enumerate(self.tools or ()):
            if one.type != "function" or one.name is None:
                kind = one.type[:50]
                raise refused(f"The tool {kind!r} is not available here: only functions.", f"tools[{index}]")
            param = f"tools[{index}].parameters"
            found.append(tool_of(one.name, one.description, one.parameters, param))
        choice = self.tool_choice
        if isinstance(choice, ToolChoiceObject) and choice.type == "allowed_tools":
            names = {one.name for one in choice.tools or ()}
            if not names <= {one.name for one in found}:
                raise refused("'tool_choice.tools' names a tool that is not among 'tools'.", "tool_choice")
            found = [one for one in found if one.name in names]
        return tuple(found)

    def _choice(self, tools: tuple[ToolDefinition, ...]) -> str:
        choice = self.tool_choice
        if isinstance(choice, ToolChoiceObject):
            if choice.type == "function":
                return named(choice.name or "", tools)
            if choice.type != "allowed_tools":
                raise refused(f"The tool {choice.type[:50]!r} is not available here.", "tool_choice")
            choice = choice.mode
        return chosen(choice, tools)


class ResponsesRequest(CountedRequest):
    """The body of `POST /v1/responses`."""

    stream: bool | None = Field(
        None, description="Server-sent events; calls of tools come whole, at the end."
    )
    store: bool | None = Field(None, description="`false`: `previous_response_id` cannot name the answer.")
    metadata: dict[str, str] | None = Field(None, description="Given back.")
    background: bool | None = Field(None, description=NOT_HERE)
    conversation: Any = Field(None, description=NOT_HERE)
    max_tool_calls: int | None = Field(None, ge=1, description=HINT)
    frequency_penalty: float | None = Field(None, description=NOT_HERE)
    presence_penalty: float | None = Field(None, description=NOT_HERE)
    prompt: dict[str, Any] | None = Field(None, description=NOT_HERE)
    top_logprobs: int | None = Field(None, description=NOT_HERE)
    include: list[str] | None = Field(
        None, description="`message.output_text.logprobs` is refused; others have no effect."
    )
    stream_options: dict[str, Any] | None = Field(None, description=HINT)
    prompt_cache_key: str | None = Field(None, description=HINT)
    prompt_cache_retention: str | None = Field(None, description=HINT)
    safety_identifier: str | None = Field(None, description=HINT)
    service_tier: str | None = Field(None, description=HINT)
    user: str | None = Field(None, description=HINT)

    def asked(self, api: ModelApi, known: Callable[[str], SaidBefore | None]) -> ApiRequest:
        if "message.output_text.logprobs" in (self.include or ()):
            raise refused(
                "Unsupported value: logprobs are not available here.", "include", "unsupported_value"
            )
        return super().asked(api, known)


_ONLY: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "conversation": (),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "prompt": (),
    "top_logprobs": (0,),
}


def _messages(given: str | list[Item] | None, before: list[Message]) -> list[Message]:
    if given is None or isinstance(given, str):
        return [Message(role="user", content=given)] if given else []
    messages: list[Message] = []
    calls = {call.id: call for one in before for call in one.calls}
    thought = ""
    for index, item in enumerate(given):
        place = f"input[{index}]"
        match item.type or "message":
            case "message":
                role, text = item.role or "user", text_of(item.content, _TEXTS, f"{place}.content")
                if role == "assistant":
                    messages.append(answer_of(text, thought))
                    thought = ""
                else:
                    messages.append(Message(role="user" if role == "user" else "system", content=text))
            case "reasoning":
                parts = item.content if isinstance(item.content, list) else item.summary or []
                thought = "\n".join(part.text or "" for part in parts)
            case "function_call":
                if not item.call_id or not item.name or len(item.name) > 128:
                    raise refused(f"'{place}' must have a call_id and a name.", place)
                call = ToolCall(id=item.call_id[:200], name=item.name, arguments=item.arguments or "{}")
                calls[item.call_id] = call
                last = messages[-1] if messages and messages[-1].role == "assistant" else None
                base = messages.pop() if last else answer_of("", thought)
                thought = ""
                own = (*base.calls, call)
                messages.append(Message(role="assistant", content=base.content, parts=base.parts, calls=own))
            case "function_call_output":
                text = text_of(item.output, _TEXTS, f"{place}.output")
                messages.append(result_of(calls, item.call_id or "", text, f"{place}.call_id"))
            case kind:
                raise refused(f"An item of type {kind[:50]!r} is not available here.", f"{place}.type")
    return messages
