"""The replies of a model: why an answer ended, its cost, and the events during it.

Above: `__init__.py`. Below: `messages.py`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from samovar.generation.messages import PartKind


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    """The model was done, or a stop text or the last token of a choice was reached."""
    LENGTH = "length"
    """`max_tokens` were generated, reasoning included, or the context is full."""
    CALLS = "calls"
    """The model wants tools to be used, and waits for what they give back."""
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one answer, or of many added up."""

    evaluated: int = 0
    """Prompt tokens that were computed."""
    reused: int = 0
    """Prompt tokens whose KV was there already."""
    generated: int = 0
    reasoning: int = 0
    """Of those generated: the ones that the model spent on its reasoning."""
    resumed: int = 0
    """Of those generated: the ones that an earlier process had generated, before it was interrupted."""
    untold: int = 0
    """Answers of which whoever gave them did not say how many tokens they took: they count as none above."""

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            evaluated=self.evaluated + other.evaluated,
            reused=self.reused + other.reused,
            generated=self.generated + other.generated,
            reasoning=self.reasoning + other.reasoning,
            resumed=self.resumed + other.resumed,
            untold=self.untold + other.untold,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Texts as vectors: the nearer two are, the more alike their texts are to the model."""

    vectors: tuple[array[float], ...]
    """One for each text, in their order: `array("f")` of length 1, so that a product is a cosine."""
    tokens: int
    """Evaluated, of all texts together."""
    model: str
    """The reference of the model that made them. Vectors of different models cannot be compared."""


# What happens while a prompt is answered -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happens in a run. What it has here the run's recorder puts in; below it, it is empty."""

    run: str = ""
    """The run's id."""
    number: int = 0
    """The number of the event in the run, from 1, without a gap."""
    time: float = 0.0
    """Seconds since 1970, by the run's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEvent(Happening):
    """Something that happens while a prompt is answered. Each kind is defined here once and passed on."""

    visit: int = 0
    """The number of the visit in the run, which the runner puts in; 0 below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFetching(PromptEvent):
    """The model's file is being fetched; sent while it is in progress."""

    model: str
    done_bytes: int
    total_bytes: int | None
    """None if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoading(PromptEvent):
    """The model is being loaded; sent while it is in progress."""

    model: str
    fraction: float
    """0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEvaluating(PromptEvent):
    """The prompt is being evaluated; sent once before the first chunk, and after each."""

    total_tokens: int
    reused_tokens: int
    """Whose KV was there already."""
    evaluated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorFailed(PromptEvent):
    """An executor of several was not to be had, and the next one is asked."""

    executor: str
    next: str
    why: str
    """For a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGenerated(PromptEvent):
    """The next piece of the answer, or of the reasoning before it."""

    piece: str
    """Whole characters, never part of a stop text."""
    kind: PartKind = "text"
    tokens: tuple[int, ...] = ()
    """The model's own numbers of the tokens that were generated for it; empty where they are not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(PromptEvent):
    """The model wants a tool to be used, and it is."""

    call: str
    """The call's id."""
    name: str
    arguments: str
    """As the model wrote them: an object, as JSON, or what should be one. Cut where it is long."""
    round: int
    """How often the model has asked for tools in this prompt, this time included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(PromptEvent):
    """What came of a call."""

    call: str
    """The call's id."""
    name: str
    status: ToolStatus
    text: str
    """What the model gets, cut where it is long."""
    chars: int
    """Of the whole result."""
    is_cut: bool
    """The model gets less than the whole."""
    duration_s: float


ToolStatus = Literal["ok", "error", "refused", "invalid"]
"""`error`: the tool said so; `refused`: it was not allowed; `invalid`: it was never used, since there is no
such tool, or its arguments do not have the form that it takes."""
