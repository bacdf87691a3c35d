"""OpenAI's chat completions: the reply, whole and as a stream.

Above: `routes.py`. Below: `http.py`. Reasoning is `reasoning_content`, as the servers of open models have it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from samovar.dialects.failures import ApiFailure
from samovar.dialects.http import Event, ReplyWriter
from samovar.dialects.openai_shape import error_of, prompt_tokens
from samovar.executors.base import PromptReply
from samovar.generation import FinishReason, PromptEvaluating, TextGenerated, TokenCounts, ToolCall

_REASONS: Mapping[FinishReason, str] = {
    FinishReason.LENGTH: "length",
    FinishReason.CALLS: "tool_calls",
}


class ChatWriter(ReplyWriter):
    """See `http.ReplyWriter`."""

    def __init__(self, id: str, model: str, *, includes_usage: bool = False) -> None:
        self._id, self._model, self._includes_usage = id, model, includes_usage
        self._created = int(time.time())

    def whole(self, reply: PromptReply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.calls:
            message["content"] = reply.text or None
            message["tool_calls"] = [_call(one) for one in reply.calls]
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(reply)}
        return self._object("chat.completion", [choice]) | {"usage": _usage(reply.tokens)}

    def begin(self, evaluating: PromptEvaluating | None) -> Iterable[Event]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def piece(self, piece: TextGenerated) -> Iterable[Event]:
        name = "content" if piece.kind == "text" else "reasoning_content"
        yield self._chunk({name: piece.piece})

    def end(self, reply: PromptReply) -> Iterable[Event]:
        for index, one in enumerate(reply.calls):
            yield self._chunk({"tool_calls": [{"index": index, **_call(one)}]})
        yield self._chunk({}, _reason(reply))
        if self._includes_usage:
            body = self._object("chat.completion.chunk", []) | {"usage": _usage(reply.tokens)}
            yield Event(data=body)
        yield Event(data="[DONE]")

    def failed(self, failure: ApiFailure) -> Iterable[Event]:
        yield Event(data={"error": error_of(failure)})
        yield Event(data="[DONE]")

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        body = self._object("chat.completion.chunk", [choice])
        return Event(data=body | {"usage": None} if self._includes_usage else body)

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
            "choices": choices,
        }


def _reason(reply: PromptReply) -> str:
    return _REASONS.get(reply.finish_reason, "stop")


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _usage(tokens: TokenCounts) -> dict[str, Any]:
    prompt = prompt_tokens(tokens)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.generated,
        "total_tokens": prompt + tokens.generated,
        "prompt_tokens_details": {"cached_tokens": tokens.reused},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
