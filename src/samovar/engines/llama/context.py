"""One llama.cpp context: its cells, its sequences, and the call that evaluates.

Above: `arena.py`, whose decode loop is the only one to call in here (`stop_soon` apart). Below: `binding.py`.
It keeps no books: what is in which cell is known to `prefixes/`.
"""

from __future__ import annotations

from typing import Any

from samovar.engines.base import ModelSpec
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.threads import chosen_threads
from samovar.errors import EngineError
from samovar.generation import KvType
from samovar.models.cost import MAX_RUNNING, MAX_RUNNING_WHOLE, Cost
from samovar.models.tuning import BATCH_TOKENS, Tuning

MAX_SEQUENCES = 256
"""The engine's own limit (`LLAMA_MAX_SEQ`). Those above the running ones can only hold cells."""
KV_TYPES: dict[KvType, int] = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""`enum ggml_type`."""
FLASH_ATTENTION: dict[bool | None, int] = {None: -1, False: 0, True: 1}
"""`enum llama_flash_attn_type`."""


class Context:
    """`cells` cells in one unified KV cache over loaded weights."""

    def __init__(
        self,
        binding: Binding,
        weights: Any,
        *,
        cells: int,
        threads: int,
        kv_type: KvType,
        tuning: Tuning,
        outputs: int | None = None,
    ) -> None:
        """`outputs`: tokens of one batch that may have logits; None: one of each sequence."""
        self._binding, self._ffi, self._lib = binding, binding.ffi, binding.lib
        self._abort = self._ffi.new("struct ggml_tensor_head *")
        self._abort.ne = [1, 1, 1, 1]
        self.keeps_whole_states = bool(
            self._lib.llama_model_is_recurrent(weights)
            or self._lib.llama_model_is_hybrid(weights)
            or self._lib.llama_model_n_swa(weights) > 0
        )
        """The memory cannot be cut at any token: what was evaluated is reused by copies of whole states."""
        self.max_running = MAX_RUNNING_WHOLE if self.keeps_whole_states else MAX_RUNNING
        self.micro_batch_tokens = tuning.micro_batch_tokens
        self.threads = threads
        self._outputs = outputs or self.max_running + 1
        self._value = self._make(weights, cells, kv_type, tuning)
        self._memory = self._lib.llama_get_memory(self._value)
        self.cells: int = self._lib.llama_n_ctx(self._value)

    def _make(self, weights: Any, cells: int, kv_type: KvType, tuning: Tuning) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch, params.n_ubatch = BATCH_TOKENS, tuning.micro_batch_tokens
        # In a unified cache any number below the engine's limit may hold cells; `n_seq_max` is for batches.
        params.n_seq_max = self.max_running + 1  # one for `state` and `restore`
        params.n_outputs_max = self._outputs
        params.n_threads = params.n_threads_batch = self.threads
        params.kv_unified = True
        params.swa_full = False
        params.type_k = params.type_v = KV_TYPES[kv_type]
        params.flash_attn_type = FLASH_ATTENTION[tuning.flash_attention]
        # Asked before every node of the graph, so it must not need the interpreter: a function of the
        # engine itself reads the flag. An empty tensor (`ne[0] == 0`) means stop.
        params.abort_callback = self._ffi.cast("ggml_abort_callback", self._lib.ggml_is_empty)
        params.abort_callback_data = self._abort
        self._binding.errors_of_this_thread()  # of an earlier thread with its number
        context = self._lib.llama_init_from_model(weights, params)
        if context == self._ffi.NULL:
            reason = self._binding.reason()
            raise EngineError(f"The engine could not make a context of {cells} tokens: {reason}")
        return context

    @property
    def value(self) -> Any:
        """The engine's pointer, for the sampler."""
        return self._value

    def decode(self, batch: Any) -> int:
        """Evaluates a `llama_batch`. 0: done; 1: no cells; 2: stopped; below 0: it failed."""
        return int(self._lib.llama_decode(self._value, batch))

    def stop_soon(self) -> None:
        """Ends a `decode` that runs, before its next node; from any thread."""
        self._abort.ne[0] = 0

    def go_on(self) -> None:
        """Takes `stop_soon` back."""
        self._abort.ne[0] = 1

    def set_threads(self, threads: int) -> None:
        """From the next `decode` on."""
        if threads != self.threads:
            self.threads = threads
            self._lib.llama_set_n_threads(self._value, threads, threads)

    # Sequences -----------------------------------------------------------------------------------

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """`target` shares the cells of `source` at the positions `start` to `end`."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, start, end)

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool:
        """`sequence` gives up its cells from `start` to `end`. False if the memory cannot be cut there."""
        whole = start == 0 and end == -1
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, -1 if whole else start, end))

    def clear(self) -> None:
        """Every cell is free, and the next one that is taken is the first."""
        self._lib.llama_memory_clear(self._memory, False)

    def state_bytes(self, sequence: int, start: int = 0, end: int = -1) -> int:
        """How large what `state` gives would be."""
        self.copy(sequence, self.max_running, start, end)
        size = int(self._lib.llama_state_seq_get_size(self._value, self.max_running))
        self.remove(self.max_running)
        return size

    def state(self, sequence: int, start: int = 0, end: int = -1) -> bytearray:
        """A copy of what `sequence` has in the cells of these positions (and beside them)."""
        scratch = self.max_running  # the engine writes only cells of sequences that it could evaluate
        self.copy(sequence, scratch, start, end)
        size = self._lib.llama_state_seq_get_size(self._value, scratch)
        blob = bytearray(size)
        data = self._ffi.from_buffer("uint8_t[]", blob)
        written = self._lib.llama_state_seq_get_data(self._value, data, size, scratch)
        self.remove(scratch)
        self._ffi.release(data)
        if written != size:
            raise EngineError("The engine could not copy the state of a sequence.")
        return blob

    def restore(self, sequence: int, blob: bytes | bytearray | memoryview) -> bool:
        """`sequence` gets what `state` gave, in new cells. False when there are none, or it is not a
        state."""
        scratch = self.max_running
        data = self._ffi.from_buffer("uint8_t[]", blob)
        read = self._lib.llama_state_seq_set_data(self._value, data, len(blob), scratch)
        if read == len(blob):
            self.copy(scratch, sequence, 0, -1)
        self.remove(scratch)
        return bool(read == len(blob))

    def close(self) -> None:
        """Frees it. Safe to call twice."""
        if self._value is not None:
            self._lib.llama_free(self._value)
            self._value = None


def make_context(binding: Binding, weights: Any, spec: ModelSpec, cost: Cost, tuning: Tuning) -> Context:
    """A context as an arena needs it. Raises `EngineError` when there is no room."""
    return Context(
        binding,
        weights,
        cells=cost.context_tokens,
        threads=chosen_threads(spec.threads, tuning).most,
        kv_type=spec.kv_type,
        tuning=tuning,
    )
