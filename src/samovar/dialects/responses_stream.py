"""OpenAI's responses, which are Open Responses too: the reply, whole and as a stream of numbered events.

Above: `routes.py`. Below: `responses_reply.py`, `http.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from samovar.dialects.base import ApiRequest
from samovar.dialects.failures import ApiFailure
from samovar.dialects.http import Event, ReplyWriter
from samovar.dialects.responses_reply import (
    Resource,
    call_item,
    item_id,
    message_item,
    output_of,
    reasoning_item,
    reasoning_part,
    text_part,
)
from samovar.dialects.responses_request import ResponsesRequest
from samovar.executors.base import PromptReply
from samovar.generation import FinishReason, PartKind, PromptEvaluating, TextGenerated


class ResponsesWriter(ReplyWriter):
    """See `http.ReplyWriter`. Mutable: the item that is being written, and those that are."""

    def __init__(self, body: ResponsesRequest, asked: ApiRequest) -> None:
        self._resource = Resource(body, asked)
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._open: PartKind | None = None
        self._text = ""

    def whole(self, reply: PromptReply) -> dict[str, Any]:
        return self._resource.ended(reply, output_of(reply, self._resource.id))

    def begin(self, evaluating: PromptEvaluating | None) -> Iterable[Event]:
        yield self._event("response.created", response=self._resource.begun("in_progress"))
        yield self._event("response.in_progress", response=self._resource.begun("in_progress"))

    def piece(self, piece: TextGenerated) -> Iterable[Event]:
        if self._open != piece.kind:
            yield from self._close("completed")
            yield from self._begin_item(piece.kind)
        self._text += piece.piece
        if piece.kind == "text":
            yield self._of_part("response.output_text.delta", delta=piece.piece, logprobs=[])
        else:
            yield self._of_part("response.reasoning.delta", delta=piece.piece)

    def end(self, reply: PromptReply) -> Iterable[Event]:
        is_cut = reply.finish_reason is FinishReason.LENGTH
        if self._open is None and not self._output and not reply.calls:
            yield from self._begin_item("text")  # an answer without a word is one, too
        yield from self._close("incomplete" if is_cut else "completed")
        for call in reply.calls:
            id = self._item
            yield self._of_item("response.output_item.added", item=call_item(id, call, "in_progress"))
            where = {"item_id": id}
            yield self._of_item("response.function_call_arguments.delta", delta=call.arguments, **where)
            yield self._of_item("response.function_call_arguments.done", arguments=call.arguments, **where)
            yield from self._done(call_item(id, call, "completed"))
        name = "response.incomplete" if is_cut else "response.completed"
        yield self._event(name, response=self._resource.ended(reply, self._output))
        yield Event(data="[DONE]")

    def failed(self, failure: ApiFailure) -> Iterable[Event]:
        yield self._event("response.failed", response=self._resource.failed(failure))
        yield Event(data="[DONE]")

    @property
    def _item(self) -> str:
        """The id of the item that is being written."""
        return item_id(self._resource.id, len(self._output))

    def _begin_item(self, kind: PartKind) -> Iterator[Event]:
        self._open, self._text = kind, ""
        is_text = kind == "text"
        item = (message_item if is_text else reasoning_item)(self._item, None, "in_progress")
        yield self._of_item("response.output_item.added", item=item)
        part = (text_part if is_text else reasoning_part)("")
        yield self._of_part("response.content_part.added", part=part)

    def _close(self, status: str) -> Iterator[Event]:
        """The end of the item that is being written, if there is one."""
        if self._open is None:
            return
        if self._open == "text":
            yield self._of_part("response.output_text.done", text=self._text, logprobs=[])
            part, item = text_part(self._text), message_item(self._item, self._text, status)
        else:
            yield self._of_part("response.reasoning.done", text=self._text)
            part, item = reasoning_part(self._text), reasoning_item(self._item, self._text, status)
        yield self._of_part("response.content_part.done", part=part)
        self._open = None
        yield from self._done(item)

    def _done(self, item: dict[str, Any]) -> Iterator[Event]:
        yield self._of_item("response.output_item.done", item=item)
        self._output.append(item)

    def _of_part(self, name: str, **more: Any) -> Event:
        return self._of_item(name, item_id=self._item, content_index=0, **more)

    def _of_item(self, name: str, **more: Any) -> Event:
        return self._event(name, output_index=len(self._output), **more)

    def _event(self, name: str, **more: Any) -> Event:
        self._number += 1
        return Event(name=name, data={"type": name, "sequence_number": self._number - 1, **more})
