"""Measures how fast loaded weights evaluate and decode with each setting, and their perplexity.

Above: `samovar tune`. Below: `loading.py`, `context.py`, `binding.py`, `tuning.py`. Everything is done on
weights and contexts of its own, in one worker thread; `stop` ends it from another within a micro-batch.
Rounds alternate between the settings, so that a machine that slows down meets them all, and medians count.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any

from samovar.engines.base import ModelSpec
from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.context import Context
from samovar.engines.llama.cores import engine_cores
from samovar.engines.llama.loading import read_weights
from samovar.engines.llama.mapping import alone_with
from samovar.engines.llama.placing import all_devices
from samovar.engines.llama.speeds import BETTER, Plan, Speed, fewer_threads
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.errors.counting import counted
from samovar.models.cost import Cost
from samovar.models.header import read_header
from samovar.models.held_weights import hold
from samovar.models.tuning import BATCH_TOKENS, MICRO_BATCH_TOKENS, Tuning, table

WINDOW_TOKENS = 512
"""A text is foreseen in pieces of this, each from its beginning; …"""
UNSCORED_TOKENS = 32
"""… of which the first few say more about the place where it was cut."""
MOST_SCORED_TOKENS = 2000
_LOGITS_AT_ONCE = 64


class MeasuringEndedError(Exception):
    """`stop` was called."""


class Workbench:
    """One file's weights. Mutable: the context that is measured; `close` gives everything back."""

    def __init__(
        self,
        spec: ModelSpec,
        cost: Cost,
        *,
        on_progress: Callable[[float], None] = lambda fraction: None,
        on_part: Callable[[str], None] = lambda part: None,
    ) -> None:
        """Loads the weights as a run would: where `spec` and `cost` say. Raises `ModelFileError`.

        `on_progress`: called with the fraction that is read; what it raises ends the load, and is raised.
        `on_part`: called with each part before it is measured."""
        self._binding: Binding = open_binding()
        self._spec, self._kv_type, self._on_part = spec, spec.kv_type, on_part
        self.threads_used = spec.threads or engine_cores()
        """Threads of each measurement, except those with fewer: as many as a load uses."""
        self._context: Context | None = None
        self._is_stopped = False
        is_on_gpu = spec.gpu_layers != 0 and bool(all_devices())
        self.standard: Tuning = table("gpu" if is_on_gpu else "cpu", spec.kv_type)
        """The table's choice for it."""
        header, build = read_header(spec.path), self._binding.build()
        held = hold(header, build, repack=cost.repack, gpu_layers=cost.gpu_layers)
        self._binding.begin_use()
        try:
            self._weights: Any = read_weights(self._binding, spec, cost, held, on_progress)
        except BaseException:
            self._binding.end_use()
            raise
        self.vocabulary = Vocabulary(self._binding, self._weights)
        self._batch = self._binding.lib.llama_batch_init(BATCH_TOKENS, 0, 1)

    def stop(self) -> None:
        """Work in progress ends with `MeasuringEndedError`; from any thread."""
        self._is_stopped = True
        if (context := self._context) is not None:
            context.stop_soon()

    def close(self) -> None:
        """Frees the weights."""
        self._binding.tokenizing.close()
        self._binding.lib.llama_batch_free(self._batch)
        with alone_with(self._spec.path):
            self._binding.lib.llama_model_free(self._weights)
        self._binding.end_use()
        self._binding.give_back_memory()

    # Speed ---------------------------------------------------------------------------------------------

    def speeds(self, tunings: Sequence[Tuning], text: str, plan: Plan) -> list[Speed]:
        """One for each, in order."""
        tokens = self._enough(text, plan.cells)
        found: list[list[tuple[float, dict[int, float]]]] = [[] for _ in tunings]
        for number in range(plan.rounds):
            order = range(len(tunings)) if number % 2 == 0 else reversed(range(len(tunings)))
            for index in order:
                self._on_part(f"round {number + 1} of {plan.rounds}: {tunings[index]}")
                found[index].append(self._measure(tunings[index], tokens, plan))
        return [
            Speed(
                tuning=tuning,
                evaluate_tokens_per_s=median(rate for rate, _ in rounds),
                decode_ms={length: median(ms[length] for _, ms in rounds) for length in plan.lengths},
            )
            for tuning, rounds in zip(tunings, found, strict=True)
        ]

    def _measure(self, tuning: Tuning, tokens: list[int], plan: Plan) -> tuple[float, dict[int, float]]:
        with self._opened(tuning, plan.cells) as context:
            self._decode(tokens[:1])
            held, evaluated, evaluate_s, decode_ms = 1, 0, 0.0, {}
            for length in plan.lengths:
                began = perf_counter()
                for start in range(held, length, BATCH_TOKENS):
                    self._decode(tokens[start : min(length, start + BATCH_TOKENS)], start)
                evaluate_s += perf_counter() - began
                evaluated += length - held
                if length == plan.lengths[0] and not context.keeps_whole_states:
                    self._keep_beside(context, plan.copies)
                steps = []
                for place in range(length, length + plan.decoded):
                    began = perf_counter()
                    self._decode(tokens[place : place + 1], place)
                    steps.append(perf_counter() - began)
                decode_ms[length] = median(steps) * 1000
                held = length + plan.decoded
            assert context.cells >= held
            return evaluated / evaluate_s, decode_ms

    def _keep_beside(self, context: Context, copies: int) -> None:
        """Other sequences get what the first one has, in cells of their own."""
        state = context.state(0)
        for sequence in range(1, copies + 1):
            if not context.restore(sequence, state):
                raise EngineError("The engine could not copy what was evaluated.")

    def threads(self, tuning: Tuning, text: str, plan: Plan) -> tuple[dict[int, float], dict[int, float]]:
        """By number of threads: milliseconds of a decoded token, and evaluated tokens for each second."""
        tokens = self._enough(text, plan.cells)
        counts = fewer_threads(self.threads_used) if self._spec.threads is None else [self._spec.threads]
        decode: dict[int, list[float]] = {count: [] for count in counts}
        evaluate: dict[int, list[float]] = {count: [] for count in decode}
        place = plan.lengths[0] // 2
        with self._opened(tuning, plan.cells) as context:
            self._decode(tokens[:place])
            for number in range(plan.rounds):
                for count in decode if number % 2 == 0 else reversed(decode):
                    self._on_part(f"round {number + 1} of {plan.rounds}: {counted(count, 'thread')}")
                    context.set_threads(count)
                    context.remove(0, place)
                    began = perf_counter()
                    self._decode(tokens[place : place + MICRO_BATCH_TOKENS], place)
                    evaluate[count].append(MICRO_BATCH_TOKENS / (perf_counter() - began))
                    began = perf_counter()
                    for step in range(plan.decoded):
                        at = place + MICRO_BATCH_TOKENS + step
                        self._decode(tokens[at : at + 1], at)
                    decode[count].append((perf_counter() - began) * 1000 / plan.decoded)
        decode_ms = {count: median(values) for count, values in decode.items()}
        return decode_ms, {count: median(values) for count, values in evaluate.items()}

    def tuned(self, tuning: Tuning, decode_ms: Mapping[int, float], rates: Mapping[int, float]) -> Tuning:
        """`tuning` with fewer threads than cores if that is clearly faster."""
        most = max(decode_ms)
        decoding = min(decode_ms, key=lambda count: decode_ms[count])
        evaluating = max(rates, key=lambda count: rates[count])
        return replace(
            tuning,
            threads=decoding if decode_ms[decoding] <= BETTER * decode_ms[most] else None,
            evaluating_threads=evaluating if rates[evaluating] * BETTER >= rates[most] else None,
        )

    # Quality -------------------------------------------------------------------------------------------

    def perplexity(self, tuning: Tuning, text: str, most_tokens: int = MOST_SCORED_TOKENS) -> float:
        """How many tokens it hesitates between, on average, for each of the text's; less is better."""
        tokens = self.vocabulary.tokenize(text, special=False)[:most_tokens]
        self._on_part(f"how well it predicts {counted(len(tokens), 'token')} of a text")
        lost, scored = 0.0, 0
        with self._opened(tuning, WINDOW_TOKENS, outputs=_LOGITS_AT_ONCE) as context:
            for start in range(0, len(tokens), WINDOW_TOKENS):
                window = tokens[start : start + WINDOW_TOKENS]
                context.remove(0)
                for at in range(0, len(window), _LOGITS_AT_ONCE):
                    part = window[at : at + _LOGITS_AT_ONCE]
                    self._decode(part, at, logits=True)
                    for row in range(len(part)):
                        if UNSCORED_TOKENS <= at + row + 1 < len(window):
                            lost -= self._log_probability(row, window[at + row + 1])
                            scored += 1
        if not scored:
            raise EngineError("The text is too short to be scored.")
        return math.exp(lost / scored)

    def _log_probability(self, row: int, token: int) -> float:
        assert self._context is not None
        found = self._binding.lib.llama_get_logits_ith(self._context.value, row)
        logits = array("f", self._binding.ffi.buffer(found, self.vocabulary.size * 4)[:])
        most = max(logits)
        total = sum(map(math.exp, logits)) if most < 80 else sum(math.exp(one - most) for one in logits)
        return float(logits[token] - math.log(total) - (0 if most < 80 else most))

    # Below ---------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self, tuning: Tuning, cells: int, *, outputs: int | None = None) -> Iterator[Context]:
        """A context while it is measured."""
        context = self._context = Context(
            self._binding,
            self._weights,
            cells=cells,
            threads=self.threads_used,
            kv_type=self._kv_type,
            tuning=tuning,
            outputs=outputs,
        )
        try:
            yield context
        finally:
            self._context = None
            context.close()

    def _enough(self, text: str, count: int) -> list[int]:
        """This many tokens of the text, said again and again."""
        tokens = self.vocabulary.tokenize(text, special=False)
        return (tokens * (count // len(tokens) + 1))[:count]

    def _decode(self, tokens: Sequence[int], start: int = 0, *, logits: bool = False) -> None:
        """Evaluates them; logits for each of them, or for the last one."""
        assert self._context is not None
        if self._is_stopped:
            raise MeasuringEndedError
        batch = self._batch
        for index, token in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, start + index
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
            batch.logits[index] = logits or index == len(tokens) - 1
        batch.n_tokens = len(tokens)
        code = self._context.decode(batch)
        if code == 2:
            raise MeasuringEndedError
        if code:
            raise EngineError(f"The engine could not evaluate a batch (code {code}).")
