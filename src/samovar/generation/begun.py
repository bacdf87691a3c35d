"""An answer that is in progress, as plain values: what another process needs to go on from its last token.

Above: `__init__.py`. Below: nothing. Only whoever made an answer can read these; anyone may keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

KEEP_EVERY_S = 3.0
"""So much of an answer is lost at most if its process is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptState:
    """What a model had evaluated at one moment of an answer, as copies on disk."""

    ends: tuple[int, ...]
    """Where each copy ends, in tokens of prompt and answer; it begins where the one before it ends."""
    tokens: int
    """How many tokens the answer had then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The beginning of an answer."""

    of: str
    """Digest of all that the answer depends on: the prompt, the options, the model, the engine."""
    tokens: tuple[int, ...]
    """Those that were generated, by the model's own numbers."""
    spent_s: float = 0.0
    """How long they took."""
    settled: int | None = None
    """So many were generated when the model had to stop thinking; None: it never had to."""
    weighed: tuple[tuple[int, str], ...] = ()
    """By the place of a token that others might have stood in place of: how likely these were."""
    states: tuple[KeptState, ...] = ()
    """The newest first; empty if the tokens are evaluated again."""


Keep = Callable[[Begun], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingOn:
    """How an answer outlives its process."""

    begun: tuple[Begun, ...] = ()
    """Answers that were interrupted. One of them is continued if it is exactly of what is asked for now."""
    keep: Keep
    """Called on the event loop every so often, and when the answer is cancelled, with all that there is.
    Never with an answer to a prompt that has a secret."""
    every_s: float
    """How often."""
