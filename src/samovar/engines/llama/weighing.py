"""What an answer might have said in place of what it says where it may be part of a choice, and how likely.

Above: `sampling.py`. Below: `judging.py`, which makes the confidence of a choice of it. As text it can be
kept, so that an answer that goes on in another process is as sure of its choices.
"""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from samovar.engines.judging import Said, Step

MOST_WEIGHED = 1 << 18
"""Characters that are kept of how likely other tokens were, so that an answer can go on elsewhere."""


@dataclass(frozen=True, slots=True)
class Watched(Step):
    """A step that may be part of a choice."""

    allowed: Allowed
    place: int
    """How many tokens the answer had before."""


class Allowed(Sequence[tuple[Said, float]]):
    """What could be said, with its logits. Most steps are not of a choice, and are never asked for it."""

    def __init__(self, tokens: Sequence[int], logits: array[float], piece: Callable[[int], Said]) -> None:
        """`logits`: those of the tokens; of others they say nothing."""
        self._tokens, self._piece, self.logits = array("i", tokens), piece, logits
        if len(self._tokens) != len(logits):
            self._tokens, self.logits = array("i"), array("f")

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: Any) -> Any:
        return self._piece(self._tokens[index]), self.logits[index]


def kept(steps: Sequence[Watched]) -> tuple[tuple[int, str], ...] | None:
    """By their places, the logits of steps as text; None if they are too many to be kept."""
    found = tuple((step.place, b64encode(step.allowed.logits).decode()) for step in steps)
    return found if sum(len(text) for _, text in found) <= MOST_WEIGHED else None


def read(text: str) -> array[float]:
    """The logits of one step."""
    return array("f", b64decode(text))
