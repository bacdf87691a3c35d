"""Anthropic's Messages API: what is sent, and what is made of what comes back.

Above: `anthropic.py`. Below: the plain values of `endpoint_asking.py`. A form is asked for as the input of a
tool that the model has to use, since every endpoint of this dialect has that. What was thought goes back as
it came, with the signature that the endpoint gave it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from samovar.config.declared import DeclaredExecutor
from samovar.errors import SamovarError, UsageError
from samovar.executors.endpoint_answer import CallPiece, Ended, Heard, ModelDeclined, Over, Said, Used
from samovar.executors.endpoint_asking import Asked
from samovar.executors.endpoint_forms import ToolNames
from samovar.executors.history import Dialogue
from samovar.generation import FinishReason, Message, Options

FORM_TOOL = "give_the_answer"
"""The tool whose input is the answer."""
LEAST_THINKING_TOKENS = 1024
"""What the API takes as the least."""
_REASONS: Mapping[str, FinishReason] = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.CALLS,
}
Block = dict[str, Any]


class MessagesDialect:
    """See `endpoint_asking.EndpointDialect`. Mutable: by model, what it cannot take."""

    droppable: ClassVar[frozenset[str]] = frozenset(("temperature", "top_p", "top_k"))

    def __init__(self, client: Any, declared: DeclaredExecutor) -> None:
        self._client, self._declared = client, declared
        self._dropped: dict[str, set[str]] = {}

    def drop(self, name: str, model: str) -> None:
        self._dropped.setdefault(model, set()).add(name)

    async def model(self) -> str:
        raise self.needs_model(self._declared)

    @staticmethod
    def needs_model(declared: DeclaredExecutor) -> SamovarError:
        """What is said where no model is named."""
        return UsageError(
            f"The executor {declared.name!r} needs a model: name it with model=…, or in {declared.table}."
        )

    async def stream(self, body: dict[str, Any]) -> Any:
        own = {name: value for name, value in body.items() if name not in self.droppable}
        # Models of some age and other endpoints take these, which the client has no names for.
        more = {name: body[name] for name in self.droppable & body.keys()}
        return await self._client.messages.create(**own, extra_body=more)

    def reader(self, asked: Asked) -> MessagesReader:
        return MessagesReader(awaits_form=asked.form is not None and not asked.options.think)

    def body(self, asked: Asked) -> dict[str, Any]:
        options, dropped = asked.options, self._dropped.get(asked.model, set())
        messages = asked.conversation.messages
        body: dict[str, Any] = {
            "model": asked.model,
            "messages": list(_turns(asked.conversation, asked.names)),
            "max_tokens": options.max_tokens,
            "stream": True,
        }
        if system := "\n\n".join(one.content for one in messages if one.role == "system"):
            body["system"] = system
        if options.stop:
            body["stop_sequences"] = [text for text in options.stop if text.strip()]
        body |= _thinking(options) if options.think else _sampling(options)
        if asked.form is not None and options.think:  # which no tool may be forced with
            body["output_config"] = {"format": {"type": "json_schema", "schema": asked.form.schema}}
        body |= _tools(asked)
        return {name: value for name, value in body.items() if name not in dropped}


def _sampling(options: Options) -> dict[str, Any]:
    sampling = options.sampling
    if sampling.temperature > 1:
        raise UsageError(f"temperature is at most 1 with this executor, not {sampling.temperature:g}.")
    given: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.top_p != 1.0:
        given["top_p"] = sampling.top_p
    if sampling.top_k:
        given["top_k"] = sampling.top_k
    return given


def _thinking(options: Options) -> dict[str, Any]:
    if options.max_tokens <= LEAST_THINKING_TOKENS:
        raise UsageError(
            f"think=on needs more than {LEAST_THINKING_TOKENS} tokens with this executor, and max_tokens is "
            f"{options.max_tokens}: give it more with max_tokens=…"
        )
    budget = max(LEAST_THINKING_TOKENS, options.max_tokens // 2)
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _tools(asked: Asked) -> dict[str, Any]:
    """The tools, and which of them the model has to use."""
    options, form = asked.options, asked.form
    tools: list[Block] = [
        {
            "name": asked.names.encoded(one.name),
            "description": one.description,
            "input_schema": json.loads(one.parameters),
        }
        for one in options.tools
    ]
    words = {"auto": "auto", "none": "none", "required": "any"}
    choice: Block = {"type": words.get(options.tool_choice, "tool")}
    if choice["type"] == "tool":
        choice["name"] = asked.names.encoded(options.tool_choice)
    if form is not None and not options.think:
        told = "Gives the answer. Use it once, when the answer is known."
        tools.append({"name": FORM_TOOL, "description": told, "input_schema": form.schema})
        if not options.tools or choice["type"] == "none":
            choice = {"type": "tool", "name": FORM_TOOL}
        elif choice["type"] == "auto":
            choice = {"type": "any"}
    return {"tools": tools, "tool_choice": choice} if tools else {}


def _turns(conversation: Dialogue, names: ToolNames) -> Iterator[dict[str, Any]]:
    """The messages: what tools gave back is said by the user, all results of one answer at once."""
    results: list[Block] = []
    for message in conversation.messages:
        if message.role == "tool":
            results.append(_result(message))
            continue
        if message.role == "user" and results:
            yield {"role": "user", "content": [*results, {"type": "text", "text": message.content}]}
            results = []
            continue
        if results:
            yield {"role": "user", "content": results}
            results = []
        if message.role == "user":
            yield {"role": "user", "content": message.content}
        elif message.role == "assistant" and (blocks := _said(message, conversation, names)):
            yield {"role": "assistant", "content": blocks}
    if results:
        yield {"role": "user", "content": results}


def _said(message: Message, conversation: Dialogue, names: ToolNames) -> Sequence[Block]:
    """What an assistant said; nothing is left out of what the endpoint wants back."""
    native = conversation.native_of(message)
    if isinstance(native, list):
        return native
    blocks: list[Block] = [{"type": "text", "text": message.content}] if message.content.strip() else []
    blocks += [
        {"type": "tool_use", "id": one.id, "name": names.encoded(one.name), "input": _object(one.arguments)}
        for one in message.calls
    ]
    return blocks


def _result(message: Message) -> Block:
    assert message.call is not None, "what a tool gave back belongs to a call"
    return {"type": "tool_result", "tool_use_id": message.call.id, "content": message.content}


def _object(text: str) -> dict[str, Any]:
    """The arguments of a call; those that are not an object, which a model may write, as one."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"arguments": value}


