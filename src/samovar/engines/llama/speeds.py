"""The measurements of a model's speed, their results, and the choice of the best settings.

Above: `measuring.py`, `samovar tune`. Below: `tuning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from samovar.generation import KvType
from samovar.models.tuning import BATCH_TOKENS, MICRO_BATCH_TOKENS, Tuning

BETTER = 0.95
"""Another choice than the table's must take at most this share of its time: less is noise."""
ANSWER_TOKENS = 120
"""Tokens of the answer in the usual request by which choices are compared; its prompt has the shortest
length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    lengths: tuple[int, ...] = (512, 2048)
    """Tokens behind which is decoded, rising."""
    decoded: int = 24
    """Tokens, behind each."""
    copies: int = 4
    """Copies of the shortest length that other sequences keep meanwhile, like conversations in a run."""
    rounds: int = 3

    @property
    def cells(self) -> int:
        """Cells of each context."""
        own = self.lengths[-1] + len(self.lengths) * self.decoded + BATCH_TOKENS
        return own + self.copies * (self.lengths[0] + self.decoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one choice reached, in medians."""

    tuning: Tuning
    evaluate_tokens_per_s: float
    decode_ms: Mapping[int, float]
    """Milliseconds of one token, by the tokens before it."""

    @property
    def request_s(self) -> float:
        """The usual request."""
        prompt_tokens = min(self.decode_ms)
        mean_ms = sum(self.decode_ms.values()) / len(self.decode_ms)
        return prompt_tokens / self.evaluate_tokens_per_s + ANSWER_TOKENS * mean_ms / 1000


def choices(standard: Tuning, kv_type: KvType) -> list[Tuning]:
    """What is worth trying, the table's choice first."""
    flash = [standard.flash_attention]
    if kv_type == "f16":
        flash += [one for one in (False, True) if one is not standard.flash_attention]
    sizes = sorted({MICRO_BATCH_TOKENS, BATCH_TOKENS}, key=lambda size: size != standard.micro_batch_tokens)
    return [
        replace(standard, flash_attention=one, micro_batch_tokens=size) for one in flash for size in sizes
    ]


def best(speeds: Sequence[Speed]) -> Speed:
    """The first, unless another is clearly faster."""
    fastest = min(speeds, key=lambda speed: speed.request_s)
    return fastest if fastest.request_s <= BETTER * speeds[0].request_s else speeds[0]


def fewer_threads(most: int) -> list[int]:
    """Numbers of threads worth trying, the most first."""
    return sorted({max(1, most >> shift) for shift in range(most.bit_length())}, reverse=True)
