"""Messages to tokens, by the model's own chat template.

Above: `model.py`. Below: `vocabulary.py`. Templates are code from a file somebody made, so they run in
Jinja's immutable sandbox. Message content is data: a control token's text in it stays text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
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

    def __init__(self, source: str | None, vocabulary: Vocabulary) -> None:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.is_default = source is None
        self._vocabulary = vocabulary
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        try:
            self._template = environment.from_string(source or CHATML)
        except (TemplateError, RecursionError) as error:
            raise EngineError(f"The model's chat template is not valid Jinja: {error}") from error

    @classmethod
    def of(cls, binding: Binding, model: Any, vocabulary: Vocabulary) -> ChatTemplate:
        """That of an opened model's file; ChatML where it has none."""
        source = binding.lib.llama_model_chat_template(model, binding.ffi.NULL)
        is_there = source != binding.ffi.NULL
        return cls(binding.ffi.string(source).decode("utf-8", "replace") if is_there else None, vocabulary)

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens, ending where the assistant's answer starts.

        Raises `EngineError` when the template refuses the messages.
        """
        held: list[str] = []
        mark = self._free_mark(messages)
        turns = [
            {"role": message.role, "content": self._hold_out(message.content, mark, held)}
            for message in messages
        ]
        return self._tokenize(self._render(turns), mark, held)

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

    def _render(self, turns: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        vocabulary = self._vocabulary
        try:
            return self._template.render(
                messages=turns,
                add_generation_prompt=True,
                bos_token=vocabulary.text_of(vocabulary.bos),
                eos_token=vocabulary.text_of(vocabulary.eos),
            )
        except TemplateError as error:
            raise EngineError(f"The model's chat template refused the messages: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise EngineError(f"The model's chat template failed: {error!r}") from error

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


def _to_json(value: Any, indent: int | None = None, **_options: Any) -> str:
    """Templates want plain JSON, not Jinja's HTML-safe form."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
