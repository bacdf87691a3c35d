"""Answers prompts by any endpoint that speaks OpenAI's chat completions: a server here, or a provider.

Above: `table.py`, which names it. Below: `endpoint_executor.py`, which does the rest; the official client,
imported when a run first asks. llama-server, Ollama, vLLM and LM Studio speak this dialect, like most clouds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from samovar.config.providers import OPENAI, Provider
from samovar.errors import UsageError
from samovar.executors.base import ExecutorAbilities
from samovar.executors.endpoint import Endpoint
from samovar.executors.endpoint_answer import CallPiece, Ended, Heard, ModelDeclined, Said, Used
from samovar.executors.endpoint_asking import Asked, EndpointDialect
from samovar.executors.endpoint_client import NO_KEY
from samovar.executors.endpoint_executor import EndpointExecutor
from samovar.executors.endpoint_forms import ToolNames
from samovar.generation import FinishReason, Message, Options

MOST_STOPS = 4
"""Stop texts that an endpoint takes; all are looked for here as well."""
_REASONS: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.CALLS,
    "function_call": FinishReason.CALLS,
}


class OpenAIExecutor(EndpointExecutor):
    """See `executors.base.Executor`."""

    provider: ClassVar[Provider] = OPENAI
    abilities: ClassVar[ExecutorAbilities] = ExecutorAbilities(
        choices=True,
        schema=True,
        tools=True,
        sessions=True,
        fork=True,
        sampling=frozenset(("temperature", "top_p", "seed")),
        stop=True,
        usage=True,
    )

    def dialect(self, endpoint: Endpoint, http: Any) -> EndpointDialect:
        import openai

        client = openai.AsyncOpenAI(
            api_key=endpoint.key or NO_KEY, base_url=endpoint.url, max_retries=0, http_client=http
        )
        return ChatDialect(client, endpoint)


class ChatDialect:
    """See `endpoint_asking.EndpointDialect`. Mutable: by model, what it cannot take."""

    droppable: ClassVar[frozenset[str]] = frozenset(
        ("max_tokens", "temperature", "top_p", "seed", "stop", "stream_options")
    )

    def __init__(self, client: Any, endpoint: Endpoint) -> None:
        self._client, self._endpoint = client, endpoint
        self._dropped: dict[str, set[str]] = {}
        self._model: str | None = None

    def drop(self, name: str, model: str) -> None:
        self._dropped.setdefault(model, set()).add(name)

    async def model(self) -> str:
        """The only model that there is, if there is only one."""
        if self._model is None:
            found = [one.id for one in (await self._client.models.list()).data]
            if len(found) != 1:
                some = (
                    f": there is {', '.join(map(str, found[:5]))}" + " …" * (len(found) > 5) if found else ""
                )
                raise UsageError(
                    f"The executor {self._endpoint.executor!r} ({self._endpoint.host}) does not know which "
                    f"model is meant{some}. Name it with model=… or in {self._endpoint.table}."
                )
            self._model = str(found[0])
        return self._model

    async def stream(self, body: dict[str, Any]) -> Any:
        return await self._client.chat.completions.create(**body)

    def reader(self, asked: Asked) -> ChatReader:
        return ChatReader()

    def body(self, asked: Asked) -> dict[str, Any]:
        options = asked.options
        dropped = self._dropped.get(asked.model, set())
        body: dict[str, Any] = {
            "model": asked.model,
            "messages": [_message(one, asked.names) for one in asked.conversation.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": options.max_tokens,
        } | _sampling(options)
        if options.stop:
            body["stop"] = list(options.stop[:MOST_STOPS])
        if asked.form is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": asked.form.schema, "strict": True},
            }
        if options.tools:
            body |= _tools(options, asked.names)
        if "max_tokens" in dropped:
            body["max_completion_tokens"] = options.max_tokens
        return {name: value for name, value in body.items() if name not in dropped}


def _sampling(options: Options) -> dict[str, Any]:
    sampling = options.sampling
    given: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.top_p != 1.0:
        given["top_p"] = sampling.top_p
    if sampling.temperature:
        given["seed"] = sampling.seed
    return given


def _tools(options: Options, names: ToolNames) -> dict[str, Any]:
    choice = options.tool_choice
    is_word = choice in ("auto", "none", "required")
    named = {"type": "function", "function": {"name": names.encoded(choice)}}
    return {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": names.encoded(one.name),
                    "description": one.description,
                    "parameters": json.loads(one.parameters),
                },
            }
            for one in options.tools
        ],
        "tool_choice": choice if is_word else named,
    }


def _message(message: Message, names: ToolNames) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        told["content"] = message.content or None
        told["tool_calls"] = [
            {
                "id": one.id,
                "type": "function",
                "function": {"name": names.encoded(one.name), "arguments": one.arguments},
            }
            for one in message.calls
        ]
    if message.call is not None:
        told["tool_call_id"] = message.call.id
    return told


class ChatReader:
    """See `endpoint_asking.StreamReader`."""

    def __init__(self) -> None:
        self._refusal = ""

    @property
    def native(self) -> None:
        """See `endpoint_asking.StreamReader`: what was said is enough."""
        return None

    def read(self, chunk: Any) -> Iterable[Heard]:
        for choice in chunk.choices or ():
            yield from self._of_choice(choice)
        if chunk.usage is not None:
            yield _used(chunk.usage)

    def _of_choice(self, choice: Any) -> Iterator[Heard]:
        delta = choice.delta
        if delta is not None:
            thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
            if thought:
                yield Said(text=_text(thought), kind="reasoning")
            if delta.content:
                yield Said(text=_text(delta.content))
            self._refusal += _text(getattr(delta, "refusal", None) or "")
            for one in delta.tool_calls or ():
                function = one.function
                yield CallPiece(
                    index=int(one.index or 0),
                    id=_text(one.id or ""),
                    name=_text(function.name or "") if function else "",
                    arguments=_text(function.arguments or "") if function else "",
                )
        reason = choice.finish_reason
        if reason is None:
            return
        if self._refusal or reason == "content_filter":
            yield ModelDeclined(why=self._refusal or "its content filter was met")
        else:
            yield Ended(reason=_REASONS.get(reason, FinishReason.STOP))


def _used(usage: Any) -> Used:
    cached = getattr(usage.prompt_tokens_details, "cached_tokens", None)
    reused = cached if isinstance(cached, int) else None
    return Used(
        evaluated=int(usage.prompt_tokens) - (reused or 0),
        reused=reused,
        generated=int(usage.completion_tokens),
        reasoning=getattr(usage.completion_tokens_details, "reasoning_tokens", None),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} where text was due")
    return value
