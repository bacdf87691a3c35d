"""Before a run: the tokens of its prompts, and the memory it would take.

Above: the command line. Below: `app.py`, `prompts.py`, the engine's vocabulary and the
prediction of memory. Nothing is loaded, fetched or generated. A figure is known, or it is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from samovar.app import budget_bytes, open_stores, read_reference, spec_for
from samovar.config import Settings
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.counting import open_template
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.tokens import common_length
from samovar.errors import ModelError
from samovar.generation import Message, Options
from samovar.models.capabilities import Capability
from samovar.models.cost import Cost
from samovar.models.header import read_header, require
from samovar.preflight.prompts import PromptPreview

# Memory ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutlook:
    """The known facts about a model that is not loaded."""

    reference: str
    path: Path | None = None
    """None: it is not on this machine."""
    trained_tokens: int | None = None
    cost: Cost | None = None
    """With the context that the budget allows."""
    budget_bytes: int
    why: str | None = None
    """Why nothing more is known of it."""

    @property
    def fits(self) -> bool | None:
        """Whether the budget has room for it."""
        return None if self.cost is None else self.cost.total_bytes <= self.budget_bytes


class Outlook:
    """Looks at models without loading them. Mutable: the vocabularies that are open, until it is left."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stores = settings, open_stores(settings)
        self._engine = LlamaEngine()
        self.budget_bytes = budget_bytes(settings)
        self._models: dict[str, ModelOutlook] = {}
        self._templates: dict[str, ChatTemplate | None] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def model(self, reference: str | None) -> ModelOutlook:
        """None is the default of the settings. Raises `UsageError` for what is not a reference."""
        name = reference or self._settings.model
        if name not in self._models:
            self._models[name] = self._look(name)
        return self._models[name]

    def _look(self, name: str) -> ModelOutlook:
        reference = read_reference(self._settings, name)
        try:
            spec = spec_for(self._settings, reference, self._stores.find(reference))
            header = read_header(spec.path)
            require(header, Capability.ANSWER, name=name)
            trained_tokens = header.context_tokens
        except ModelError as error:
            return ModelOutlook(reference=name, budget_bytes=self.budget_bytes, why=error.message)
        try:
            cost, why = self._engine.predict(spec, free_bytes=self.budget_bytes), None
        except ModelError as error:
            cost, why = None, error.message
        return ModelOutlook(
            reference=name,
            path=spec.path,
            trained_tokens=trained_tokens,
            cost=cost,
            budget_bytes=self.budget_bytes,
            why=why,
        )

    def tokens(
        self, reference: str | None, messages: Sequence[Message], options: Options | None = None
    ) -> list[int] | None:
        """The tokens of a prompt, as they would be sent; None if the model is not on this machine.

        Raises `EngineError` if the model's chat template refuses the messages, or cannot do what the
        options ask for.
        """
        model = self.model(reference)
        if model.reference not in self._templates:
            self._templates[model.reference] = self._open(model)
        template = self._templates[model.reference]
        return None if template is None else template.tokens(messages, options)

    def _open(self, model: ModelOutlook) -> ChatTemplate | None:
        return None if model.path is None else self._stack.enter_context(open_template(model.path))


# Prompts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tokens of a prompt that was not asked. None: the model is not on this machine."""

    known_tokens: int | None = None
    """Without what only the run knows."""
    fixed: tuple[int, ...] = field(default=(), repr=False)
    """The tokens before the first that only the run knows."""

    @property
    def fixed_tokens(self) -> int | None:
        return None if self.known_tokens is None else len(self.fixed)


def count(prompt: PromptPreview, outlook: Outlook) -> Counts:
    """The tokens of a prompt, as far as they are known."""

    def tokens(open_text: str) -> list[int] | None:
        messages = [
            Message(role=one.role, content=one.text(lambda _source: open_text)) for one in prompt.messages
        ]
        return outlook.tokens(prompt.model, messages, prompt.options)

    known = tokens("")
    if known is None:
        return Counts()
    if not any(message.is_open for message in prompt.messages):
        return Counts(known_tokens=len(known), fixed=tuple(known))
    # What stays the same whatever is there; the token before it may still become another.
    one, other = tokens("\n0"), tokens("zZ")
    assert one is not None and other is not None
    return Counts(known_tokens=len(known), fixed=tuple(one[: common_length(one, other)]))


def shared_tokens(counts: Sequence[Counts]) -> int | None:
    """How many tokens several prompts all begin with; None if that is not known, or for fewer than two."""
    if len(counts) < 2 or any(one.known_tokens is None for one in counts):
        return None
    length = min(len(one.fixed) for one in counts)
    for one in counts[1:]:
        length = min(length, common_length(counts[0].fixed, one.fixed))
    return length
