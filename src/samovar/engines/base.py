"""The contract of an engine: it loads models; a loaded model answers.

Above: `pool.py`, which decides what is loaded and when it goes, and `session.py`, which asks. Below: the
members of this shelf. An engine knows files, tokens and bytes; it knows no session, pool or workflow.

Order of a model's life: `Engine.load` → any number of `Model.generate` and `embed`, also at once →
`Model.close`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samovar.errors import ContextError
from samovar.generation import (
    Embeddings,
    FinishReason,
    GoingOn,
    KvType,
    Message,
    Options,
    PartKind,
    PromptEvaluating,
    TextGenerated,
    TokenCounts,
    ToolCall,
)
from samovar.models.cost import Cost
from samovar.models.devices import ANY_DEVICES, DeviceChoice
from samovar.values.certainty import ChosenValue

OnLoadProgress = Callable[[float], None]
"""Called on the event loop with the fraction loaded, 0 to 1, never falling."""
OnEnd = Callable[[], None]
"""Called on the event loop, once: the model holds nothing for this answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsKey:
    """The identity of loaded weights: all that truly needs another load, and nothing else."""

    path: Path
    """The resolved file; of several parts, the first."""
    size_bytes: int
    """Bytes of the file, with all its parts."""
    modified_ns: int
    """When the file was last changed, in nanoseconds since 1970; of several parts, the sum."""
    gpu_layers: int | None
    """As asked for in the `ModelSpec`; None: as many as fit."""
    devices: DeviceChoice = ANY_DEVICES
    """As asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which weights to load and how to run them."""

    reference: str
    """What the person calls it; shown, never compared."""
    path: Path
    """The model's file."""
    gpu_layers: int | None = None
    """Layers on devices, the output counted as one; None: as many as fit, 0: everything stays on the CPU."""
    context_tokens: int | None = None
    """Cells asked for; None means min(trained, 8192)."""
    threads: int | None = None
    """CPU threads; None means as many as serve best, changed while it runs."""
    kv_type: KvType = "f16"
    """What KV cells are kept in; the quantized ones take about a half and a quarter."""
    embedding_tokens: int = 0
    """The longest text that there is to be room to embed; 0: as many as the engine begins with."""
    devices: DeviceChoice = ANY_DEVICES
    """Which devices layers go to, and how they are parted among them."""
    replaces: Cost | None = None
    """The cost of an arena over the same weights that this one would replace: its memory on devices is free
    for it."""
    repack: bool | None = None
    """Whether weights may be put into another order in private memory, which makes evaluating faster; None:
    if they fit so, and else they are used as they are in the file."""
    holds_forms: bool = False
    """Whether it is loaded for an answer of a form: what forms need is then made as early as possible."""


class Conversation:
    """Told to the engine with each turn: while someone may continue from here, what was evaluated is kept.

    It holds no memory. A session has one; a fork has one of its own and is a user of the one it came from.
    """

    __slots__ = ("_users", "may_come_again")

    def __init__(self) -> None:
        self._users = 1
        self.may_come_again = False
        """All of it may be said once more after it is over, by someone who keeps no session."""

    def join(self) -> None:
        """One more may continue from here."""
        self._users += 1

    def leave(self) -> None:
        """One of them will not continue."""
        assert self._users > 0, "left more often than joined"
        self._users -= 1

    @property
    def is_over(self) -> bool:
        return self._users == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """One model's books. Every figure is measured, or None if the engine cannot measure it."""

    weights_bytes: int | None
    """Bytes of all tensors."""
    kv_bytes: int | None
    """Bytes of all cells of the arena, used or not."""
    context_tokens: int
    """Cells in the arena."""
    threads: int | None
    """That decode at the moment."""
    threads_reason: str | None
    """Why this many."""
    tuning: str | None
    """Settings of the context, and where they come from."""
    tokens: TokenCounts
    """Tokens of all answers that have ended."""
    restored_tokens: int
    """Reused tokens that were restored from disk."""
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
    embedded_texts: int = 0
    embedded_tokens: int = 0
    """Tokens of all embedded texts; not among `tokens`."""
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
    """The part of the answer that did not end; None if all of it did."""
    chosen: tuple[ChosenValue, ...] = ()
    """The choices that the answer holds, if it was held to `choices` or a schema, with how sure each was."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that the model calls, if that is why it ended (`FinishReason.CALLS`)."""
    tools_tokens: int = 0
    """Of the prompt: those of the tools' definitions."""
    context_tokens: int = 0
    """Cells that the prompt and the answer had."""


