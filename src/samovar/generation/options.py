"""The limits and the form of one answer, as plain values.

Above: `__init__.py`. Below: `messages.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, get_args

from samovar.generation.messages import ToolDefinition

Overflow = Literal["error", "drop_oldest"]
SplitMode = Literal["layer", "row", "none"]
"""How a model is put on several devices: by layers, by rows of matrices, or on one of them."""
KvType = Literal["f16", "q8_0", "q4_0"]
"""What the cells of a context are kept in."""


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
"""The arguments that every chat template gets from anyone who renders it, and nobody else gives."""

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
"""A whole answer may take this many times as long as the pause after which it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The limits and the form of one answer."""

    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 512
    """At most this many tokens are generated, reasoning included (fewer when the context has less room)."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these texts, none of which is ever part of it. They are looked for
    in its text, not in the reasoning."""
    choices: tuple[str, ...] = ()
    """Where given, the answer is exactly one of these texts; `stop` does not apply, and `max_tokens` only to
    the reasoning before it."""
    schema: str | None = None
    """The answer is JSON, without blanks between its parts, that this JSON Schema (as JSON) accepts."""
    show_schema: bool = True
    """Anyone who makes the messages puts the schema at their end, in a short form."""
    regex: str | None = None
    """The whole answer matches this regular expression."""
    grammar: str | None = None
    """The answer is a text of this Lark grammar, from `start` on."""
    think: bool | None = None
    """Turns the model's reasoning on or off, if its chat template can; None: as the template does."""
    template: Template = field(default_factory=dict)
    """Further arguments of the model's chat template; or `none`, see `raw`."""
    timeout_s: float | None = None
    """Ends the answer when no token came for this long, in seconds, or after `ceiling_s`; None: never."""
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
        """No chat template is used: the messages' texts are one text that the model continues, and its answer
        is what it says, untouched."""
        return self.template == NO_TEMPLATE

    @property
    def form(self) -> Form | None:
        """The form that the answer has; None if any text will do. At most one is given."""
        given: list[tuple[FormKind, str | None]] = [(kind, getattr(self, kind)) for kind in FORMS]
        return next((Form(kind=kind, text=text) for kind, text in given if text is not None), None)

    @property
    def held_by(self) -> str:
        """What the answer's text is constrained to, in words; empty if to nothing."""
        form = self.form
        return "choices" if self.choices else form.name if form else ""

    @property
    def may_call(self) -> bool:
        """Whether the answer may be calls of tools."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def must_call(self) -> bool:
        """Whether the answer is calls, and no text."""
        return self.may_call and self.tool_choice != "auto"

    @property
    def answer_tokens(self) -> int:
        """Tokens that the answer may take. A token of a choice spells at least one byte; one more ends it."""
        choices = [len(choice.encode("utf-8", "replace")) for choice in self.choices]
        return max(choices) + 1 if choices and not self.may_call else self.max_tokens

    @property
    def ceiling_s(self) -> float | None:
        """Ends the answer this long after it began, however steadily its tokens come."""
        return None if self.timeout_s is None else TIMEOUT_CEILING * self.timeout_s
