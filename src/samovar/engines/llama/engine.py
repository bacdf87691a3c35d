"""The engine on llama.cpp: what a file would cost, and its load with progress and abort.

Above: the pool. Below: `model.py`, `arena.py`, `binding.py`, and the GGUF header reader in `models/`.
The header is read and checked first, since what llama.cpp asserts about a file ends the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
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
from samovar.engines.llama.mapping import alone_with, release
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.placing import all_devices, place, set_devices
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError, ModelFileError
from samovar.models.capabilities import Capability
from samovar.models.cost import CELL_STEP_TOKENS, Cost
from samovar.models.devices import Device
from samovar.models.embedding_cost import FIRST_EMBEDDING_TOKENS, predict_embedder, with_embedding
from samovar.models.header import Header, read_header
from samovar.models.held_weights import EngineBuild, hold, this_build
from samovar.models.snapshot_file import fingerprint
from samovar.models.snapshots import ModelSnapshots, Snapshots
from samovar.models.split import first_part, real_path

log = logging.getLogger("samovar.engine")

DEFAULT_CONTEXT_TOKENS = 8192
SMALLEST_CONTEXT_TOKENS = 512
PROGRESS_STEP = 0.01
READ_WHOLE = 0
"""`LLAMA_LOAD_MODE_NONE`: the file is read, not mapped."""


def _contexts(spec: ModelSpec, header: Header, *, is_bounded: bool) -> Iterator[int]:
    """The sizes of context to try, in tokens, the best first. Raises `EngineError` for one that cannot be."""
    tokens = spec.context_tokens or min(header.context_tokens, DEFAULT_CONTEXT_TOKENS)
    if tokens > -(-header.context_tokens // CELL_STEP_TOKENS) * CELL_STEP_TOKENS:
        raise EngineError(
            f"A context of {tokens} tokens was asked for, "
            f"but {spec.reference} was trained for {header.context_tokens}."
        )
    yield tokens
    while is_bounded and spec.context_tokens is None and tokens > SMALLEST_CONTEXT_TOKENS:
        tokens = max(SMALLEST_CONTEXT_TOKENS, tokens // 2)
        yield tokens


class LlamaEngine:
    """See `engines.base.Engine`. The shared object is opened by the first load."""

    name = "llama"

    def __init__(
        self,
        snapshots: Snapshots | None = None,
        *,
        build: EngineBuild | None = None,
        devices: Callable[[], Sequence[Device]] = all_devices,
    ) -> None:
        """`snapshots`: where evaluated prefixes are kept for other processes; None: nowhere.

        `build`: what the engine does with weights; None: what it says, and before the first load what is
        known of it. `devices`: those that layers can be put on, with what is free there now.
        """
        self._devices = devices
        self._snapshots = snapshots
        self._binding: Binding | None = None
        self._build = build

    def key(self, spec: ModelSpec) -> WeightsKey:
        path = real_path(spec.path)
        header = read_header(path)
        return WeightsKey(
            path=path,
            size_bytes=header.file_bytes,
            modified_ns=header.modified_ns,
            gpu_layers=spec.gpu_layers,
            devices=spec.devices,
        )

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        header = read_header(real_path(spec.path))
        if Capability.ANSWER not in header.abilities.can:
            longest = spec.embedding_tokens or min(header.context_tokens, FIRST_EMBEDDING_TOKENS)
            return predict_embedder(header, longest, self._build or this_build())
        devices = self._devices() if spec.gpu_layers != 0 else []
        for tokens in _contexts(spec, header, is_bounded=free_bytes is not None):
            for repack in (True, False) if spec.repack is None else (spec.repack,):
                arena = place(spec, header, devices, self._build or this_build(), tokens, repack=repack)
                cost = with_embedding(arena, header, spec.embedding_tokens)
                if free_bytes is None or cost.total_bytes <= free_bytes:
                    return cost
        return cost

    async def load(
        self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress
    ) -> LlamaModel | EmbeddingModel:
        if self._binding is None:
            binding = await anyio.to_thread.run_sync(open_binding)
            if self._binding is None:  # not by another load meanwhile
                self._binding = binding
                binding.begin_use()
                self._build = self._build or binding.build()
        load = _Load(self._binding, spec, cost, on_progress, self._build or this_build(), self._snapshots)
        try:
            model = await anyio.to_thread.run_sync(load.run)
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:  # also when cancelled: what the load has taken is given back
            with anyio.CancelScope(shield=True):  # not here: another load of this file may be waiting for us
                await anyio.to_thread.run_sync(load.free)
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
        build: EngineBuild,
        snapshots: Snapshots | None,
    ) -> None:
        self._binding, self._ffi, self._lib = binding, binding.ffi, binding.lib
        self._header, self._snapshots = read_header(real_path(spec.path)), snapshots
        self._held = hold(self._header, build, repack=cost.repack, gpu_layers=cost.gpu_layers)
        self._spec, self._cost, self._on_progress = spec, cost, on_progress
        self._error: BaseException | None = None
        self._told = 0.0
        self._weights: Any = None
        self._model: LlamaModel | EmbeddingModel | None = None

    def run(self) -> LlamaModel | EmbeddingModel:
        """In a worker thread. Raises what `on_progress` raised, or why the file could not be loaded."""
        with alone_with(self._spec.path):
            self._weights = self._load_weights()
            release(self._binding, self._spec.path, self._held.released)
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
        held = set_devices(self._binding, params, self._spec, self._cost)
        params.use_extra_bufts = self._cost.repack
        if not self._held.is_mapped:
            params.load_mode = READ_WHOLE
        callback = self._ffi.callback("llama_progress_callback", self._progress, error=False)
        params.progress_callback = callback
        self._binding.errors_of_this_thread()
        weights = self._lib.llama_model_load_from_file(str(first_part(self._spec.path)).encode(), params)
        del held
        if weights != self._ffi.NULL:
            return weights
        if self._error is not None:
            raise self._error
        reason = "; ".join(self._binding.errors_of_this_thread()) or "no reason given"
        raise ModelFileError(f"{self._spec.path} could not be loaded: {reason}")

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
            with alone_with(self._spec.path):
                self._lib.llama_model_free(self._weights)
        self._model = self._weights = None