GenerationEvent = PromptEvaluating | TextGenerated | Finished
"""What a model says of an answer; see `generation/` for the first two."""


def check_lengths(lengths: Sequence[int], *, room_tokens: int, most_tokens: int) -> None:
    """Raises `ContextError` unless texts of these lengths, in tokens, can be embedded one after the other.

    It names the first that is longer than `most_tokens`, which no room is enough for, or else the longest.
    """
    never = [number for number, length in enumerate(lengths) if length > most_tokens]
    longest = max(range(len(lengths)), key=lengths.__getitem__, default=0)
    number = never[0] if never else longest
    if lengths and lengths[number] > min(room_tokens, most_tokens):
        raise ContextError(
            prompt_tokens=lengths[number],
            context_tokens=room_tokens,
            most_tokens=most_tokens,
            text=number + 1,
        )


class Model(Protocol):
    """Loaded weights that can answer or embed texts. What they cannot do raises `ModelFileError`."""

    def generate(
        self,
        messages: Sequence[Message],
        options: Options,
        conversation: Conversation | None = None,
        *,
        on_end: OnEnd = lambda: None,
        going_on: GoingOn | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[GenerationEvent]]:
        """Answers `messages`. Without a `conversation` nobody continues from the answer.

        The iterator gives one `PromptEvaluating` before anything is evaluated, further ones in between,
        `TextGenerated`s, and ends after `Finished`. Leaving the context early cancels; when the exit returns,
        on any path, the sequence has been given back. Requests are served first come, first served.
        `on_end` is called once the engine has done with the answer, at the latest before the exit returns.
        What has not been read by then can still be read, also from a model that was closed meanwhile.

        With `going_on` the answer is kept, also if it is left early, and begins with what was kept of it,
        which counts as generated. With `deterministic` the whole is the same as without an interruption.

        Raises on entry, before anything is decoded: `ContextError` for a prompt that does not fit,
        `UnmetError` for options that cannot be met, `ClosedError` after `close`.
        """
        ...

    async def count(self, messages: Sequence[Message], options: Options) -> int:
        """The tokens of the prompt that `generate` would evaluate. Raises what that raises on entry for
        messages and tools that cannot be put to the model; a prompt of any length is counted."""
        ...

    async def embed(self, texts: Sequence[str], *, prefix: str = "") -> Embeddings:
        """Each of `texts` as a vector of length 1, alone or with others the same to 1e-5.

        `prefix` is put before each of them, as it is; nothing else is. A text is data: the text of a control
        token in it stays text. Pooled as the file says, otherwise the mean. Cancelling stops it within one
        node of the engine's graph, and gives everything back first.

        Raises `ContextError` for a text that is too long, with its number: either there is no room for it now
        (`resize` with a cost of more `embedding_tokens`), or its tokens are more than `most_tokens`.
        `ModelFileError` if the model cannot embed, `UnmetError` for a text without any token, `EngineError`
        for vectors that are not numbers, `ClosedError` after `close`, also when it closes meanwhile.
        """
        ...

    async def resize(self, cost: Cost) -> None:
        """Replaces the arena by one of `cost.context_tokens` cells over the same weights.

        If only `cost.embedding_tokens` differ, the arena stays: the room for texts to embed is changed.

        Answers that run end first; requests that come later wait. What was evaluated is kept as far as it
        fits. While it is carried over no more is held than `cost.replacing_bytes`, or what the old size costs
        if that is more. Raises `EngineError` when there is no room; the old size then remains.
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

    def beside_bytes(self) -> int:
        """What it holds beside its models for a moment: copies of prefixes on their way to disk."""
        ...

    def leave(self, spare_bytes: int) -> None:
        """From now on it may hold this much beside its models; what is held already goes as written."""
        ...

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        """What a load would take, from the header alone.

        With `free_bytes` and no `context_tokens` asked for, the context is what fits into them. A model that
        cannot answer has no context, but room to embed texts from the start.
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
