"""One load of a model in progress: weights, vocabulary, template and context, or all of it released.

Above: `engine.py`, `measuring.py`. Below: `model.py`, `embedding_model.py`, `binding.py`. It runs in a worker
thread; what needs the interpreter continues beside what the engine does by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import anyio.from_thread

from samovar.engines.base import ModelSpec, OnLoadProgress
from samovar.engines.llama.arena_maker import ArenaMaker, Copies
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.context import Context, make_context
from samovar.engines.llama.cores import engine_cores
from samovar.engines.llama.declarations import WHEEL_VERSION
from samovar.engines.llama.embedding import EmbeddedModel, Embedding
from samovar.engines.llama.embedding_model import EmbeddingModel
from samovar.engines.llama.grammar_maker import GrammarMaker
from samovar.engines.llama.guidance import Guidance
from samovar.engines.llama.mapping import alone_with, release
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.placing import set_devices
from samovar.engines.llama.token_table import KeptTables
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import ModelFileError
from samovar.models.capabilities import Capability
from samovar.models.cost import Cost
from samovar.models.header import read_header
from samovar.models.held_weights import EngineBuild, HeldWeights, hold
from samovar.models.snapshot_file import fingerprint
from samovar.models.snapshots import Snapshots
from samovar.models.split import first_part, real_path
from samovar.models.tuning import Tuning, table

log = logging.getLogger("samovar.engine")

PROGRESS_EVERY_S = 0.05
"""The load stops while the event loop hears how far it is."""
ANSWERS = "-answers"
"""Behind the name of a fingerprint: the copies of its answers in progress."""
READ_WHOLE = 0
"""`LLAMA_LOAD_MODE_NONE`: the file is read, not mapped."""


def read_weights(
    binding: Binding,
    spec: ModelSpec,
    cost: Cost,
    held: HeldWeights,
    on_progress: Callable[[float], None],
) -> Any:
    """The engine's pointer to the weights, on the devices that `spec` and `cost` say.

    `on_progress` is called with the fraction that is read, some 270 times; what it raises ends the load, and
    is raised. Raises `ModelFileError` for a file that cannot be loaded.
    """
    ffi, lib = binding.ffi, binding.lib
    raised: list[BaseException] = []

    def told(fraction: float, _data: Any) -> bool:
        """Whether to continue. An exception must not cross the C frames: it is raised after the load."""
        try:
            on_progress(fraction)
        except BaseException as error:
            raised.append(error)
        return not raised

    with alone_with(spec.path):
        params = lib.llama_model_default_params()
        used = set_devices(binding, params, spec, cost)
        params.use_extra_bufts = cost.repack
        if not held.is_mapped:
            params.load_mode = READ_WHOLE
        callback = ffi.callback("llama_progress_callback", told, error=False)
        params.progress_callback = callback
        binding.errors_of_this_thread()
        weights = lib.llama_model_load_from_file(str(first_part(spec.path)).encode(), params)
        del used
        if weights != ffi.NULL:
            release(binding, spec.path, held.released)
            return weights
    if raised:
        raise raised[0]
    reason = binding.reason()
    raise ModelFileError(f"{spec.path} could not be loaded: {reason}")


class ModelLoad:
    """One load; it stops when the task that waits for it is cancelled."""

    def __init__(
        self,
        binding: Binding,
        spec: ModelSpec,
        cost: Cost,
        on_progress: OnLoadProgress,
        *,
        build: EngineBuild,
        tuning: Tuning,
        snapshots: Snapshots | None,
        tables: KeptTables | None = None,
    ) -> None:
        """`tables`: where what forms need of vocabularies is kept; None: nowhere."""
        self._binding = binding
        self._grammars = GrammarMaker(binding, spec.path, tables)
        self._header, self._snapshots = read_header(real_path(spec.path)), snapshots
        self._held = hold(self._header, build, repack=cost.repack, gpu_layers=cost.gpu_layers)
        self._spec, self._cost, self._tuning, self._on_progress = spec, cost, tuning, on_progress
        self._told_s = 0.0
        self._weights: Any = None
        self._model: LlamaModel | EmbeddingModel | None = None

    def run(self) -> LlamaModel | EmbeddingModel:
        """In a worker thread. Raises what `on_progress` raised, or why the file could not be loaded."""
        if Capability.ANSWER not in self._header.abilities.can:
            self._load_weights()
            vocabulary = Vocabulary(self._binding, self._weights, self._spec.path)
            self._model = EmbeddingModel(self._embedded(vocabulary), self._header, self._cost)
            return self._model
        if self._spec.holds_forms:
            self._grammars.begin()
        with ThreadPoolExecutor(1, thread_name_prefix="samovar load") as beside:
            copies = beside.submit(self._open_copies)
            self._load_weights()
            context = beside.submit(self._make_context)
            try:
                vocabulary = Vocabulary(self._binding, self._weights, self._spec.path)
                template = ChatTemplate.of(self._binding, self._weights, vocabulary)
                arenas = self._arenas(vocabulary, copies.result())
                embedding = Embedding(self._embedded(vocabulary), self._cost.embedding_tokens)
                guidance = self._guidance(vocabulary, template)
            except BaseException:  # the context is nobody's yet
                if context.exception() is None:
                    context.result().close()
                raise
            self._model = LlamaModel(
                self._binding,
                self._weights,
                template,
                spec=self._spec,
                cost=self._cost,
                trained_tokens=self._header.context_tokens,
                arenas=arenas,
                context=context.result(),
                embedding=embedding,
                guidance=guidance,
            )
        if self._spec.holds_forms:
            guidance.begin_tables()
        self._binding.give_back_memory()  # of reading the vocabulary: two threads of their own kept some
        return self._model

    def _guidance(self, vocabulary: Vocabulary, template: ChatTemplate) -> Guidance:
        return Guidance(
            self._binding,
            vocabulary,
            template.end,
            lambda: template.calling.tokens,  # which are looked for when they are needed
            self._grammars,
        )

    def _arenas(self, vocabulary: Vocabulary, copies: Copies) -> ArenaMaker:
        return ArenaMaker(
            self._binding,
            self._weights,
            vocabulary,
            spec=self._spec,
            cost=self._cost,
            tuning=self._tuning,
            copies=copies,
        )

    def _make_context(self) -> Context:
        return make_context(self._binding, self._weights, self._spec, self._cost, self._tuning)

    def _embedded(self, vocabulary: Vocabulary) -> EmbeddedModel:
        return EmbeddedModel(
            binding=self._binding,
            weights=self._weights,
            vocabulary=vocabulary,
            abilities=self._header.abilities,
            reference=self._spec.reference,
            path=self._spec.path,
            most_tokens=self._header.context_tokens,
            threads=self._spec.threads or engine_cores(),
        )

    def _open_copies(self) -> Copies:
        import_module("samovar.engines.llama.dialect")  # which is needed as soon as the weights are there
        plain = table(self._tuning.device, self._spec.kv_type)
        try:
            name = exact = self._fingerprint(self._tuning)
            if plain.transposes_values != self._tuning.transposes_values:
                exact = self._fingerprint(plain)
        except OSError as error:  # copies are never a reason for a model not to load
            log.warning("No evaluated prompts are kept for %s: %s", self._spec.path, error)
            return Copies()
        identity = f"{exact} {self._cost.repack} {self._cost.gpu_layers}"
        if self._snapshots is None:
            return Copies(identity=identity)
        answers = self._snapshots.of(exact + ANSWERS)
        return Copies(prefixes=self._snapshots.of(name), answers=answers, identity=identity)

    def _fingerprint(self, tuning: Tuning) -> str:
        return fingerprint(
            self._spec.path,
            kv_type=self._spec.kv_type,
            build=WHEEL_VERSION,
            is_transposed=tuning.transposes_values,
        )

    def _load_weights(self) -> None:
        self._weights = read_weights(self._binding, self._spec, self._cost, self._held, self._progress)

    def _progress(self, fraction: float) -> None:
        anyio.from_thread.check_cancelled()
        now_s = time.monotonic()
        if fraction >= 1.0 or now_s - self._told_s >= PROGRESS_EVERY_S:
            self._told_s = now_s
            anyio.from_thread.run_sync(self._on_progress, fraction)

    def free(self) -> None:
        """Gives back what a load that did not become a model has taken."""
        self._grammars.close()
        if self._model is not None:
            self._model.free()
        elif self._weights is not None:
            with alone_with(self._spec.path):
                self._binding.lib.llama_model_free(self._weights)
        self._model = self._weights = None
