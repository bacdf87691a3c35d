"""Loaded weights that can answer: the contract's `Model` on llama.cpp.

Above: `engine.py` makes it, the pool lends it. Below: one `Arena` and the chat template. It frees the
arena before the weights, which the engine demands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread

from samovar.engines.base import Finished, GenerationEvent, ModelStatistics
from samovar.engines.llama.arena import Arena
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.running import Request
from samovar.engines.llama.stream import EventStream
from samovar.errors import ClosedError, ContextError, EngineError
from samovar.generation import FinishReason, Message, Options
from samovar.models.cost import Cost

LONG_TEXT_CHARS = 20_000
"""Longer prompts are tokenized in a worker thread, so that the event loop goes on."""


class LlamaModel:
    """See `engines.base.Model`."""

    def __init__(
        self, binding: Binding, weights: Any, arena: Arena, template: ChatTemplate, *, kv_bytes: int
    ) -> None:
        self._binding, self._weights, self._arena, self._template = binding, weights, arena, template
        self._kv_bytes = kv_bytes
        self._weights_bytes = int(binding.lib.llama_model_size(weights))
        self._closed = False

    async def _tokenize(self, messages: Sequence[Message]) -> list[int]:
        if sum(len(message.content) for message in messages) < LONG_TEXT_CHARS:
            return self._template.tokens(messages)
        return await anyio.to_thread.run_sync(self._template.tokens, messages)

    def _request(self, tokens: list[int], options: Options) -> Request:
        room = self._arena.cells - len(tokens)
        asked = options.max_tokens
        if options.choices:
            # A token spells at least one byte; the last one may end the answer.
            asked = max(len(choice.encode()) for choice in options.choices) + 1
        if room < 1 or (options.choices and room < asked):
            raise ContextError(prompt_tokens=len(tokens), context_tokens=self._arena.cells)
        return Request(tokens=tokens, options=options, max_tokens=min(asked, room), events=EventStream())

    @asynccontextmanager
    async def generate(
        self, messages: Sequence[Message], options: Options
    ) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        if self._closed:
            raise ClosedError("The model was closed.")
        request = self._request(await self._tokenize(messages), options)
        self._arena.submit(request)
        try:
            yield self._events(request)
        finally:
            with anyio.CancelScope(shield=True):
                self._arena.end(request, FinishReason.CANCELLED)
                await request.events.finished.wait()

    async def _events(self, request: Request) -> AsyncIterator[GenerationEvent]:
        # The clock starts with the first event: waiting in line is not the model's slowness.
        timeout_s = None
        while True:
            event = await request.events.next(timeout_s)
            if event is None:
                self._arena.end(request, FinishReason.TIMEOUT)
                timeout_s = None
                continue
            timeout_s = None if request.ending else request.options.timeout_s
            yield event
            if isinstance(event, Finished):
                return

    async def resize(self, cost: Cost) -> None:
        raise EngineError("This model's context cannot change its size yet.")

    def statistics(self) -> ModelStatistics:
        arena = self._arena
        running, parked, waiting, used = arena.books()
        notes = list(self._binding.notes)
        if self._template.is_default:
            notes.append("The model's file has no chat template; ChatML was used.")
        return ModelStatistics(
            weights_bytes=self._weights_bytes,
            kv_bytes=self._kv_bytes,
            context_tokens=arena.cells,
            threads=arena.threads,
            tokens=arena.tokens,
            decode_tokens_per_s=arena.decode_tokens / arena.decode_s if arena.decode_s else None,
            sequences_running=running,
            sequences_parked=parked,
            requests_waiting=waiting,
            cells_used=used,
            notes=tuple(notes),
        )

    def check(self) -> None:
        if not self._closed:
            self._arena.check()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._free)

    def _free(self) -> None:
        self._arena.close()
        self._binding.lib.llama_model_free(self._weights)
        self._weights = None
        self._binding.give_back_memory()
