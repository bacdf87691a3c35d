"""Anthropic's Messages API: the reply, whole and as a stream.

Above: `routes.py`. Below: `messages_request.py` for its errors, `http.py`. Reasoning is blocks of thinking;
they have an empty signature, since nobody has to be kept from changing them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from samovar.dialects.failures import ApiFailure
from samovar.dialects.http import Event, ReplyWriter
from samovar.dialects.messages_request import error_of
from samovar.executors.base import PromptReply
from samovar.generation import FinishReason, MessagePart, PartKind, PromptEvaluating, TextGenerated, ToolCall

_REASONS: Mapping[FinishReason, str] = {FinishReason.LENGTH: "max_tokens", FinishReason.CALLS: "tool_use"}


class MessagesWriter(ReplyWriter):
    """See `http.ReplyWriter`."""

    ping: ClassVar[bytes] = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, id: str, model: str) -> None:
        self._id, self._model = id, model
        self._index = 0
        self._open: PartKind | None = None

    def whole(self, reply: PromptReply) -> dict[str, Any]:
        parts = reply.parts or (MessagePart(text=reply.text),)
        content = [_block(one.kind, one.text) for one in parts if one.kind != "call" and one.text]
        content += [_use(one, json.loads(one.arguments)) for one in reply.calls]
        usage = _usage(reply.tokens.evaluated, reply.tokens.reused, reply.tokens.generated)
        return self._message(content, _reason(reply), usage)

    def _message(
        self, content: list[dict[str, Any]], reason: str | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }

    def begin(self, evaluating: PromptEvaluating | None) -> Iterable[Event]:
        reused = evaluating.reused_tokens if evaluating else 0
        total = evaluating.total_tokens if evaluating else 0
        message = self._message([], None, _usage(total - reused, reused, 0))
        yield _event("message_start", message=message)

    def piece(self, piece: TextGenerated) -> Iterable[Event]:
        if self._open != piece.kind:
            yield from self._close()
            self._open = piece.kind
            yield _event("content_block_start", index=self._index, content_block=_block(piece.kind, ""))
        if piece.kind == "text":
            delta = {"type": "text_delta", "text": piece.piece}
        else:
            delta = {"type": "thinking_delta", "thinking": piece.piece}
        yield _event("content_block_delta", index=self._index, delta=delta)

    def end(self, reply: PromptReply) -> Iterable[Event]:
        yield from self._close()
        for call in reply.calls:
            yield _event("content_block_start", index=self._index, content_block=_use(call, {}))
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            yield _event("content_block_delta", index=self._index, delta=delta)
            yield from self._stop()
        usage = _usage(reply.tokens.evaluated, reply.tokens.reused, reply.tokens.generated)
        ended = {"stop_reason": _reason(reply), "stop_sequence": None}
        yield _event("message_delta", delta=ended, usage=usage)
        yield _event("message_stop")

    def failed(self, failure: ApiFailure) -> Iterable[Event]:
        yield Event(name="error", data=error_of(failure))

    def _close(self) -> Iterator[Event]:
        if self._open == "reasoning":
            delta = {"type": "signature_delta", "signature": ""}
            yield _event("content_block_delta", index=self._index, delta=delta)
        if self._open is not None:
            self._open = None
            yield from self._stop()

    def _stop(self) -> Iterator[Event]:
        yield _event("content_block_stop", index=self._index)
        self._index += 1


def _event(name: str, **more: Any) -> Event:
    return Event(name=name, data={"type": name, **more})


def _block(kind: PartKind, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"type": "thinking", "thinking": text, "signature": ""}
    return {"type": "text", "text": text}


def _use(call: ToolCall, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _reason(reply: PromptReply) -> str:
    return _REASONS.get(reply.finish_reason, "end_turn")


def _usage(evaluated: int, reused: int, generated: int) -> dict[str, Any]:
    return {
        "input_tokens": evaluated,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reused,
        "output_tokens": generated,
    }
