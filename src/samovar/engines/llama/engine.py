"""The engine on llama.cpp: what a file would cost, and its load with progress and abort.

Above: the pool. Below: `model.py`, `arena.py`, `binding.py`, and the GGUF header reader in `models/`.
The header is read and checked first, since what llama.cpp asserts about a file ends the process.
"""

from __future__ import annotations

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from samovar.engines.base import ModelSpec, OnLoadProgress, WeightsKey
from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.context import Context, make_context
from samovar.engines.llama.declarations import WHEEL_VERSION
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError, ModelFileError
from samovar.generation import KvType
from samovar.models.cost import Cost, predict
from samovar.models.header import Header, read_header
from samovar.models.snapshot_file import fingerprint
from samovar.models.snapshots import ModelSnapshots, Snapshots
from samovar.models.tuned import Found, Tuned
from samovar.models.tuning import DeviceKind, Tuning, table

log = logging.getLogger("samovar.engine")

DEFAULT_CONTEXT_TOKENS = 8192
SMALLEST_CONTEXT_TOKENS = 512
PROGRESS_EVERY_S = 0.05
"""The load stops while the event loop hears how far it is."""
_IS_MAC = sys.platform == "darwin"
"""The wheel for it can use the GPU."""


class LlamaEngine:
    """See `engines.base.Engine`. The shared object is opened by the first load."""

    name = "llama"

    def __init__(self, snapshots: Snapshots | None = None, tuned: Tuned | None = None) -> None:
        """`snapshots`: where evaluated prefixes are kept for other processes; None: nowhere. `tuned`: what
        was measured on this machine; None: the table alone."""
        self._snapshots, self._tuned = snapshots, tuned
        self._binding: Binding | None = None
        self._found: dict[tuple[Path, int, KvType], Found | None] = {}
        """By file, time of change and KV type: looked up once, so that a prediction and its load agree."""

    def key(self, spec: ModelSpec) -> WeightsKey:
        path = spec.path.resolve()
        header = read_header(path)
        return WeightsKey(
            path=path,
            size_bytes=header.file_bytes,
            modified_ns=path.stat().st_mtime_ns,
            gpu_layers=spec.gpu_layers,
        )

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        header = read_header(spec.path.resolve())
        if spec.context_tokens is not None:
            if spec.context_tokens > header.context_tokens:
                raise EngineError(
                    f"A context of {spec.context_tokens} tokens was asked for, "
                    f"but {spec.reference} was trained for {header.context_tokens}."
                )
            return self._predict(header, spec, spec.context_tokens)
        tokens = min(header.context_tokens, DEFAULT_CONTEXT_TOKENS)
        cost = self._predict(header, spec, tokens)
        while free_bytes is not None and cost.total_bytes > free_bytes and tokens > SMALLEST_CONTEXT_TOKENS:
            tokens = max(SMALLEST_CONTEXT_TOKENS, tokens // 2)
            cost = self._predict(header, spec, tokens)
        return cost

    def _predict(self, header: Header, spec: ModelSpec, tokens: int) -> Cost:
        """With the settings in force, or the table's, which a deterministic request brings back."""
        tunings = {self._tuning(spec), table(self._device(spec), spec.kv_type)}
        costs = [
            predict(header, context_tokens=tokens, kv_type=spec.kv_type, tuning=tuning) for tuning in tunings
        ]
        return max(costs, key=lambda cost: cost.total_bytes)

    def _device(self, spec: ModelSpec) -> DeviceKind:
        """Where the weights go, as far as that is known before the shared object is open."""
        offloads = self._binding.lib.llama_supports_gpu_offload() if self._binding else _IS_MAC
        return "gpu" if offloads and spec.gpu_layers != 0 else "cpu"

    def _tuning(self, spec: ModelSpec) -> Tuning:
        """The settings of the model's contexts."""
        found, device = self._looked_up(spec), self._device(spec)
        tuning = table(device, spec.kv_type)
        if found is None:
            return tuning
        if found.tuning is None or found.tuning.device != device:
            return replace(tuning, notes=() if found.note is None else (found.note,))
        return found.tuning

    def _looked_up(self, spec: ModelSpec) -> Found | None:
        if self._tuned is None:
            return None
        path = spec.path.resolve()
        key = (path, path.stat().st_mtime_ns, spec.kv_type)
        if key not in self._found:
            self._found[key] = self._tuned.find(path, spec.kv_type)
        return self._found[key]

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> LlamaModel:
        if self._binding is None:
            binding = await anyio.to_thread.run_sync(open_binding)
            if self._binding is None:  # not by another load meanwhile
                self._binding = binding
                binding.begin_use()
        trained_tokens = read_header(spec.path.resolve()).context_tokens
        load = _Load(
            self._binding, spec, cost, on_progress, self._tuning(spec), trained_tokens, self._snapshots
        )
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
        tuning: Tuning,
        trained_tokens: int,
        snapshots: Snapshots | None,
    ) -> None:
        self._binding, self._ffi, self._lib = binding, binding.ffi, binding.lib
        self._tuning, self._trained_tokens, self._snapshots = tuning, trained_tokens, snapshots
        self._spec, self._cost, self._on_progress = spec, cost, on_progress
        self._error: BaseException | None = None
        self._told_s = 0.0
        self._weights: Any = None
        self._model: LlamaModel | None = None

    def run(self) -> LlamaModel:
        """In a worker thread. Raises what `on_progress` raised, or why the file could not be loaded.

        What needs the interpreter goes on beside what the engine does by itself.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="samovar load") as beside:
            store = beside.submit(self._open_snapshots)
            self._weights = self._load_weights()
            context = beside.submit(self._make_context)
            try:
                vocabulary = Vocabulary(self._binding, self._weights)
                template = ChatTemplate.of(self._binding, self._weights, vocabulary)
                found = store.result()
            except BaseException:  # the context is nobody's yet
                if context.exception() is None:
                    context.result().close()
                raise
            self._model = LlamaModel(
                self._binding,
                self._weights,
                vocabulary,
                template,
                spec=self._spec,
                cost=self._cost,
                tuning=self._tuning,
                trained_tokens=self._trained_tokens,
                store=found,
                context=context.result(),
            )
        return self._model

    def _make_context(self) -> Context:
        return make_context(self._binding, self._weights, self._spec, self._cost, self._tuning)

    def _open_snapshots(self) -> ModelSnapshots | None:
        import_module("samovar.engines.llama.dialect")  # which is needed as soon as the weights are there
        if self._snapshots is None:
            return None
        name = fingerprint(
            self._spec.path,
            kv_type=self._spec.kv_type,
            build=WHEEL_VERSION,
            is_transposed=self._tuning.transposes_values,
        )
        return self._snapshots.of(name)

    def _load_weights(self) -> Any:
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = self._gpu_layers()
        callback = self._ffi.callback("llama_progress_callback", self._progress, error=False)
        params.progress_callback = callback
        self._binding.errors_of_this_thread()
        weights = self._lib.llama_model_load_from_file(str(self._spec.path).encode(), params)
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
            now_s = time.monotonic()
            if fraction >= 1.0 or now_s - self._told_s >= PROGRESS_EVERY_S:
                self._told_s = now_s
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
