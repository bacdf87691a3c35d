"""What an engine is: it loads models; a loaded model answers.

Above: `pool.py`, which decides what is loaded and when it goes, and `session.py`, which asks. Below: the
members of this shelf. An engine knows files, tokens and bytes; it knows no session, pool or workflow.

Order of a model's life: `Engine.load` → any number of `Model.generate`, also at once → `Model.close`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samovar.generation import (
    FinishReason,
    KvType,
    Message,
    Options,
    PartKind,
    PromptEvaluating,
    TextGenerated,
    TokenCounts,
)
from samovar.models.cost import Cost

OnLoadProgress = Callable[[float], None]
"""Called on the event loop with the fraction loaded, 0 to 1, never falling."""


OnEnd = Callable[[], None]
"""Called on the event loop, once: the model holds nothing for this answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsKey:
    """The identity of loaded weights: all that truly needs another load, and nothing else."""

    path: Path
    """The resolved file."""
    size_bytes: int
    """Of the file."""
    modified_ns: int
    """When the file was last changed, in nanoseconds since 1970."""
    gpu_layers: int | None
    """As asked for in the `ModelSpec`; None leaves it to the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which weights to load and how to run them."""

    reference: str
    """What the person calls it; shown, never compared."""
    path: Path
    """The model's file."""
    gpu_layers: int | None = None
    """Layers on the GPU; None leaves it to the engine, 0 keeps everything on the CPU."""
    context_tokens: int | None = None
    """Cells asked for; None means min(trained, 8192)."""
    threads: int | None = None
    """CPU threads; None means as many as serve best, changed while it runs."""
    kv_type: KvType = "f16"
    """What KV cells are kept in; the quantized ones take about a half and a quarter."""


class Conversation:
    """Told to the engine with each turn: while someone may go on from here, what was evaluated is kept.

    It holds no memory. A session has one; a fork has one of its own and is a user of the one it came from.
    """

    __slots__ = ("_users",)

    def __init__(self) -> None:
        self._users = 1

    def join(self) -> None:
        """One more may go on from here."""
        self._users += 1

    def leave(self) -> None:
        """One of them will not go on."""
        assert self._users > 0, "left more often than joined"
        self._users -= 1

    @property
    def is_over(self) -> bool:
        return self._users == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """One model's books. Every figure is measured, or None where the engine cannot measure it."""

    weights_bytes: int | None
    """Of all tensors."""
    kv_bytes: int | None
    """Of all cells of the arena, used or not."""
    context_tokens: int
    """Cells in the arena."""
    threads: int | None
    """That decode at the moment."""
    threads_reason: str | None
    """Why so many."""
    tokens: TokenCounts
    """Of all answers that have ended."""
    restored_tokens: int
    """Of those reused: brought back from disk."""
    restored_s: float
    """How long that took, reading and verifying included."""
    evaluate_s: float | None
    """How long evaluating prompts took, together with what was decoded beside."""
    decode_tokens_per_s: float | None
    """Tokens generated per second of wall time, in turns that evaluated no prompt; all sequences together."""
    sequences_running: int
    """Answers that are being evaluated or generated."""
    requests_waiting: int
    """Asked for and not begun."""
    cells_used: int
    """By answers that run and by prefixes that are kept."""
    notes: tuple[str, ...] = ()
    """What a person should know: no chat template in the file, spin policy set too late …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last thing that comes, exactly once."""

    reason: FinishReason
    """Why it ended."""
    tokens: TokenCounts
    first_token_s: float | None
    """From the request to the first token; None when there was none."""
    cut: PartKind | None = None
    """The part of the answer that did not come to its end; None if all of it did."""


GenerationEvent = PromptEvaluating | TextGenerated | Finished
"""What a model says of an answer; see `generation.py` for the first two."""


class Model(Protocol):
    """Loaded weights that can answer."""

    def generate(
        self,
        messages: Sequence[Message],
        options: Options,
        conversation: Conversation | None = None,
        *,
        on_end: OnEnd = lambda: None,
    ) -> AbstractAsyncContextManager[AsyncIterator[GenerationEvent]]:
        """Answers `messages`. Without a `conversation` nobody goes on from the answer.

        The iterator gives one `PromptEvaluating` before anything is evaluated, further ones as it goes on,
        `TextGenerated`s, and ends after `Finished`. Leaving the context early cancels; when the exit returns,
        on any path, the sequence has been given back. Requests are served first come, first served.

        `on_end` is called once the engine has done with the answer, at the latest before the exit returns.
        What has not been read by then can still be read, also from a model that was closed meanwhile.

        Raises on entry, before anything is decoded: `ContextError` for a prompt that does not fit,
        `EngineError` for options that cannot be met, `ClosedError` after `close`.
        """
        ...

    async def resize(self, cost: Cost) -> None:
        """Replaces the arena by one of `cost.context_tokens` cells over the same weights.

        Answers that run come to their end first; requests that come later wait. What was evaluated is
        kept as far as it fits. Raises `EngineError` when there is no room; the old size then remains.
        """
        ...

    def statistics(self) -> ModelStatistics: ...

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        ...

    async def close(self) -> None:
        """Cancels what runs and frees everything: contexts first, then weights. Safe to call twice."""
        ...


class Engine(Protocol):
    """Loads models."""

    name: str

    def key(self, spec: ModelSpec) -> WeightsKey:
        """The identity of the weights. Raises `ModelError` when the file cannot be used."""
        ...

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        """What a load would take, from the header alone.

        With `free_bytes` and no `context_tokens` asked for, the context is what fits into them.
        Raises `ModelError` when the file cannot be used.
        """
        ...

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> Model:
        """Loads the weights and makes an arena of `cost.context_tokens` cells.

        Cancelling stops the load and leaves nothing. Raises `ModelError`.
        """
        ...

    def close(self) -> None:
        """After the last model has been closed. Safe to call twice."""
        ...
