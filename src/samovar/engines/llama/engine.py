"""The engine on llama.cpp: what a file would cost, and its load with progress and abort.

Above: the pool. Below: `model.py`, `arena.py`, `binding.py`, and the GGUF header reader in `models/`.
The header is read and checked first, since what llama.cpp asserts about a file ends the process.
"""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from samovar.engines.base import ModelSpec, OnLoadProgress, WeightsKey
from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.declarations import WHEEL_VERSION
from samovar.engines.llama.embedding import EmbeddedModel, Embedding
from samovar.engines.llama.embedding_model import EmbeddingModel
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError, ModelFileError
from samovar.models.capabilities import Capability
from samovar.models.cost import CELL_STEP_TOKENS, Cost, predict
from samovar.models.embedding_cost import FIRST_EMBEDDING_TOKENS, predict_embedder, with_embedding
from samovar.models.header import Header, read_header
from samovar.models.snapshot_file import fingerprint
from samovar.models.snapshots import ModelSnapshots, Snapshots
from samovar.models.split import first_part, real_path

log = logging.getLogger("samovar.engine")

DEFAULT_CONTEXT_TOKENS = 8192
SMALLEST_CONTEXT_TOKENS = 512
PROGRESS_STEP = 0.01


class LlamaEngine:
    """See `engines.base.Engine`. The shared object is opened by the first load."""

    name = "llama"

    def __init__(self, snapshots: Snapshots | None = None) -> None:
        """`snapshots`: where evaluated prefixes are kept for other processes; None: nowhere."""
        self._snapshots = snapshots
        self._binding: Binding | None = None

    def key(self, spec: ModelSpec) -> WeightsKey:
        path = real_path(spec.path)
        header = read_header(path)
        return WeightsKey(
            path=path,
            size_bytes=header.file_bytes,
            modified_ns=header.modified_ns,
            gpu_layers=spec.gpu_layers,
        )

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        header = read_header(real_path(spec.path))
        if Capability.ANSWER not in header.abilities.can:
            longest = spec.embedding_tokens or min(header.context_tokens, FIRST_EMBEDDING_TOKENS)
            return predict_embedder(header, longest)
        return with_embedding(self._predict_arena(spec, header, free_bytes), header, spec.embedding_tokens)

    def _predict_arena(self, spec: ModelSpec, header: Header, free_bytes: int | None) -> Cost:
        if spec.context_tokens is not None:
            trained_tokens = -(-header.context_tokens // CELL_STEP_TOKENS) * CELL_STEP_TOKENS
            if spec.context_tokens > trained_tokens:
                raise EngineError(
                    f"A context of {spec.context_tokens} tokens was asked for, "
                    f"but {spec.reference} was trained for {header.context_tokens}."
                )
            return predict(header, context_tokens=spec.context_tokens, kv_type=spec.kv_type)
        tokens = min(header.context_tokens, DEFAULT_CONTEXT_TOKENS)
        cost = predict(header, context_tokens=tokens, kv_type=spec.kv_type)
        while free_bytes is not None and cost.total_bytes > free_bytes and tokens > SMALLEST_CONTEXT_TOKENS:
            tokens = max(SMALLEST_CONTEXT_TOKENS, tokens // 2)
            cost = predict(header, context_tokens=tokens, kv_type=spec.kv_type)
        return cost

    async def load(
        self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress
    ) -> LlamaModel | EmbeddingModel:
        if self._binding is None:
            binding = await anyio.to_thread.run_sync(open_binding)
            if self._binding is None:  # not by another load meanwhile
                self._binding = binding
                binding.begin_use()
        header = read_header(real_path(spec.path))
        load = _Load(self._binding, spec, cost, on_progress, header, self._snapshots)
        try:
            model = await anyio.to_thread.run_sync(load.run)
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:  # also when cancelled: what the load has taken is given back
            load.free()
            raise
        return model

    def close(self) -> None:
        if self._binding is not None:
            self._binding.end_use()
            self._binding = None


class _Load:
    """One load under way, in a worker thread; it stops when the task that waits for it is cancelled."""

    def __init__(
        self,
        binding: Binding,
        spec: ModelSpec,
        cost: Cost,
        on_progress: OnLoadProgress,
        header: Header,
        snapshots: Snapshots | None,
    ) -> None:
        self._binding, self._ffi, self._lib = binding, binding.ffi, binding.lib
        self._header, self._snapshots = header, snapshots
        self._spec, self._cost, self._on_progress = spec, cost, on_progress
        self._error: BaseException | None = None
        self._told = 0.0
        self._weights: Any = None
        self._model: LlamaModel | EmbeddingModel | None = None

    def run(self) -> LlamaModel | EmbeddingModel:
        """In a worker thread. Raises what `on_progress` raised, or why the file could not be loaded."""
        self._weights = self._load_weights()
        vocabulary = Vocabulary(self._binding, self._weights, self._spec.path)
        if Capability.ANSWER not in self._header.abilities.can:
            self._model = EmbeddingModel(self._embedded(vocabulary), self._header, self._cost)
            return self._model
        template = ChatTemplate.of(self._binding, self._weights, vocabulary)
        self._model = LlamaModel(
            self._binding,
            self._weights,
            vocabulary,
            template,
            spec=self._spec,
            cost=self._cost,
            trained_tokens=self._header.context_tokens,
            store=self._open_snapshots(),
            embedding=Embedding(self._embedded(vocabulary), self._cost.embedding_tokens),
        )
        return self._model

    def _embedded(self, vocabulary: Vocabulary) -> EmbeddedModel:
        return EmbeddedModel(
            binding=self._binding,
            weights=self._weights,
            vocabulary=vocabulary,
            abilities=self._header.abilities,
            reference=self._spec.reference,
            path=self._spec.path,
            most_tokens=self._header.context_tokens,
            threads=self._spec.threads,
        )

    def _open_snapshots(self) -> ModelSnapshots | None:
        if self._snapshots is None:
            return None
        try:
            name = fingerprint(self._spec.path, kv_type=self._spec.kv_type, build=WHEEL_VERSION)
        except OSError as error:  # copies are never a reason for a model not to load
            log.warning("No evaluated prompts are kept for %s: %s", self._spec.path, error)
            return None
        return self._snapshots.of(name)

    def _load_weights(self) -> Any:
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = self._gpu_layers()
        callback = self._ffi.callback("llama_progress_callback", self._progress, error=False)
        params.progress_callback = callback
        self._binding.errors_of_this_thread()
        weights = self._lib.llama_model_load_from_file(str(first_part(self._spec.path)).encode(), params)
        if weights != self._ffi.NULL:
            return weights
        if self._error is not None:
            raise self._error
        reason = "; ".join(self._binding.errors_of_this_thread()) or "no reason given"
        raise ModelFileError(f"{self._spec.path} could not be loaded: {reason}")

    def _gpu_layers(self) -> int:
        if self._spec.gpu_layers is not None:
            return self._spec.gpu_layers
        return -1 if self._lib.llama_supports_gpu_offload() else 0

    def _progress(self, fraction: float, _data: Any) -> bool:
        """Whether to go on. An exception must not cross the C frames: it is raised after the load."""
        try:
            anyio.from_thread.check_cancelled()
            if fraction >= 1.0 or fraction - self._told >= PROGRESS_STEP:
                self._told = fraction
                anyio.from_thread.run_sync(self._on_progress, fraction)
        except BaseException as error:  # handed on: `_load_weights` raises it
            self._error = error
            return False
        return True

    def free(self) -> None:
        """Gives back what a load that did not become a model has taken."""
        if self._model is not None:
            self._model.free()
        elif self._weights is not None:
            self._lib.llama_model_free(self._weights)
        self._model = self._weights = None
