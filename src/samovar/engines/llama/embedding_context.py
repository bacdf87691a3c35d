"""One llama.cpp context for embedding texts, one after the other.

Above: `embedding.py`, one of whose threads at a time calls in here (`stop_soon` apart). Below: `binding.py`.
What continues from a text token by token (causal attention) is evaluated in pieces, and its tokens' vectors
are pooled here: so only those that count are asked for, and no text must fit into one micro-batch. What reads
a text as a whole is evaluated as a whole, and pooled by the engine, which has such models' last layers.

Several texts in one batch would be no faster on a CPU, and would change each other's vectors: with quantized
weights activations are rounded, so that another order of sums changes a vector by up to 4e-3.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import add
from pathlib import Path
from typing import Any

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.numbers import unit
from samovar.errors import EngineError
from samovar.models.capabilities import Abilities, Pooling
from samovar.models.embedding_cost import batch_tokens


class Stopped(Exception):
    """`stop_soon` was called."""


class EmbeddingContext:
    """Takes texts of up to `tokens` tokens. Mutable: what it has to stop."""

    def __init__(
        self,
        binding: Binding,
        weights: Any,
        *,
        tokens: int,
        threads: int,
        abilities: Abilities,
        path: Path | None = None,
    ) -> None:
        """`path`: the model's file, for messages. Raises `EngineError` when there is no room."""
        self._path = path
        self._binding, self._ffi, self._lib = binding, binding.ffi, binding.lib
        self.tokens, self._abilities = tokens, abilities
        self._width = int(self._lib.llama_model_n_embd_out(weights))
        self._encodes = bool(self._lib.llama_model_has_encoder(weights))
        self._abort = self._ffi.new("struct ggml_tensor_head *")
        self._abort.ne = [1, 1, 1, 1]
        self._batch_tokens = batch_tokens(abilities, tokens)
        self._value = self._make(weights, threads)
        self._memory = self._lib.llama_get_memory(self._value)
        self._batch = self._lib.llama_batch_init(self._batch_tokens, 0, 1)
        for index in range(self._batch_tokens):
            self._batch.n_seq_id[index] = 1
            self._batch.seq_id[index][0] = 0

    def _make(self, weights: Any, threads: int) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = self.tokens
        params.n_batch = params.n_ubatch = self._batch_tokens
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.swa_full = False
        # Flash attention adds up in 16 bits, which changes vectors by 1e-4.
        params.flash_attn_type = 0
        params.embeddings = True
        params.pooling_type = int(self._abilities.pooling if self._abilities.reads_whole else Pooling.NONE)
        # As in `context.py`: asked before every node of the graph, without the interpreter.
        params.abort_callback = self._ffi.cast("ggml_abort_callback", self._lib.ggml_is_empty)
        params.abort_callback_data = self._abort
        self._binding.errors_of_this_thread()
        context = self._lib.llama_init_from_model(weights, params)
        if context == self._ffi.NULL:
            reason = self._binding.reason()
            raise EngineError(f"The engine could not make a context to embed {self.tokens} tokens: {reason}")
        return context

    def stop_soon(self) -> None:
        """Ends what runs before its next node; from any thread. What comes later is stopped at once."""
        self._abort.ne[0] = 0

    def go_on(self) -> None:
        """Takes `stop_soon` back."""
        self._abort.ne[0] = 1

    def embed(self, text: Sequence[int]) -> array[float]:
        """The vector of a text of 1 to `tokens` tokens.

        Raises `Stopped`, and `EngineError` for what fails.
        """
        try:
            pooled = self._whole(text) if self._abilities.reads_whole else self._in_pieces(text)
            return unit(pooled, self._path)
        finally:
            if self._memory != self._ffi.NULL:
                self._lib.llama_memory_clear(self._memory, False)

    def _whole(self, text: Sequence[int]) -> list[float]:
        self._evaluate(text, 0, wants_vectors=True)
        return self._vector(self._lib.llama_get_embeddings_seq(self._value, 0))

    def _in_pieces(self, text: Sequence[int]) -> list[float]:
        if self._abilities.pooling is Pooling.CLS:
            text = text[:1]  # whose vector sees none of those that follow
        wanted = range(len(text)) if self._abilities.pooling is Pooling.MEAN else (len(text) - 1,)
        total = [0.0] * self._width
        position = 0
        while position < len(text):
            # The engine makes vectors of all tokens of a piece, or of none.
            end = min(len(text), position + self._batch_tokens)
            if position < wanted[0]:
                end = min(end, wanted[0])
            wants = position in wanted
            self._evaluate(text[position:end], position, wants_vectors=wants)
            for row in range(end - position if wants else 0):
                total = list(
                    map(add, total, self._vector(self._lib.llama_get_embeddings_ith(self._value, row)))
                )
            position = end
        return total

    def _evaluate(self, tokens: Sequence[int], start: int, *, wants_vectors: bool) -> None:
        batch, count = self._batch, len(tokens)
        assert 0 < count <= self._batch_tokens
        self._ffi.memmove(batch.token, array("i", tokens), 4 * count)
        self._ffi.memmove(batch.pos, array("i", range(start, start + count)), 4 * count)
        self._ffi.memmove(batch.logits, bytes((wants_vectors,)) * count, count)
        batch.n_tokens = count
        self._lib.llama_set_embeddings(self._value, wants_vectors)
        evaluate = self._lib.llama_encode if self._encodes else self._lib.llama_decode
        code = evaluate(self._value, batch)
        if code == 2:
            raise Stopped
        if code != 0:
            raise EngineError(f"The engine could not evaluate a text to embed (code {code}).")

    def _vector(self, pointer: Any) -> list[float]:
        if pointer == self._ffi.NULL:
            raise EngineError("The engine gave no vector for a text.")
        return list(self._ffi.unpack(pointer, self._width))

    def close(self) -> None:
        """Frees it. Safe to call twice."""
        if self._value is not None:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._value)
            self._value = None
