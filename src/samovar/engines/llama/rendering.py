"""Messages rendered by a chat template and made tokens, of which only the template's own texts are control.

Above: `chat.py`. Below: `turns.py`, `controls.py`, `vocabulary.py`. Whatever a message, an argument, a tool's
definition, a call or its result contains is data: a control token's text in it stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samovar.engines.calls import WritingSyntax, arguments_of
from samovar.engines.llama.controls import Mark, Marking, Span
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.generation import Message, Role

if TYPE_CHECKING:
    from samovar.engines.llama.turns import Turns

PROBE = "samovar probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a template is filled with."""

    messages: Sequence[Message]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further ones of the template, by name."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Definitions that it shows, by `calls.definition_of`."""
    writes: WritingSyntax | None = None
    """How calls are written into messages, since the template writes none; None if it does."""

    @property
    def texts(self) -> list[str]:
        """All that it contains."""
        texts = [text for message in self.messages for text in (message.content, message.reasoning) if text]
        for message in self.messages:
            for call in (*message.calls, *((message.call,) if message.call else ())):
                texts += [call.id, call.name, call.arguments, *texts_in(arguments_of(call))]
        texts += texts_in(self.arguments)
        for tool in self.tools:
            texts += texts_in(tool)
        return texts


class PromptRendering:
    """What one template makes of messages, as tokens of one vocabulary."""

    def __init__(self, turns: Turns, vocabulary: Vocabulary, source: str) -> None:
        """`source`: of the template."""
        self._turns, self._vocabulary, self._source = turns, vocabulary, source

    def marked(self, given: Given) -> tuple[str, str]:
        """The prompt, and the prompt with marks in what it was filled with.

        Raises `EngineError` if the template refuses the messages, fails, or leaves one of them out.
        """
        contents = given.texts
        marking = Marking(self._vocabulary.controls, contents, self._source, of_all=self.leaves_open)
        marked = self._rendered(given, marking, contents)
        return marking.undone(marked), marked

    def tokens(self, text: str, marked: str) -> list[int]:
        vocabulary = self._vocabulary
        spans = vocabulary.controls.found(marked)
        if vocabulary.controls.found(text) == spans:  # all of them are the template's
            tokens = vocabulary.tokenize(text, special=True)
        else:
            tokens = vocabulary.tokenize_apart(self._parts(text, spans))
        return self.begun(tokens)

    def begun(self, tokens: list[int]) -> list[int]:
        """With the token that begins a text, where the vocabulary has that."""
        vocabulary = self._vocabulary
        if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return tokens

    def _rendered(self, given: Given, marking: Marking, contents: Sequence[str]) -> str:
        """The prompt with marks, so that no content in it makes a control text.

        Templates look at contents, so what is not a control text stays as it is if the template makes none of
        it. A rendering in which no content can begin one shows whether it does.
        """
        whole = self._render(given, marking.whole_texts)
        stricter = marking.all_characters if self.leaves_open else marking.all_beginnings
        if not self.leaves_open and all(marking.whole_texts(one) == stricter(one) for one in contents):
            return whole
        safe = self._render(given, stricter)
        return whole if self._controls_of(whole) == self._controls_of(safe) else safe

    def _render(self, given: Given, mark: Mark) -> str:
        return self._turns.render(
            given.messages, mark, given.arguments, tools=given.tools, writes=given.writes
        )

    @cached_property
    def leaves_open(self) -> bool:
        """Whether the template writes the beginning of a control text right before a content."""
        words = [f"{PROBE} {number}" for number in range(4)]
        roles: tuple[Role, ...] = ("system", "user", "assistant", "user")
        messages = [Message(role=role, content=word) for role, word in zip(roles, words, strict=True)]
        notes, text = tuple(self._turns.notes), ""
        for some in (messages[1:2], messages):
            with suppress(EngineError):  # which whoever asks will get
                text += self._turns.render(some)
        self._turns.notes[:] = notes
        starts = [place.start() for word in words for place in re.finditer(word, text)]
        return any(self._vocabulary.controls.is_left_open(text[:start]) for start in starts)

    def _controls_of(self, text: str) -> list[str]:
        return [text[start:end] for start, end in self._vocabulary.controls.found(text)]

    def _parts(self, text: str, spans: Sequence[Span]) -> list[str | int]:
        """`text` as texts and control tokens in turn; the latter are at `spans`."""
        parts: list[str | int] = []
        position = 0
        for start, end in spans:
            parts += [text[position:start], self._vocabulary.controls[text[start:end]]]
            position = end
        return [part for part in (*parts, text[position:]) if part != ""]

    def plain_texts(self, text: str) -> tuple[list[str], list[Span]]:
        """What of a text are no control tokens, and where those are."""
        spans = self._vocabulary.controls.found(text)
        return [part for part in self._parts(text, spans) if isinstance(part, str)], spans


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a value, those that name something among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts_in(name)
            yield from texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)
