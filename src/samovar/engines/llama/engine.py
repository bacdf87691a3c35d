"""The engine on llama.cpp: the memory a file would need, and loading with progress and abort.

Above: the pool. Below: `loading.py`, `model.py`, `binding.py`, and the GGUF header reader in `models/`.
The header is read and checked first, since what llama.cpp asserts about a file ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread

from samovar.engines.base import ModelSpec, OnLoadProgress, WeightsKey
from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.embedding_model import EmbeddingModel
from samovar.engines.llama.loading import ModelLoad
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.placing import all_devices, place
from samovar.engines.llama.token_table import KeptTables
from samovar.generation import KvType
from samovar.models.capabilities import Capability
from samovar.models.cost import Cost
from samovar.models.devices import Device
from samovar.models.embedding_cost import FIRST_EMBEDDING_TOKENS, predict_embedder, with_embedding
from samovar.models.fitting import contexts, first_that_fits
from samovar.models.header import read_header
from samovar.models.held_weights import EngineBuild, this_build
from samovar.models.snapshots import QUEUE_BYTES, Snapshots
from samovar.models.split import real_path
from samovar.models.tuned import Found, Tuned, ignored
from samovar.models.tuning import Tuning, table


class LlamaEngine:
    """See `engines.base.Engine`. The shared object is opened by the first load."""

    name = "llama"

    def __init__(
        self,
        snapshots: Snapshots | None = None,
        tuned: Tuned | None = None,
        *,
        build: EngineBuild | None = None,
        devices: Callable[[], Sequence[Device]] = all_devices,
        tables: KeptTables | None = None,
    ) -> None:
        """`snapshots`: where evaluated prefixes are kept for other processes; None: nowhere. `tuned`: what
        was measured on this machine; None: the table alone.

        `build`: what the engine does with weights; None: what it says, and before the first load the known
        facts about it. `devices`: those that layers can be put on, with what is free there now. `tables`:
        where what forms need of vocabularies is kept for other processes; None: nowhere.
        """
        self._devices, self._tables = devices, tables
        self._snapshots, self._tuned = snapshots, tuned
        self._binding: Binding | None = None
        self._build = build
        self._found: dict[tuple[Path, int, KvType], Found | None] = {}
        """By file, time of change and KV type: looked up once, so that a prediction and its load agree."""

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

    def beside_bytes(self) -> int:
        return 0 if self._snapshots is None else self._snapshots.queued_bytes

    def leave(self, spare_bytes: int) -> None:
        if self._snapshots is not None:
            self._snapshots.most_queued_bytes = min(QUEUE_BYTES, spare_bytes)

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        header, build = read_header(real_path(spec.path)), self._build or this_build()
        if Capability.ANSWER not in header.abilities.can:
            longest = spec.embedding_tokens or min(header.context_tokens, FIRST_EMBEDDING_TOKENS)
            return predict_embedder(header, longest, build)
        devices = self._usable_devices(spec)
        asked, is_bounded = spec.context_tokens, free_bytes is not None
        # Those in force, and the table's, which a deterministic request brings back.
        tunings = {self._tuning(spec, devices), table("gpu" if devices else "cpu", spec.kv_type)}

        def cost_of(tokens: int, repack: bool) -> Cost:
            arenas = (
                place(spec, header, devices, build, tokens, repack=repack, tuning=tuning)
                for tuning in tunings
            )
            most = max(arenas, key=lambda cost: cost.total_bytes)
            return with_embedding(most, header, spec.embedding_tokens)

        sizes = contexts(header, asked, name=spec.reference, is_bounded=is_bounded)
        return first_that_fits(cost_of, sizes, spec.repack, free_bytes)

    def _usable_devices(self, spec: ModelSpec) -> Sequence[Device]:
        return self._devices() if spec.gpu_layers != 0 else ()

    def _tuning(self, spec: ModelSpec, devices: Sequence[Device]) -> Tuning:
        """The settings of the model's contexts."""
        found = self._looked_up(spec)
        tuning = table("gpu" if devices else "cpu", spec.kv_type)
        if found is None:
            return tuning
        note = found.note
        if found.tuning is not None:
            if found.tuning.device == tuning.device:
                return found.tuning
            where = {"cpu": "the CPU alone", "gpu": "a GPU"}
            note = ignored(
                f"{where[found.tuning.device]} was measured, but this run uses {where[tuning.device]}"
            )
        return replace(tuning, notes=() if note is None else (note,))

    def _looked_up(self, spec: ModelSpec) -> Found | None:
        if self._tuned is None:
            return None
        path = real_path(spec.path)
        key = (path, read_header(path).modified_ns, spec.kv_type)
        if key not in self._found:
            self._found[key] = self._tuned.find(path, spec.kv_type)
        return self._found[key]

    async def load(
        self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress
    ) -> LlamaModel | EmbeddingModel:
        if self._binding is None:
            binding = await anyio.to_thread.run_sync(open_binding)
            if self._binding is None:  # not by another load meanwhile
                self._binding = binding
                binding.begin_use()
                self._build = self._build or binding.build()
        load = ModelLoad(
            self._binding,
            spec,
            cost,
            on_progress,
            build=self._build or this_build(),
            tuning=self._tuning(spec, self._usable_devices(spec)),
            snapshots=self._snapshots,
            tables=self._tables,
        )
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
