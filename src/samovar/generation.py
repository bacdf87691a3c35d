"""What is asked of a model, and what comes back: plain values that both halves know.

Above: the waist (`executors/base.py`) and the engines' contract (`engines/base.py`), which carry these
values. Below: nothing. It does not know how anything is generated.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self, TypeGuard, get_args

Role = Literal["system", "user", "assistant", "tool"]
"""`tool`: what a tool gave back."""
Overflow = Literal["error", "drop_oldest"]
SplitMode = Literal["layer", "row", "none"]
"""How a model is put on several devices: by layers, by rows of matrices, or on one of them."""
KvType = Literal["f16", "q8_0", "q4_0"]
"""What the cells of a context are kept in."""


PartKind = Literal["text", "reasoning"]
"""What a part of an answer is: what was asked for, or what the model thought before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePart:
    """One stretch of an answer that is all of one kind."""

    kind: PartKind = "text"
    text: str
    tokens: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """The model's own numbers of the tokens it was made of, its markers and blanks among them; empty where
    whoever answered does not tell them."""


def joined(parts: Iterable[MessagePart], kind: PartKind = "text") -> str:
    """The text of all parts of one kind."""
    return "".join(part.text for part in parts if part.kind == kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A tool as it is offered to a model."""

    name: str
    """Letters, digits, `_`, `-` and `.`."""
    description: str
    """For the model; it is data, whoever wrote it."""
    parameters: str
    """The JSON Schema of its arguments, which are an object, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model wants a tool to be used."""

    id: str
    """Tells calls of a conversation apart."""
    name: str
    """As in its `ToolDefinition`."""
    arguments: str
    """An object, as JSON; as the model wrote it, which may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation. `content` is data: no part of it becomes a control token."""

    role: Role
    content: str
    """Its text, without what was only thought."""
    parts: tuple[MessagePart, ...] = ()
    """Where it is more than one text: all of it, `content` included; else empty."""
    secret: bool = False
    """While it is in a conversation, nothing that is evaluated for it is written to disk."""
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant: the tools that it wants to be used. What they give back follows, one message each."""
    call: ToolCall | None = None
    """Of a tool: what `content` is the result of."""

    def __post_init__(self) -> None:
        if self.parts and joined(self.parts) != self.content:
            raise ValueError("the content of a message is the text of its parts")

    @classmethod
    def of_parts(cls, role: Role, parts: Iterable[MessagePart]) -> Self:
        """A message of these parts; one that is only text is a plain one."""
        parts = tuple(parts)
        is_plain = all(part.kind == "text" for part in parts)
        return cls(role=role, content=joined(parts), parts=() if is_plain else parts)

    @property
    def reasoning(self) -> str:
        """What was thought before the text; templates get it only if they ask for it."""
        return joined(self.parts, "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is picked. The defaults pick the likeliest one (greedy)."""

    temperature: float = 0.0
    """0 is greedy; 1 samples from the model's own distribution; at most 2 is sensible."""
    top_k: int = 0
    """Only the k likeliest tokens take part; 0 means all."""
    top_p: float = 1.0
    """Only the likeliest tokens that make up this probability take part; 1 means all."""
    min_p: float = 0.0
    """Only tokens at least this likely, relative to the likeliest, take part; 0 means all."""
    repeat_penalty: float = 1.0
    """Divides the logits of tokens among the last 64; 1 means none."""
    seed: int = 0
    """See `SEEDS`; the same seed picks the same tokens from the same logits."""


MOST_SEED = 2**32 - 1
SEEDS = f"a whole number from 0 to {MOST_SEED}"
"""What a seed may be, in words."""


def is_seed(value: object) -> TypeGuard[int]:
    """Whether a value may be a seed."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_SEED


NO_TEMPLATE = "none"
Template = Mapping[str, Any] | Literal["none"]
"""Arguments of a chat template, by name, with values that JSON has; or `NO_TEMPLATE`."""
GIVEN_TO_TEMPLATES = frozenset(
    ("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token")
)
"""The arguments that every chat template gets from whoever renders it, and nobody else gives."""

FormKind = Literal["schema", "regex", "grammar"]
"""What an answer's form is given by: a JSON Schema, a regular expression, a grammar of Lark."""
FORMS: tuple[FormKind, ...] = get_args(FormKind)
"""The options that say it: at most one of them is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form that an answer has, whatever the model would say."""

    kind: FormKind
    text: str
    """The schema as JSON, the expression, or the grammar."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "regular expression" if self.kind == "regex" else self.kind


TIMEOUT_CEILING = 20
"""A whole answer may take so many times as long as the pause after which it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The limits and the form of one answer."""

    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 512
    """At most so many tokens are generated, reasoning included (fewer when the context has less room)."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these texts, none of which is ever part of it. They are looked for
    in its text, not in the reasoning."""
    choices: tuple[str, ...] = ()
    """Where given, the answer is exactly one of these texts; `stop` does not apply, and `max_tokens` only to
    the reasoning before it."""
    schema: str | None = None
    """The answer is JSON, without blanks between its parts, that this JSON Schema (as JSON) accepts."""
    show_schema: bool = True
    """Whoever makes the messages puts the schema at their end, in a short form."""
    regex: str | None = None
    """The whole answer matches this regular expression."""
    grammar: str | None = None
    """The answer is a text of this Lark grammar, from `start` on."""
    think: bool | None = None
    """Turns the model's reasoning on or off, if its chat template can; None: as the template does."""
    template: Template = field(default_factory=dict)
    """Further arguments of the model's chat template; or `none`, see `raw`."""
    timeout_s: float | None = None
    """Ends the answer when no token came for so long, in seconds, or after `ceiling_s`; None: never."""
    overflow: Overflow = "error"
    """What a conversation longer than any context does: fail, or forget its oldest messages."""
    deterministic: bool = False
    """The same text each time, cold or warm: evaluated alone, prefixes taken at fixed borders only."""

    tools: tuple[ToolDefinition, ...] = ()
    """What the model may call, in an order that stays the same from prompt to prompt."""
    tool_choice: str = "auto"
    """`auto`: the model decides; `none`: it may call nothing; `required`: it calls something; else the name
    of the tool that it calls."""

    @property
    def raw(self) -> bool:
        """No chat template is used: the messages' texts are one text that the model goes on
        with, and its answer is what it says, untouched."""
        return self.template == NO_TEMPLATE

    @property
    def form(self) -> Form | None:
        """The form that the answer has; None if any text will do. At most one is given."""
        given: list[tuple[FormKind, str | None]] = [(kind, getattr(self, kind)) for kind in FORMS]
        return next((Form(kind=kind, text=text) for kind, text in given if text is not None), None)

    @property
    def held_by(self) -> str:
        """What the answer's text is held to, in words; empty if to nothing."""
        form = self.form
        return "choices" if self.choices else form.name if form else ""

    @property
    def answer_tokens(self) -> int:
        """Tokens that the answer may take. A token of a choice spells at least one byte; one more ends it."""
        choices = [len(choice.encode("utf-8", "replace")) for choice in self.choices]
        return max(choices) + 1 if choices else self.max_tokens

    @property
    def ceiling_s(self) -> float | None:
        """Ends the answer so long after it began, however steadily its tokens come."""
        return None if self.timeout_s is None else TIMEOUT_CEILING * self.timeout_s


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

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            evaluated=self.evaluated + other.evaluated,
            reused=self.reused + other.reused,
            generated=self.generated + other.generated,
            reasoning=self.reasoning + other.reasoning,
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
    """Of all that the run tells, from 1, without a gap."""
    time: float = 0.0
    """Seconds since 1970, by the run's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEvent(Happening):
    """Something that happens while a prompt is answered. Each kind is defined here once and passed on."""

    visit: int = 0
    """The number of the visit in the run, which the runner puts in; 0 below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFetching(PromptEvent):
    """The model's file is being fetched; sent as it goes on."""

    model: str
    done_bytes: int
    total_bytes: int | None
    """None if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoading(PromptEvent):
    """The model is being loaded; sent as it goes on."""

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
class TextGenerated(PromptEvent):
    """The next piece of the answer, or of the reasoning before it."""

    piece: str
    """Whole characters, never part of a stop text."""
    kind: PartKind = "text"
    tokens: tuple[int, ...] = ()
    """The model's own numbers of the tokens that were generated for it; empty where they are not told."""
