"""What OpenAI's endpoints have in common: the shape of an error, the names of places, tools, forms.

Above: `chat_request.py`, `responses_request.py`, `embeddings.py`, `routes.py`, and `messages_request.py` for
what is the same in Anthropic's. Below: `http.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from samovar.dialects.asking import any_seed
from samovar.dialects.failures import ApiFailure, ApiRefusedError, Kind, refused
from samovar.dialects.http import ApiDialect, BodyPart, RequestBody, schema_text
from samovar.generation import Message, MessagePart, Sampling, TokenCounts, ToolCall, ToolDefinition

HINT = "Accepted; it has no effect."
NOT_HERE = "Not supported: refused, unless its value changes nothing."
_TYPES: Mapping[Kind, str] = {
    "rate_limit": "rate_limit_error",
    "server": "server_error",
    "overloaded": "server_error",
    "timeout": "server_error",
}
_UNION_MEMBERS = frozenset(("str", "int", "float", "bool"))


class TextPart(BodyPart):
    type: str
    text: str | None = None
    refusal: str | None = None


class OpenAIDialect(ApiDialect):
    """See `http.ApiDialect`."""

    def error(self, failure: ApiFailure) -> tuple[int, dict[str, Any]]:
        return failure.status, {"error": error_of(failure)}

    def place(self, location: tuple[str | int, ...]) -> str:
        text = ""
        for step in location:
            if isinstance(step, int):
                text += f"[{step}]"
            elif step not in _UNION_MEMBERS and "[" not in step and not step[:1].isupper():
                text += f".{step}" if text else step
        return text


OPENAI = OpenAIDialect()


def error_of(failure: ApiFailure) -> dict[str, Any]:
    """An error as OpenAI's clients know it."""
    return {
        "message": failure.message,
        "type": _TYPES.get(failure.kind, "invalid_request_error"),
        "param": failure.param,
        "code": failure.code,
    }


def check_known(body: RequestBody) -> None:
    """Raises `ApiRefusedError` for a field that there is not, as OpenAI does."""
    for name in body.model_extra or ():
        name = name[:100]
        message = f"Unknown parameter: '{name}'."
        raise ApiRefusedError(ApiFailure(message=message, param=name, code="unknown_parameter"))


def check_only(body: RequestBody, only: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises `ApiRefusedError` for a field with a value that cannot be had. `only`: those that can."""
    for name, values in only.items():
        given = getattr(body, name)
        if given not in values and given is not None:
            raise refused(f"Unsupported value: '{name}' is not available here.", name, "unsupported_value")


def sampling_of(
    temperature: float | None,
    top_p: float | None,
    *,
    top_k: int | None = None,
    min_p: float | None = None,
    seed: int | None = None,
) -> Sampling:
    """What is not given is as OpenAI has it, and Anthropic too."""
    return Sampling(
        temperature=1.0 if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        top_k=top_k or 0,
        min_p=min_p or 0.0,
        seed=any_seed() if seed is None else seed % 2**32,
    )


def tool_of(name: str, description: str | None, parameters: Any, param: str) -> ToolDefinition:
    """A tool that a client offers."""
    text = schema_text(parameters or {"type": "object", "properties": {}}, param)
    return ToolDefinition(name=name, description=description or "", parameters=text)


def chosen(choice: str | None, tools: Sequence[ToolDefinition]) -> str:
    """Which tools are called, as the waist says it. Raises `ApiRefusedError`."""
    if choice == "required" and not tools:
        raise refused("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    return choice or "auto"


def named(name: str, tools: Sequence[ToolDefinition]) -> str:
    """A tool that is to be called. Raises `ApiRefusedError` if it is not offered."""
    if name in ("auto", "none", "required") or all(one.name != name for one in tools):
        raise refused(f"The tool {name[:100]!r} is not among 'tools'.", "tool_choice")
    return name


def schema_of(kind: str, schema: Any, param: str) -> str | None:
    """The JSON Schema of a format of that type, as the waist has it. Raises `ApiRefusedError`."""
    if kind == "text":
        return None
    if kind == "json_object":
        return '{"type": "object"}'
    if schema is None:
        raise refused(f"Missing required parameter: '{param}'.", param)
    return schema_text(schema, param)


def text_of(content: str | Sequence[TextPart] | None, kinds: Collection[str], place: str) -> str:
    """The text of a message. Raises `ApiRefusedError` for a part of no such kind."""
    if content is None or isinstance(content, str):
        return content or ""
    for index, part in enumerate(content):
        if part.type not in kinds:
            kind = part.type[:50]
            raise refused(f"The model takes no {kind!r}, only text.", f"{place}[{index}].type")
    return "".join(part.text or part.refusal or "" for part in content)


def answer_of(text: str, thought: str, calls: tuple[ToolCall, ...] = ()) -> Message:
    """What the model said before."""
    parts = (MessagePart(kind="reasoning", text=thought), MessagePart(text=text)) if thought else ()
    return Message(role="assistant", content=text, parts=parts, calls=calls)


def think_of(effort: str | None) -> bool | None:
    """How much is thought is the model's own affair, but for not at all."""
    return False if effort in ("none", "minimal") else None


def with_one_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The waist has one system message, which is first: those at the head are one, later ones are said by
    the user, where they are."""
    heads = 0
    while heads < len(messages) and messages[heads].role == "system":
        heads += 1
    rest = tuple(
        Message(role="user", content=one.content) if one.role == "system" else one for one in messages[heads:]
    )
    head = "\n\n".join(one.content for one in messages[:heads])
    return (Message(role="system", content=head), *rest) if heads else rest


def result_of(calls: Mapping[str, ToolCall], call_id: str, text: str, param: str) -> Message:
    """What a tool gave back. Raises `ApiRefusedError` if nobody called it."""
    call = calls.get(call_id)
    if call is None:
        raise refused(f"No tool call found for the result with the id {call_id[:100]!r}.", param)
    return Message(role="tool", content=text, call=call)


def check_said(messages: Sequence[Message], param: str) -> None:
    """Raises `ApiRefusedError` if nothing is asked."""
    if not any(one.role != "system" for one in messages):
        raise refused(f"'{param}' has nothing that could be answered.", param)


def prompt_tokens(tokens: TokenCounts) -> int:
    """All of a prompt."""
    return tokens.evaluated + tokens.reused