class MessagesReader:
    """See `endpoint_asking.StreamReader`. Mutable: the blocks so far."""

    def __init__(self, *, awaits_form: bool = False) -> None:
        """`awaits_form`: the answer is the input of a tool, and what is said beside it is not."""
        self._aside: str | None = "" if awaits_form else None
        self._blocks: dict[int, Block] = {}
        self._written: dict[int, str] = {}
        """What came of the input of a tool, as text."""

    @property
    def native(self) -> list[Block] | None:
        """All blocks, where what was thought is among them; else what was said is enough."""
        kinds = {block["type"] for block in self._blocks.values()}
        if not kinds & {"thinking", "redacted_thinking"}:
            return None
        for index, text in self._written.items():
            self._blocks[index]["input"] = _object(text or "{}")
        blocks = (self._blocks[index] for index in sorted(self._blocks))
        return [
            block
            for block in blocks
            if not (block["type"] == "text" and not block["text"].strip()) and block.get("name") != FORM_TOOL
        ]

    def read(self, chunk: Any) -> Iterable[Heard]:
        match chunk.type:
            case "message_start":
                yield _used(chunk.message.usage)
            case "content_block_start":
                yield from self._begin(int(chunk.index), chunk.content_block)
            case "content_block_delta":
                yield from self._go_on(int(chunk.index), chunk.delta)
            case "message_delta":
                yield _used(chunk.usage)
                if (reason := chunk.delta.stop_reason) == "refusal":
                    yield ModelDeclined()
                elif reason is not None:
                    if self._aside and not self._has_form:  # an endpoint that knows no tools
                        yield Said(text=self._aside)
                    yield Ended(reason=self._reason(reason))
            case "message_stop":
                yield Over()

    @property
    def _has_form(self) -> bool:
        return any(block.get("name") == FORM_TOOL for block in self._blocks.values())

    def _heard(self, text: str) -> Said:
        if self._aside is None:
            return Said(text=text)
        self._aside += text
        return Said(text="")

    def _reason(self, reason: str) -> FinishReason:
        found = _REASONS.get(reason, FinishReason.STOP)
        names = [block["name"] for block in self._blocks.values() if block["type"] == "tool_use"]
        if found is FinishReason.CALLS and names and set(names) == {FORM_TOOL}:
            return FinishReason.STOP
        return found

    def _begin(self, index: int, block: Any) -> Iterator[Heard]:
        match block.type:
            case "text":
                self._blocks[index] = {"type": "text", "text": _text(block.text or "")}
                if block.text:
                    yield self._heard(block.text)
            case "thinking":
                self._blocks[index] = {"type": "thinking", "thinking": "", "signature": ""}
            case "redacted_thinking":
                self._blocks[index] = {"type": "redacted_thinking", "data": block.data}
            case "tool_use":
                name = _text(block.name)
                self._blocks[index] = {"type": "tool_use", "id": _text(block.id), "name": name, "input": {}}
                self._written[index] = ""
                if name != FORM_TOOL:
                    yield CallPiece(index=index, id=_text(block.id), name=name)

    def _go_on(self, index: int, delta: Any) -> Iterator[Heard]:
        block = self._blocks[index] if delta.type != "citations_delta" else {}
        match delta.type:
            case "text_delta":
                block["text"] += _text(delta.text)
                yield self._heard(delta.text)
            case "thinking_delta":
                block["thinking"] += _text(delta.thinking)
                yield Said(text=delta.thinking, kind="reasoning")
            case "signature_delta":
                block["signature"] += _text(delta.signature)
            case "input_json_delta":
                piece = _text(delta.partial_json)
                self._written[index] += piece
                if block["name"] == FORM_TOOL:
                    yield Said(text=piece)
                else:
                    yield CallPiece(index=index, arguments=piece)


def _used(usage: Any) -> Used:
    """What is said of tokens. Those read from a cache of the endpoint were there already."""
    if usage is None:
        return Used()
    read, made = (
        getattr(usage, "cache_read_input_tokens", None),
        getattr(usage, "cache_creation_input_tokens", None),
    )
    given = getattr(usage, "input_tokens", None)
    return Used(
        evaluated=None if given is None else int(given) + int(made or 0),
        reused=None if read is None else int(read),
        generated=None if usage.output_tokens is None else int(usage.output_tokens),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} where text was due")
    return value
