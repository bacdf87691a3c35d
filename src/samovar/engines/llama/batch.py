"""The batch that the decode loop passes to the engine: C arrays, and the owner of each part.

Above: `arena.py`. Below: `binding.py`. Memory is taken once and used for every turn.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.requests import Running


@dataclass(frozen=True, slots=True)
class Part:
    """One sequence's tokens in the batch."""

    running: Running
    tokens: list[int]
    logits_row: int | None
    """The batch row whose logits were asked for; None when there are none."""


class Batch:
    """At most `capacity` tokens."""

    def __init__(self, binding: Binding, capacity: int) -> None:
        self._ffi, self._lib = binding.ffi, binding.lib
        self.capacity = capacity
        self.value = self._lib.llama_batch_init(capacity, 0, 1)
        self.parts: list[Part] = []
        self.evaluates_prompts = False
        for index in range(capacity):
            self.value.n_seq_id[index] = 1
        self.clear()

    @property
    def size(self) -> int:
        return int(self.value.n_tokens)

    @property
    def room(self) -> int:
        return self.capacity - self.size

    def clear(self) -> None:
        self.value.n_tokens = 0
        self.parts = []
        self.evaluates_prompts = False

    def add(self, running: Running, tokens: list[int], position: int, *, wants_logits: bool) -> None:
        """Appends `tokens` at `position` of the sequence; logits are for the last of them."""
        value, start, count = self.value, self.size, len(tokens)
        self._ffi.memmove(value.token + start, array("i", tokens), 4 * count)
        self._ffi.memmove(value.pos + start, array("i", range(position, position + count)), 4 * count)
        self._ffi.memmove(value.logits + start, bytes(count), count)
        for index in range(start, start + count):
            value.seq_id[index][0] = running.row.sequence
        last = start + count - 1
        if wants_logits:
            value.logits[last] = 1
        value.n_tokens = start + count
        self.parts.append(Part(running, tokens, last if wants_logits else None))
        self.evaluates_prompts = self.evaluates_prompts or running.pending > 0

    def close(self) -> None:
        self._lib.llama_batch_free(self.value)
