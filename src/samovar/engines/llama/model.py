"""Loaded weights that can answer: the contract's `Model` on llama.cpp.

Above: `engine.py` makes it, the pool lends it. Below: one `Arena` at a time and the chat template. It frees
the arena before the weights, which the engine demands.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from samovar.engines.base import Conversation, Finished, GenerationEvent, ModelSpec, ModelStatistics, OnEnd
from samovar.engines.lasting import Lasting, digest_of
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.arena_maker import ArenaMaker
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.choosing import EMPTY_LINES
from samovar.engines.llama.context import Context
from samovar.engines.llama.embedding import Embedding
from samovar.engines.llama.guidance import Guidance
from samovar.engines.llama.lanes import Lanes
from samovar.engines.llama.mapping import MAPPED_NOTE, alone_with
from samovar.engines.llama.offer import MOST_NOTES, tools_note
from samovar.engines.llama.requests import Request
from samovar.engines.llama.stream import EventStream
from samovar.engines.markers import Beginning
from samovar.errors import ClosedError, ContextError, EngineError
from samovar.generation import Embeddings, FinishReason, GoingOn, Message, Options
from samovar.models.cost import Cost

MAX_WAITING = 256
"""Requests in the arena; further callers wait before they hand theirs over."""


class LlamaModel:
    """See `engines.base.Model`. Made in a worker thread."""

    def __init__(
        self,
        binding: Binding,
        weights: Any,
        template: ChatTemplate,
        *,
        spec: ModelSpec,
        cost: Cost,
        trained_tokens: int,
        arenas: ArenaMaker,
        context: Context,
        embedding: Embedding,
        guidance: Guidance,
    ) -> None:
        """`trained_tokens`: what the arena may grow to if the spec asks for no size. `context`: of the
        first arena."""
        self._binding, self._weights = binding, weights
        self._template, self._embedding, self._guidance = template, embedding, guidance
        self._spec, self._cost = spec, cost
        self._notes = () if cost.repack or spec.repack is False else (MAPPED_NOTE,)
        self._lanes = Lanes()
        """Where prompts become tokens; they end before the weights go."""
        self._weights_bytes = int(binding.lib.llama_model_size(weights))
        self._arenas = arenas
        self._arena = arenas.make(cost, [], context)
        self._trained_tokens = trained_tokens
        self._most_tokens = trained_tokens if spec.context_tokens is None else self._arena.cells
        # What the arena was asked by those who are still here, and who waits to replace it; belongs to the
        # event loop's thread.
        self._asked: set[Request] = set()
        self._resizing = anyio.Lock()
        self._turns = anyio.Semaphore(MAX_WAITING)
        self._closed = False

    async def _prompt(
        self, messages: Sequence[Message], options: Options
    ) -> tuple[list[int], TokenAnswer, int]:
        """In a worker thread, so that the event loop goes on. Whoever is cancelled does not wait for it."""
        characters = sum(len(message.content) + len(message.reasoning) for message in messages)
        characters += sum(len(tool.description) + len(tool.parameters) for tool in options.tools)
        return await self._lanes.run(partial(self._prompt_here, messages, options), characters)

    def _prompt_here(
        self, messages: Sequence[Message], options: Options
    ) -> tuple[list[int], TokenAnswer, int]:
        """The prompt, what its answer is fed to, and how many of its tokens are definitions of tools."""
        prompt = self._template.prompt(messages, options)
        tools_tokens = self._template.tools_tokens(options.tools) if options.tools else 0
        return prompt.tokens, self._template.answer(options, prompt.beginning, prompt.offer), tools_tokens

    def _request(
        self,
        tokens: list[int],
        options: Options,
        conversation: Conversation | None,
        on_end: OnEnd = lambda: None,
        answer: TokenAnswer | None = None,
        *,
        is_secret: bool = False,
    ) -> Request:
        """`answer`: None for that of a prompt which has neither opened nor closed any reasoning."""
        answer = answer or self._template.answer(options, Beginning())
        room = self._arena.cells - len(tokens)
        asked, kept = options.answer_tokens, 0
        if (
            answer.thinks_first and answer.held.choices
        ):  # what is kept for the choice is not spent on the reasoning
            kept = asked + EMPTY_LINES
            asked = kept + options.max_tokens
        if room < 1 or (answer.held.choices and room < (kept + 1 if kept else asked)):
            raise ContextError(
                prompt_tokens=len(tokens),
                context_tokens=self._arena.cells,
                most_tokens=self._most_tokens,
                trained_tokens=self._trained_tokens,
                answer_tokens=asked,
            )
        return Request(
            tokens=tokens,
            options=options,
            answer=answer,
            max_tokens=min(asked, room),
            choice_tokens=kept,
            events=EventStream(on_end),
            conversation=conversation,
            is_secret=is_secret,
        )

    @asynccontextmanager
    async def generate(
        self,
        messages: Sequence[Message],
        options: Options,
        conversation: Conversation | None = None,
        *,
        on_end: OnEnd = lambda: None,
        going_on: GoingOn | None = None,
    ) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        if self._closed:
            raise ClosedError("The model was closed.")
        tokens, answer, tools_tokens = await self._prompt(messages, options)
        held_to = await self._guidance.held_to(answer, at_once=options.deterministic)
        async with self._turns:
            async with self._resizing:
                if self._arena.is_broken or (options.deterministic and self._arenas.is_tuned):
                    await self._replace(self._cost, plain=options.deterministic)
                is_secret = any(message.secret for message in messages)
                request = self._request(tokens, options, conversation, on_end, answer, is_secret=is_secret)
                request.constraint, request.tools_tokens = held_to, tools_tokens
                request.lasting = None if is_secret or going_on is None else self._lasting(request, going_on)
                note = tools_note(options, tools_tokens, self._arena.cells)
                self._notes = tuple(dict.fromkeys((*self._notes, *note)))[:MOST_NOTES]
                self._arena.submit(request)
                if held_to is not None:
                    held_to.add_done_callback(self._arena.told)
                self._asked.add(request)
            try:
                yield self._events(request)
            finally:
                with anyio.CancelScope(shield=True):
                    self._arena.end(request, FinishReason.CANCELLED)
                    await request.events.finished.wait()
                self._asked.remove(request)

    def _lasting(self, request: Request, going_on: GoingOn) -> Lasting | None:
        """What of an answer outlives the process; None if it could not go on in another."""
        copies = self._arenas.copies
        if not copies.identity or (request.options.deterministic and copies.answers is None):
            return None
        threads = self._arena.threads.most if request.options.deterministic else ""
        lasting = Lasting(
            of=digest_of(f"{copies.identity} {threads}", request.tokens, request.options),
            tell=lambda begun: request.events.tell(partial(going_on.keep, begun)),
            every_s=going_on.every_s,
        )
        lasting.choose(going_on.begun, request.max_tokens, self._arenas.vocabulary.size)
        return lasting

    async def _events(self, request: Request) -> AsyncIterator[GenerationEvent]:
        # The clock starts with the first event: waiting in line is not the model's slowness.
        timeout_s = ceiling_s = None
        while True:
            event = await request.events.next(timeout_s)
            now_s = time.monotonic()
            if ceiling_s is None and request.options.ceiling_s is not None:
                spent_s = request.lasting.spent_s if request.lasting else 0.0
                ceiling_s = now_s + request.options.ceiling_s - spent_s
            if event is None or (ceiling_s is not None and now_s > ceiling_s):
                self._arena.end(request, FinishReason.TIMEOUT)
            timeout_s = None if request.ending else request.options.timeout_s
            if event is not None:
                yield event
            if isinstance(event, Finished):
                return

    async def count(self, messages: Sequence[Message], options: Options) -> int:
        if self._closed:
            raise ClosedError("The model was closed.")
        return len((await self._prompt(messages, options))[0])

    async def embed(self, texts: Sequence[str], *, prefix: str = "") -> Embeddings:
        return await self._embedding.embed(texts, prefix)

    async def resize(self, cost: Cost) -> None:
        await self._embedding.resize(cost.embedding_tokens)
        async with self._resizing:
            if cost.context_tokens != self._cost.context_tokens:
                await self._replace(cost)
            self._cost = replace(cost, carry_bytes=0)

    async def _replace(self, cost: Cost, *, plain: bool = False) -> None:
        """Has another arena answer from now on; the answers of this one are waited for. `plain`: with the
        table's settings, for as long as the model is loaded."""
        for request in list(self._asked):
            await request.events.finished.wait()  # not for its reader, who may wait for us
        if self._closed:
            raise ClosedError("The model was closed.")
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._replace_arena, cost, plain)

    def _replace_arena(self, cost: Cost, plain: bool) -> None:
        """If neither the new size nor the old can be had, the arena stays closed and the next turn tries."""
        # Copies are beside the old context first, then beside the new: what neither needs is theirs.
        promised_bytes = max(self._cost.total_bytes, cost.replacing_bytes)
        carry_bytes = promised_bytes - max(self._cost.fixed_bytes, cost.fixed_bytes)
        changes = plain and self._arenas.is_tuned
        try:
            carried = self._arena.close(carry_bytes=0 if changes else carry_bytes)
        except (EngineError, MemoryError):  # of copies; what was evaluated is evaluated again
            carried = []
        if changes:
            self._arenas.use_table()
        try:
            self._arena = self._arenas.make(cost, carried)
        except EngineError:
            if cost != self._cost:
                self._arena = self._arenas.make_again(self._cost, carried)
            raise
        del carried
        self._binding.give_back_memory()

    def statistics(self) -> ModelStatistics:
        books, arenas, usage = self._arena.books(), self._arenas, self._arenas.usage
        notes = (*self._binding.notes, *self._arena.notes(), *self._template.notes, *self._notes)
        return ModelStatistics(
            weights_bytes=self._weights_bytes,
            kv_bytes=self._cost.kv_bytes,
            context_tokens=self._arena.cells,
            threads=self._arena.threads.settled,
            threads_reason=self._arena.threads.reason,
            tuning=str(arenas.tuning),
            tokens=usage.tokens,
            restored_tokens=arenas.disk.restored_tokens,
            restored_s=arenas.disk.restored_s,
            evaluate_s=usage.evaluate_s,
            decode_tokens_per_s=usage.decode_tokens / usage.decode_s if usage.decode_s else None,
            sequences_running=books.running,
            requests_waiting=books.waiting + self._turns.statistics().tasks_waiting,
            cells_used=books.cells_used,
            embedded_texts=self._embedding.texts,
            embedded_tokens=self._embedding.tokens,
            notes=(*notes, *arenas.tuning.notes),
        )

    def check(self) -> None:
        if not self._closed:
            self._arena.check()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._embedding.close()
            async with self._resizing:
                await anyio.to_thread.run_sync(self.free)

    def free(self) -> None:
        """What `close` does, in a worker thread."""
        self._arena.close()
        self._lanes.close()
        self._guidance.close()
        with alone_with(self._spec.path):
            self._binding.lib.llama_model_free(self._weights)
            self._weights = None
        self._binding.give_back_memory()
