"""Loaded weights that can only embed: the contract's `Model` without an arena.

Above: `engine.py` makes it, the pool lends it. Below: `embedding.py`. Asked for an answer it says what it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.to_thread

from samovar.engines.base import Conversation, GenerationEvent, ModelStatistics, OnEnd
from samovar.engines.llama.embedding import EmbeddedModel, Embedding
from samovar.engines.llama.mapping import alone_with
from samovar.generation import Embeddings, GoingOn, Message, Options, TokenCounts
from samovar.models.capabilities import Capability
from samovar.models.cost import Cost
from samovar.models.header import Header, require


class EmbeddingModel:
    """See `engines.base.Model`. Made in a worker thread."""

    def __init__(self, model: EmbeddedModel, header: Header, cost: Cost) -> None:
        self._model, self._header = model, header
        self._weights_bytes = int(model.binding.lib.llama_model_size(model.weights))
        self._embedding = Embedding(model, cost.embedding_tokens)
        self._is_freed = False

    def generate(
        self,
        messages: Sequence[Message],
        options: Options,
        conversation: Conversation | None = None,
        *,
        on_end: OnEnd = lambda: None,
        going_on: GoingOn | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[GenerationEvent]]:
        require(self._header, Capability.ANSWER, name=self._model.reference)
        raise AssertionError("what can answer has an arena")

    async def count(self, messages: Sequence[Message], options: Options) -> int:
        require(self._header, Capability.ANSWER, name=self._model.reference)
        raise AssertionError("what can answer has an arena")

    async def embed(self, texts: Sequence[str], *, prefix: str = "") -> Embeddings:
        require(self._header, Capability.EMBED, name=self._model.reference)
        return await self._embedding.embed(texts, prefix)

    async def resize(self, cost: Cost) -> None:
        await self._embedding.resize(cost.embedding_tokens)

    def statistics(self) -> ModelStatistics:
        return ModelStatistics(
            weights_bytes=self._weights_bytes,
            kv_bytes=0,
            context_tokens=0,
            threads=self._model.threads,
            threads_reason=None,
            tuning=None,
            tokens=TokenCounts(),
            restored_tokens=0,
            restored_s=0.0,
            evaluate_s=None,
            decode_tokens_per_s=None,
            sequences_running=0,
            requests_waiting=0,
            cells_used=0,
            embedded_texts=self._embedding.texts,
            embedded_tokens=self._embedding.tokens,
            notes=self._model.binding.notes,
        )

    def check(self) -> None:
        """Nothing is counted here."""

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._embedding.close()
            await anyio.to_thread.run_sync(self.free)

    def free(self) -> None:
        """What `close` does, in a worker thread."""
        if self._is_freed:
            return
        self._is_freed = True
        self._embedding.free()
        with alone_with(self._model.path):
            self._model.binding.lib.llama_model_free(self._model.weights)
        self._model.binding.give_back_memory()
