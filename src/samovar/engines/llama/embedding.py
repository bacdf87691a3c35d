"""Embeds texts with loaded weights: one context, created on first use, of the reserved size.

Above: `model.py` and `embedding_model.py`, which are models. Below: `embedding_context.py`, `vocabulary.py`.
Texts are embedded in groups; between two groups others have their turn. The weights are its owner's, and
outlive it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from samovar.engines.base import check_lengths
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.embedding_context import EmbeddingContext, Stopped
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import ClosedError, EngineError, UnmetError
from samovar.generation import Embeddings
from samovar.models.capabilities import Abilities

TOKENIZED_TEXTS = 64
"""In one call of a worker thread."""
TEXTS_IN_A_ROW = 8
"""Embedded before others who wait have their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedModel:
    """What texts are embedded with."""

    binding: Binding
    weights: Any
    """The engine's pointer."""
    vocabulary: Vocabulary
    abilities: Abilities
    reference: str
    path: Path
    """The file, for messages."""
    most_tokens: int
    """The longest text it takes: what it was trained for."""
    threads: int
    """As set, or one for each core."""


class Embedding:
    """Mutable: the context, and what was embedded. Belongs to the event loop's thread, but for `free`."""

    def __init__(self, model: EmbeddedModel, tokens: int) -> None:
        """`tokens`: the longest text that there is room for; 0: none."""
        self._model, self._room = model, tokens
        self._context: EmbeddingContext | None = None
        self._use = anyio.Lock(fast_acquire=True)
        """Held by anyone who uses the context."""
        self._closed = False
        self.texts = 0
        self.tokens = 0
        """Embedded so far."""

    async def embed(self, texts: Sequence[str], prefix: str) -> Embeddings:
        """See `engines.base.Model.embed`."""
        tokens = await self._tokens_of(texts, prefix)
        self._check_lengths(tokens)
        vectors: list[array[float]] = []
        position = 0
        while position < len(tokens):
            async with self._use:
                self._check_open()
                self._check_lengths(tokens)  # again: others had their turn
                context = await self._made()
                vectors += await self._stoppable(context, tokens[position : position + TEXTS_IN_A_ROW])
            position += TEXTS_IN_A_ROW
        counted = sum(map(len, tokens))
        self.texts += len(texts)
        self.tokens += counted
        return Embeddings(vectors=tuple(vectors), tokens=counted, model=self._model.reference)

    async def _tokens_of(self, texts: Sequence[str], prefix: str) -> list[list[int]]:
        self._check_open()
        tokens: list[list[int]] = []
        for start in range(0, len(texts), TOKENIZED_TEXTS):
            some = [prefix + text for text in texts[start : start + TOKENIZED_TEXTS]]
            async with self._use:  # so that the weights are there
                self._check_open()
                tokens += await anyio.to_thread.run_sync(self._tokenize_here, some)
        for number, found in enumerate(tokens, start=1):
            if not found:
                raise UnmetError(
                    f"Text {number} is empty, and this model has no token for an empty text. Leave it out."
                )
        return tokens

    def _tokenize_here(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._model.vocabulary.tokenize_text(text) for text in texts]

    def _check_lengths(self, tokens: Sequence[Sequence[int]]) -> None:
        check_lengths(
            [len(text) for text in tokens], room_tokens=self._room, most_tokens=self._model.most_tokens
        )

    async def _made(self) -> EmbeddingContext:
        """The context, which is made now if there is none."""
        if self._context is not None:
            return self._context
        with anyio.CancelScope(shield=True):  # it is nobody's until it is here
            made: EmbeddingContext = await anyio.to_thread.run_sync(self._make_here)
            self._context = made
        await anyio.lowlevel.checkpoint_if_cancelled()
        return made

    def _make_here(self) -> EmbeddingContext:
        model = self._model
        return EmbeddingContext(
            model.binding,
            model.weights,
            tokens=self._room,
            threads=model.threads,
            abilities=model.abilities,
            path=model.path,
        )

    async def _stoppable(
        self, context: EmbeddingContext, texts: Sequence[Sequence[int]]
    ) -> list[array[float]]:
        """The vectors, made in a worker thread. Cancelled, it is stopped, and has ended when this raises."""

        async def watch() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                context.stop_soon()

        context.go_on()
        self._check_open()  # after that: anyone who closes stops it from now on
        vectors: list[array[float]] | None = None
        failure: EngineError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            with anyio.CancelScope(shield=True):
                try:
                    vectors = await anyio.to_thread.run_sync(_embed, context, texts)
                except Stopped:
                    pass
                except EngineError as error:  # raised outside of the group
                    failure = error
            tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        if failure is not None:
            raise failure
        assert vectors is not None, "only closing and cancelling stop it"
        return vectors

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("The model was closed.")

    async def resize(self, tokens: int) -> None:
        """There is room for texts of `tokens` from now on; what runs ends first."""
        if tokens != self._room:
            async with self._use:
                self._room = tokens
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self.free)

    async def close(self) -> None:
        """Stops what runs, and frees the context. Safe to call twice."""
        self._closed = True
        if self._context is not None:
            self._context.stop_soon()
        with anyio.CancelScope(shield=True):
            async with self._use:
                await anyio.to_thread.run_sync(self.free)

    def free(self) -> None:
        """Frees the context; nobody uses it."""
        if self._context is not None:
            self._context.close()
            self._context = None
            self._model.binding.give_back_memory()


def _embed(context: EmbeddingContext, texts: Sequence[Sequence[int]]) -> list[array[float]]:
    """In a worker thread."""
    return [context.embed(text) for text in texts]
