"""Messages to tokens, by the model's own chat template.

Above: `model.py`, `counting.py`. Below: `dialect.py`, `vocabulary.py`. Templates are code from a file that
somebody made, so they run in a sandbox. Message content is data: a control token's text in it stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.generation import Message

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% endif %}"
)
"""For models whose file has no template."""

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Private-use characters around the number of a held-out text."""


class ChatTemplate:
    """One model's template, compiled once."""

    def __init__(
        self, source: str | None, vocabulary: Vocabulary, clock: Callable[[], datetime] = datetime.now
    ) -> None:
        """`clock`: the local time now, for templates that ask. Raises `EngineError` for a bad template."""
        from samovar.engines.llama.dialect import Dialect

        self.is_default = source is None
        self._vocabulary = vocabulary
        self._dialect = Dialect(source or CHATML, clock)

    @classmethod
    def of(cls, binding: Binding, model: Any, vocabulary: Vocabulary) -> ChatTemplate:
        """That of an opened model's file; ChatML where it has none."""
        source = binding.lib.llama_model_chat_template(model, binding.ffi.NULL)
        is_there = source != binding.ffi.NULL
        return cls(binding.ffi.string(source).decode("utf-8", "replace") if is_there else None, vocabulary)

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens, ending where the assistant's answer starts.

        Raises `EngineError` if the template refuses the messages or fails.
        """
        held: list[str] = []
        mark = self._free_mark(messages)
        turns = [
            {"role": message.role, "content": self._hold_out(message.content, mark, held)}
            for message in messages
        ]
        vocabulary = self._vocabulary
        texts = {
            "bos_token": vocabulary.text_of(vocabulary.bos),
            "eos_token": vocabulary.text_of(vocabulary.eos),
        }
        return self._tokenize(self._dialect.render(turns, texts), mark, held)

    def _free_mark(self, messages: Sequence[Message]) -> str:
        """An opening that no message contains, so that no content can name a held-out text."""
        number = 0
        while any(f"{_OPEN}{number}:" in message.content for message in messages):
            number += 1
        return f"{_OPEN}{number}:"

    def _hold_out(self, content: str, mark: str, held: list[str]) -> str:
        """`content` with each control text in it replaced by a mark, so the template cannot emit it."""
        for control in self._vocabulary.control_texts:
            if control in content:
                content = content.replace(control, f"{mark}{len(held)}{_CLOSE}")
                held.append(control)
        return content

    def _tokenize(self, text: str, mark: str, held: list[str]) -> list[int]:
        vocabulary = self._vocabulary
        parts: list[tuple[str, bool]] = []
        for index, part in enumerate(text.split(mark)):
            if index:
                number, _, part = part.partition(_CLOSE)
                parts.append((held[int(number)], False))
            if part:
                parts.append((part, True))
        tokens = vocabulary.tokenize_parts(parts)
        if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return tokens
