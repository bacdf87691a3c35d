"""Makes the arenas of one model, one after the other: a context, its prefix store, and the loop.

Above: `model.py`, which has one arena at a time. Below: `arena.py`, `context.py`, `prefixes/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samovar.engines.base import ModelSpec
from samovar.engines.llama.arena import Arena
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.context import Context, make_context
from samovar.engines.llama.prefixes.answer_states import AnswerStates, AnswerStore
from samovar.engines.llama.prefixes.base import Carried, Prefixes
from samovar.engines.llama.prefixes.disk_index import CopyStore, DiskIndex
from samovar.engines.llama.prefixes.states import StatePrefixes
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.engines.llama.requests import Usage
from samovar.engines.llama.threads import chosen_threads
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.models.cost import Cost
from samovar.models.tuning import MICRO_BATCH_TOKENS, Tuning, table

EXACT_PART = 4
"""Deterministic answers get one part in this many of the room for copies, if the others need it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Where a model has copies on disk, and what it is known by."""

    prefixes: CopyStore | None = None
    answers: AnswerStore | None = None
    """Of answers in progress, by the table's settings."""
    identity: str = ""
    """Of its weights, its cells and the build of the engine; empty if it has none."""


class ArenaMaker:
    """What all arenas of a model have in common. Mutable: the settings, once, and what is on disk."""

    def __init__(
        self,
        binding: Binding,
        weights: Any,
        vocabulary: Vocabulary,
        *,
        spec: ModelSpec,
        cost: Cost,
        tuning: Tuning,
        copies: Copies,
    ) -> None:
        self._binding, self._weights, self.vocabulary, self._spec = binding, weights, vocabulary, spec
        self.tuning, self.copies = tuning, copies
        self.usage = Usage()
        self._bytes_per_token = max(1, cost.kv_bytes // cost.context_tokens)
        self.disk = DiskIndex(copies.prefixes, self._bytes_per_token, evaluate_s=self.usage.evaluating_s)

    @property
    def is_tuned(self) -> bool:
        """Whether logits depend on what `samovar tune` measured."""
        return not self.tuning.answers_like(table(self.tuning.device, self._spec.kv_type))

    def use_table(self) -> None:
        """From the next arena on the table's settings are used. States may have another layout then, and the
        copies on disk are of the old one."""
        self.tuning = table(self.tuning.device, self._spec.kv_type)
        self.disk = DiskIndex(None, 1)

    def make(self, cost: Cost, carried: list[Carried], context: Context | None = None) -> Arena:
        """An arena of the size of `cost`, with what another has `carried`; it owns `context`.

        Raises `EngineError` when there is no room; then nothing is left of it.
        """
        if context is None:
            context = make_context(self._binding, self._weights, self._spec, cost, self.tuning)
        try:
            return self._fill(context, cost, carried)
        except BaseException as error:  # the context is nobody's yet
            context.close()
            if isinstance(error, MemoryError):
                raise EngineError(
                    f"There is no memory for a context of {cost.context_tokens} tokens and its prefixes."
                ) from error
            raise

    def make_again(self, cost: Cost, carried: list[Carried]) -> Arena:
        """An arena of the old size; without its evaluated prefixes if there is no room for them now."""
        try:
            return self.make(cost, carried)
        except EngineError:
            if not carried:
                raise
            return self.make(cost, [])

    def _fill(self, context: Context, cost: Cost, carried: list[Carried]) -> Arena:
        # Where prefixes are copies too, both kinds share what was counted on.
        exact_bytes = cost.snapshot_bytes
        prefixes: Prefixes
        if context.keeps_whole_states:
            exact_bytes //= EXACT_PART
            prefixes = StatePrefixes(context, self.disk, limit_bytes=cost.snapshot_bytes - exact_bytes)
        else:
            prefixes = TreePrefixes(context, self.disk)
        exact = StatePrefixes(context, DiskIndex(None, 1), limit_bytes=exact_bytes, border=MICRO_BATCH_TOKENS)
        prefixes.accept(carried)
        return Arena(
            self._binding,
            context,
            self.vocabulary,
            prefixes=prefixes,
            exact=exact,
            states=AnswerStates(context, self.copies.answers, self._bytes_per_token),
            usage=self.usage,
            threads=chosen_threads(self._spec.threads, self.tuning),
        )
