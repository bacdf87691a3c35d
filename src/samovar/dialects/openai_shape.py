"""What OpenAI's endpoints have in common: the shape of an error, the names of places, tools, forms.

Above: `chat_request.py`, `responses_request.py`, `embeddings.py`, `routes.py`. Below: `http.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samovar.dialects.asking import any_seed
from samovar.dialects.failures import ApiFailure, ApiRefusedError, Kind, refused
from samovar.dialects.http import ApiDialect, RequestBody, schema_text
from samovar.generation import Message, Options, Sampling, TokenCounts, ToolCall, ToolDefinition

_TYPES: Mapping[Kind, str] = {
    "rate_limit": "rate_limit_error",
    "server": "server_error",
    "overloaded": "server_error",
    "timeout": "server_error",
}
_UNION_MEMBERS = frozenset(("str", "int", "float", "bool"))


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


def options_of(
    body: Any, *, max_tokens: int | None, default_tokens: int, stop: Sequence[str] = (), **more: Any
) -> Options:
    """The options that OpenAI's endpoints share. What is not given is as OpenAI has it."""
    seed = getattr(body, "seed", None)
    sampling = Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=getattr(body, "top_k", None) or 0,
        min_p=getattr(body, "min_p", None) or 0.0,
        seed=any_seed() if seed is None else seed % 2**32,
    )
    return Options(sampling=sampling, max_tokens=max_tokens or default_tokens, stop=tuple(stop), **more)


def tool_of(name: str, description: str | None, parameters: Any, param: str) -> ToolDefinition:
    """A tool that a client offers."""
    text = schema_text(parameters or {"type": "object", "properties": {}}, param)
    return ToolDefinition(name=name, description=description or "", parameters=text)


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
