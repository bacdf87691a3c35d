"""Messages to tokens, by the model's own chat template.

Above: `model.py`, `counting.py`. Below: `turns.py`, `vocabulary.py`, `controls.py`. Templates are code from a
file that somebody made, so they run in a sandbox. Message content is data: a control token's text in it stays
text, whatever the template does to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.controls import Marking, Span
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.generation import Message, Role

if TYPE_CHECKING:
    from samovar.engines.llama.turns import Turns

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% endif %}"
)
"""For models whose file has no template."""
CHATML_END = "<|im_end|>"

NO_TEMPLATE = "The model's file has no chat template; ChatML was used."
ONLY_A_NAME = "The model's file has only the name of a chat template, {name!r}; ChatML was used."
PLAIN_MARKS = (
    "This model's chat template marks turns with plain text: a text in a prompt that looks like such a mark "
    "cannot be distinguished from it."
)

_PROBE = "samovar probe"
_MARK = re.compile(
    r"<[|/]?(?:im_|start|end|turn|system|user|human|assistant|model|bot)[a-z_]{0,40}\|?>"
    r"|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>",
    re.IGNORECASE,
)
"""What marks of turns look like, in what templates render: `<|user|>`, `[INST]`, `<<SYS>>`."""


class ChatTemplate:
    """One model's template, compiled once."""

    def __init__(
        self, source: str | None, vocabulary: Vocabulary, clock: Callable[[], datetime] = datetime.now
    ) -> None:
        """`source`: None, or a text without any Jinja, which is the name of a template, means ChatML.

        `clock`: the local time now, for templates that ask. Raises `EngineError` for a bad template.
        """
        from samovar.engines.llama.dialect import Dialect
        from samovar.engines.llama.turns import Turns

        self.is_default = source is None or "{" not in source
        self._source = CHATML if source is None or self.is_default else source
        self._vocabulary = vocabulary
        texts = {
            "bos_token": vocabulary.text_of(vocabulary.bos),
            "eos_token": vocabulary.text_of(vocabulary.eos),
        }
        self._turns: Turns = Turns(Dialect(self._source, clock), texts)
        self._notes: list[str] = []
        if self.is_default:
            self._notes.append(ONLY_A_NAME.format(name=source[:40]) if source else NO_TEMPLATE)
        if self._marks_are_plain():
            self._notes.append(PLAIN_MARKS)

    @classmethod
    def of(cls, binding: Binding, model: Any, vocabulary: Vocabulary) -> ChatTemplate:
        """That of an opened model's file; ChatML if it has none."""
        source = binding.lib.llama_model_chat_template(model, binding.ffi.NULL)
        is_there = source != binding.ffi.NULL
        return cls(binding.ffi.string(source).decode("utf-8", "replace") if is_there else None, vocabulary)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it. More can be known once it has rendered messages."""
        return (*self._notes, *self._turns.notes)

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts at which an answer ends, since the vocabulary has no token that would end it."""
        is_plain = self.is_default and CHATML_END not in self._vocabulary.controls
        return (CHATML_END,) if is_plain else ()

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens, ending where the assistant's answer starts.

        Raises `EngineError` if the template refuses the messages, fails, leaves a message out, or does more
        than it may.
        """
        vocabulary = self._vocabulary
        contents = [message.content for message in messages]
        marking = Marking(vocabulary.controls, contents, self._source, of_all=self._leaves_open)
        marked = self._rendered(messages, marking)
        text, spans = marking.undone(marked), vocabulary.controls.found(marked)
        if vocabulary.controls.found(text) == spans:  # all of them are the template's
            tokens = vocabulary.tokenize(text, special=True)
        else:
            tokens = vocabulary.tokenize_apart(self._parts(text, spans))
        if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return tokens

    def _rendered(self, messages: Sequence[Message], marking: Marking) -> str:
        """The prompt with marks, so that no content in it makes a control text.

        Templates look at contents, so what is not a control text stays as it is if the template makes none of
        it. A rendering in which no content can begin one shows whether it does.
        """
        whole = self._turns.render(messages, marking.whole_texts)
        if self._leaves_open:
            safe = self._turns.render(messages, marking.all_characters)
            return whole if self._controls_of(whole) == self._controls_of(safe) else safe
        if all(
            marking.whole_texts(message.content) == marking.all_beginnings(message.content)
            for message in messages
        ):
            return whole
        safe = self._turns.render(messages, marking.all_beginnings)
        return whole if self._controls_of(whole) == self._controls_of(safe) else safe

    @cached_property
    def _leaves_open(self) -> bool:
        """Whether the template writes the beginning of a control text right before a content."""
        words = [f"{_PROBE} {number}" for number in range(4)]
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

    def _marks_are_plain(self) -> bool:
        """Whether what ends a turn, or looks like a mark of one, is not a control token."""
        try:
            text = self._turns.render([Message(role="user", content=_PROBE)])
        except EngineError:  # which whoever asks will get
            return False
        spans = self._vocabulary.controls.found(text)
        end = text.rfind(_PROBE) + len(_PROBE)
        plain = [part for part in self._parts(text, spans) if isinstance(part, str)]
        return not any(start >= end for start, _ in spans) or any(map(_MARK.search, plain))
