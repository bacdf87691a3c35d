"""The settings of a context: one table by device and KV type, which `samovar tune` corrects.

Above: `cost.py`, which says what they take; the engine, which makes contexts with them; `tuned.py`, which
keeps corrections. Below: nothing. What changes the last bits of the logits (flash attention, micro-batches)
is chosen when a model is loaded, from this table or by a person's `samovar tune`, and never by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samovar.errors.counting import counted
from samovar.generation import KvType

DeviceKind = Literal["cpu", "gpu"]

BATCH_TOKENS = 512
"""At most this many tokens are evaluated in one call."""
MICRO_BATCH_TOKENS = 128
"""The engine evaluates this many at once on a CPU, and looks for a stop in between; larger ones are no faster
there and need larger buffers. Deterministic answers are evaluated in pieces of this, whatever is set."""
SPIN_COUNT = 1000
"""Turns an idle OpenMP thread spins before it sleeps; one number for the process: see docs/engine.md."""

TABLE = "the table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Settings of one context."""

    flash_attention: bool | None
    """Attention without a table of scores; None leaves it to the engine. Quantized cells need it."""
    micro_batch_tokens: int = MICRO_BATCH_TOKENS
    """Evaluated at once, up to `BATCH_TOKENS`."""
    threads: int | None = None
    """Threads for steps that only decode, at most; None is one per core."""
    evaluating_threads: int | None = None
    """Threads for steps that evaluate prompts; None is one per core."""
    device: DeviceKind = "cpu"
    """Where the weights are."""
    source: str = TABLE
    """Where this comes from, in words."""
    notes: tuple[str, ...] = ()
    """What a person should know of that."""

    @property
    def transposes_values(self) -> bool:
        """How cells are laid out: states of one layout do not fit the other."""
        return self.flash_attention is False

    def answers_like(self, other: Tuning) -> bool:
        """Whether both give the same logits, bit for bit."""
        return (self.flash_attention, self.micro_batch_tokens) == (
            other.flash_attention,
            other.micro_batch_tokens,
        )

    def __str__(self) -> str:
        flash = {True: "on", False: "off", None: "the engine's own choice"}[self.flash_attention]
        said = [f"flash attention {flash}", f"micro-batches of {counted(self.micro_batch_tokens, 'token')}"]
        if self.threads is not None:
            said.append(f"at most {counted(self.threads, 'thread')} for decoding")
        if self.evaluating_threads is not None:
            said.append(f"{counted(self.evaluating_threads, 'thread')} for evaluating")
        return f"{', '.join(said)} ({self.source})"


_CPU = Tuning(flash_attention=True)
"""It skips the cells of other sequences and of kept prefixes, each of which costs as much as a token of one's
own without it. Alone behind a long context it is slower (docs/engine.md)."""
_GPU = Tuning(flash_attention=None, micro_batch_tokens=BATCH_TOKENS, device="gpu")
_GPU_QUANTIZED = Tuning(flash_attention=True, micro_batch_tokens=BATCH_TOKENS, device="gpu")

_TUNINGS: dict[tuple[DeviceKind, bool], Tuning] = {
    ("cpu", False): _CPU,
    ("cpu", True): _CPU,
    ("gpu", False): _GPU,
    ("gpu", True): _GPU_QUANTIZED,
}
"""By device, and whether cells are quantized."""


def table(device: DeviceKind, kv_type: KvType) -> Tuning:
    """What a context is made with if nothing was measured."""
    return _TUNINGS[device, kv_type != "f16"]
