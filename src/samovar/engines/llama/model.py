"""Loaded weights that can answer: the contract's `Model` on llama.cpp.

Above: `engine.py` makes it, the pool lends it. Below: one `Arena` at a time and the chat template. It frees
the arena before the weights, which the engine demands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread

from samovar.engines.base import Conversation, Finished, GenerationEvent, ModelSpec, ModelStatistics, OnEnd
from samovar.engines.llama import machine
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.arena import Arena
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.base import Carried, Prefixes
from samovar.engines.llama.prefixes.disk_index import CopyStore, DiskIndex
from samovar.engines.llama.prefixes.states import StatePrefixes
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.engines.llama.requests import Request, Usage
from samovar.engines.llama.sampling import EMPTY_LINES
from samovar.engines.llama.stream import EventStream
from samovar.engines.llama.threads import ThreadChoice
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.engines.markers import Beginning
from samovar.errors import ClosedError, ContextError, EngineError
from samovar.generation import FinishReason, Message, Options
from samovar.models.cost import MICRO_BATCH_TOKENS, Cost

EXACT_PART = 4
"""Deterministic answers get one part in so many of the room for copies, where the others need it too."""
MAX_WAITING = 256
"""Requests in the arena; further callers wait before they hand theirs over."""


class LlamaModel:
    """See `engines.base.Model`. Made in a worker thread."""

    def __init__(
        self,
        binding: Binding,
        weights: Any,
        vocabulary: Vocabulary,
        template: ChatTemplate,
        *,
        spec: ModelSpec,
        cost: Cost,
        trained_tokens: int,
        store: CopyStore | None,
    ) -> None:
        """`trained_tokens`: what the arena may grow to where the spec asks for no size."""
        self._binding, self._weights, self._vocabulary, self._template = (
            binding,
            weights,
            vocabulary,
            template,
        )
        self._spec, self._cost = spec, cost
        self._using_weights = threading.Lock()
        """Held in worker threads, beside the arena, which is closed before the weights go."""
        self._weights_bytes = int(binding.lib.llama_model_size(weights))
        self._usage = Usage()
        self._disk = DiskIndex(
            store, max(1, cost.kv_bytes // cost.context_tokens), evaluate_s=self._usage.evaluating_s
        )
        self._arena = self._make_arena(cost, [])
        self._trained_tokens = trained_tokens
        self._most_tokens = trained_tokens if spec.context_tokens is None else self._arena.cells
        # What the arena was asked by those who are still here, and who waits to replace it; belongs to the
        # event loop's thread.
        self._asked: set[Request] = set()
        self._tokenizing = anyio.CapacityLimiter(1)
        self._resizing = anyio.Lock()
        self._turns = anyio.Semaphore(MAX_WAITING)
        self._closed = False

    def _make_arena(self, cost: Cost, carried: list[Carried]) -> Arena:
        """Raises `EngineError` when there is no room; then nothing is left of it."""
        threads = self._spec.threads or machine.usable_cores()
        context = Context(
            self._binding,
            self._weights,
            cells=cost.context_tokens,
            threads=threads,
            kv_type=self._spec.kv_type,
        )
        try:
            return self._fill_arena(context, threads, cost, carried)
        except BaseException as error:  # the context is nobody's yet
            context.close()
            if isinstance(error, MemoryError):
                raise EngineError(
                    f"There is no memory for a context of {cost.context_tokens} tokens and its prefixes."
                ) from error
            raise

    def _fill_arena(self, context: Context, threads: int, cost: Cost, carried: list[Carried]) -> Arena:
        """An arena that owns `context` from now on, with what another has `carried`."""
        # Where prefixes are copies too, both kinds share what was counted on.
        exact_bytes = cost.snapshot_bytes
        prefixes: Prefixes
        if context.keeps_whole_states:
            exact_bytes //= EXACT_PART
            prefixes = StatePrefixes(context, self._disk, limit_bytes=cost.snapshot_bytes - exact_bytes)
        else:
            prefixes = TreePrefixes(context, self._disk)
        exact = StatePrefixes(context, DiskIndex(None, 1), limit_bytes=exact_bytes, border=MICRO_BATCH_TOKENS)
        prefixes.accept(carried)
        return Arena(
            self._binding,
            context,
            self._vocabulary,
            prefixes=prefixes,
            exact=exact,
            usage=self._usage,
            threads=ThreadChoice(threads, is_fixed=self._spec.threads is not None),
        )

    async def _prompt(self, messages: Sequence[Message], options: Options) -> tuple[list[int], TokenAnswer]:
        """In a worker thread, so that the event loop goes on; one after the other, in the order of asking."""
        return await anyio.to_thread.run_sync(self._prompt_here, messages, options, limiter=self._tokenizing)

    def _prompt_here(self, messages: Sequence[Message], options: Options) -> tuple[list[int], TokenAnswer]:
        with self._using_weights:
            if self._weights is None:
                raise ClosedError("The model was closed.")
            prompt = self._template.prompt(messages, options)
            return prompt.tokens, self._template.answer(options, prompt.beginning)

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
        if answer.thinks_first:  # what is kept for the choice is not spent on the reasoning
            kept = asked + EMPTY_LINES
            asked = kept + options.max_tokens
        if room < 1 or (options.choices and room < (kept + 1 if kept else asked)):
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
    ) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        if self._closed:
            raise ClosedError("The model was closed.")
        tokens, answer = await self._prompt(messages, options)
        async with self._turns:
            async with self._resizing:
                if self._arena.is_broken:
                    await self._replace(self._cost)
                is_secret = any(message.secret for message in messages)
                request = self._request(tokens, options, conversation, on_end, answer, is_secret=is_secret)
                self._arena.submit(request)
                self._asked.add(request)
            try:
                yield self._events(request)
            finally:
                with anyio.CancelScope(shield=True):
                    self._arena.end(request, FinishReason.CANCELLED)
                    await request.events.finished.wait()
                self._asked.remove(request)

    async def _events(self, request: Request) -> AsyncIterator[GenerationEvent]:
        # The clock starts with the first event: waiting in line is not the model's slowness.
        timeout_s = ceiling_s = None
        while True:
            event = await request.events.next(timeout_s)
            now_s = time.monotonic()
            if ceiling_s is None and request.options.ceiling_s is not None:
                ceiling_s = now_s + request.options.ceiling_s
            if event is None or (ceiling_s is not None and now_s > ceiling_s):
                self._arena.end(request, FinishReason.TIMEOUT)
            timeout_s = None if request.ending else request.options.timeout_s
            if event is not None:
                yield event
            if isinstance(event, Finished):
                return

    async def resize(self, cost: Cost) -> None:
        async with self._resizing:
            await self._replace(cost)

    async def _replace(self, cost: Cost) -> None:
        """Has another arena answer from now on; the answers of this one are waited for."""
        for request in list(self._asked):
            await request.events.finished.wait()  # not for its reader, who may wait for us
        if self._closed:
            raise ClosedError("The model was closed.")
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._replace_arena, cost)

    def _replace_arena(self, cost: Cost) -> None:
        """If neither the new size nor the old can be had, the arena stays closed and the next turn tries."""
        try:
            carried = self._arena.close(carry=True)
        except (EngineError, MemoryError):  # of copies; what was evaluated is evaluated again
            carried = []
        try:
            self._arena = self._make_arena(cost, carried)
        except EngineError:
            if cost != self._cost:
                self._arena = self._make_old_arena(carried)
            raise
        self._cost = cost

    def _make_old_arena(self, carried: list[Carried]) -> Arena:
        """Of the size that there was; without what was evaluated if that is too much now."""
        try:
            return self._make_arena(self._cost, carried)
        except EngineError:
            if not carried:
                raise
            return self._make_arena(self._cost, [])

    def statistics(self) -> ModelStatistics:
        books, usage = self._arena.books(), self._usage
        notes = (*self._binding.notes, *self._arena.notes(), *self._template.notes)
        return ModelStatistics(
            weights_bytes=self._weights_bytes,
            kv_bytes=self._cost.kv_bytes,
            context_tokens=self._arena.cells,
            threads=self._arena.threads.settled,
            threads_reason=self._arena.threads.reason,
            tokens=usage.tokens,
            restored_tokens=self._disk.restored_tokens,
            restored_s=self._disk.restored_s,
            evaluate_s=usage.evaluate_s,
            decode_tokens_per_s=usage.decode_tokens / usage.decode_s if usage.decode_s else None,
            sequences_running=books.running,
            requests_waiting=books.waiting + self._turns.statistics().tasks_waiting,
            cells_used=books.cells_used,
            notes=notes,
        )

    def check(self) -> None:
        if not self._closed:
            self._arena.check()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            async with self._resizing:
                await anyio.to_thread.run_sync(self.free)

    def free(self) -> None:
        """What `close` does, in a worker thread."""
        self._arena.close()
        with self._using_weights:
            self._binding.lib.llama_model_free(self._weights)
            self._weights = None
        self._binding.give_back_memory()
