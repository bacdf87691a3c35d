"""Converts messages to tokens with the model's own chat template.

Above: `model.py`, `counting.py`. Below: `turns.py`, `vocabulary.py`, `controls.py`. Templates are code from a
file that somebody made, so they run in a sandbox. Message content is data: a control token's text in it stays
text, whatever the template does to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samovar.engines.answer import AnswerParts
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.arguments import Arguments
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.controls import Marking, Span
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.engines.markers import Beginning, Markers
from samovar.errors import EngineError
from samovar.generation import Message, Options, Role

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


NO_SYSTEM = (
    "Without a chat template (template=none) there is no place for a system text: put it at the beginning "
    "of the "
    "prompt, and leave out `system`."
)
NO_ARGUMENTS = "Without a chat template (template=none) there is nothing that `think` could turn on or off."


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens:
    """What a model continues from, and how."""

    tokens: list[int]
    beginning: Beginning | None
    """How its answer begins; None for one that is left as it is."""


class ChatTemplate:
    """One model's template, compiled once."""

    def __init__(
        self, source: str | None, vocabulary: Vocabulary, clock: Callable[[], datetime] = datetime.now
    ) -> None:
        """`source`: None, or a text without any Jinja, which is the name of a template, means ChatML.

        `clock`: the local time now, for templates that ask. Raises `EngineError` for a bad template.
        """
        from samovar.engines.llama.dialect import Dialect
        from samovar.engines.llama.turns import Filling, Turns

        self.is_default = source is None or "{" not in source
        self._source = CHATML if source is None or self.is_default else source
        self._vocabulary = vocabulary
        texts = {
            "bos_token": vocabulary.text_of(vocabulary.bos),
            "eos_token": vocabulary.text_of(vocabulary.eos),
        }
        dialect = Dialect(self._source, clock)
        filling = Filling(texts=texts, shows_reasoning="reasoning_content" in self._source)
        self._turns: Turns = Turns(dialect, filling)
        self._dialect = dialect
        self.markers = Markers.found(self._source, vocabulary.controls)
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

    def end(self) -> int:
        """The token that ends a turn of the assistant; -1 if the vocabulary has none that ends an answer."""
        vocabulary, ends = self._vocabulary, list(self._vocabulary.ends)
        with suppress(EngineError):  # which anyone who asks will get
            said = Message(role="assistant", content=_PROBE)
            text = self._turns.render([Message(role="user", content="?"), said])
            spans = vocabulary.controls.found(text[text.rfind(_PROBE) :])
            texts = [text[text.rfind(_PROBE) :][start:end] for start, end in spans]
            ends = [one for one in map(vocabulary.controls.__getitem__, texts) if one in ends] + ends
        return ends[0] if ends else -1

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts at which an answer ends, since the vocabulary has no token that would end it."""
        is_plain = self.is_default and CHATML_END not in self._vocabulary.controls
        return (CHATML_END,) if is_plain else ()

    def tokens(self, messages: Sequence[Message], options: Options | None = None) -> list[int]:
        """The tokens of the prompt. See `prompt`."""
        return self.prompt(messages, options or Options()).tokens

    def prompt(self, messages: Sequence[Message], options: Options) -> PromptTokens:
        """The prompt, ending where the assistant's answer starts.

        Raises `EngineError` if the template refuses the messages, fails, leaves a message out, or does more
        than it may; and for options that it cannot meet. Blocks.
        """
        if options.raw:
            return PromptTokens(tokens=self._raw_tokens(messages, options), beginning=None)
        arguments: Mapping[str, Any] = {}
        if options.template or options.think is not None:
            assert isinstance(options.template, Mapping)
            arguments = self._arguments.checked(
                options.template, options.think, always_thinks=self._always_thinks
            )
        marked = self._marked(messages, arguments)
        beginning = self._beginning(messages, marked[1], arguments)
        return PromptTokens(tokens=self._tokens(*marked), beginning=beginning)

    def _beginning(self, messages: Sequence[Message], marked: str, arguments: Mapping[str, Any]) -> Beginning:
        """What the template has opened or closed at the end; what a message ends in is only a text."""
        last = messages[-1]
        if self.markers.beginning(last.content) != Beginning():
            neutral = Message(role=last.role, content=_PROBE)
            marked = self._turns.render([*messages[:-1], neutral], arguments=arguments)
        return self.markers.beginning(marked)

    def answer(self, options: Options, beginning: Beginning | None) -> TokenAnswer:
        """What the tokens of an answer are fed to. Blocks."""
        markers = None if beginning is None else self.markers
        stop = options.stop if options.raw else (*options.stop, *self.stop)
        form = options.form
        answer = AnswerParts(
            markers,
            beginning,
            stop=() if options.held_by else stop,
            choices=options.choices,
            form=None if form is None else form.kind,
            blank="text" if markers is None else self._vocabulary.head_blank(),
        )
        return TokenAnswer(self._vocabulary, answer, self._marks if markers else {}, options.choices)

    @cached_property
    def _marks(self) -> dict[int, bytes]:
        """The control tokens that mark reasoning, or are parts of marks."""
        controls = self._vocabulary.controls.items()
        return {token: text.encode() for text, token in controls if self.markers.is_part(text)}

    @cached_property
    def _arguments(self) -> Arguments:
        dialect = self._dialect
        return Arguments(source=self._source, names=dialect.arguments, builtins=dialect.builtins)

    @cached_property
    def _always_thinks(self) -> bool:
        """Whatever the template is given, its model thinks first."""
        if self.markers.has_channels:
            return True
        try:
            text = self._turns.render([Message(role="user", content=_PROBE)])
        except EngineError:  # which anyone who asks will get
            return False
        return self.markers.beginning(text).inside is not None

    def _raw_tokens(self, messages: Sequence[Message], options: Options) -> list[int]:
        """The tokens of the messages' texts as one text, without control tokens."""
        if options.think is not None:
            raise EngineError(NO_ARGUMENTS)
        if any(message.role == "system" for message in messages):
            raise EngineError(NO_SYSTEM)
        vocabulary = self._vocabulary
        text = "".join(message.content for message in messages)
        return self._begun(vocabulary.tokenize_apart([text] if text else []))

    def _marked(self, messages: Sequence[Message], arguments: Mapping[str, Any]) -> tuple[str, str]:
        """The prompt, and the prompt with marks in what the messages and arguments contain."""
        contents = [text for message in messages for text in (message.content, message.reasoning) if text]
        contents += [text for value in arguments.values() for text in _texts_in(value)]
        marking = Marking(self._vocabulary.controls, contents, self._source, of_all=self._leaves_open)
        marked = self._rendered(messages, marking, arguments, contents)
        return marking.undone(marked), marked

    def _tokens(self, text: str, marked: str) -> list[int]:
        vocabulary = self._vocabulary
        spans = vocabulary.controls.found(marked)
        if vocabulary.controls.found(text) == spans:  # all of them are the template's
            tokens = vocabulary.tokenize(text, special=True)
        else:
            tokens = vocabulary.tokenize_apart(self._parts(text, spans))
        return self._begun(tokens)

    def _begun(self, tokens: list[int]) -> list[int]:
        """With the token that begins a text, if the vocabulary has that."""
        vocabulary = self._vocabulary
        if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return tokens

    def _rendered(
        self,
        messages: Sequence[Message],
        marking: Marking,
        arguments: Mapping[str, Any],
        contents: Sequence[str],
    ) -> str:
        """The prompt with marks, so that no content in it makes a control text.

        Templates look at contents, so what is not a control text stays as it is if the template makes none of
        it. A rendering in which no content can begin one shows whether it does.
        """
        whole = self._turns.render(messages, marking.whole_texts, arguments)
        stricter = marking.all_characters if self._leaves_open else marking.all_beginnings
        if not self._leaves_open and all(marking.whole_texts(one) == stricter(one) for one in contents):
            return whole
        safe = self._turns.render(messages, stricter, arguments)
        return whole if self._controls_of(whole) == self._controls_of(safe) else safe

    @cached_property
    def _leaves_open(self) -> bool:
        """Whether the template writes the beginning of a control text right before a content."""
        words = [f"{_PROBE} {number}" for number in range(4)]
        roles: tuple[Role, ...] = ("system", "user", "assistant", "user")
        messages = [Message(role=role, content=word) for role, word in zip(roles, words, strict=True)]
        notes, text = tuple(self._turns.notes), ""
        for some in (messages[1:2], messages):
            with suppress(EngineError):  # which anyone who asks will get
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
        except EngineError:  # which anyone who asks will get
            return False
        spans = self._vocabulary.controls.found(text)
        end = text.rfind(_PROBE) + len(_PROBE)
        plain = [part for part in self._parts(text, spans) if isinstance(part, str)]
        return not any(start >= end for start, _ in spans) or any(map(_MARK.search, plain))


def _texts_in(value: Any) -> Iterator[str]:
    """The texts in an argument, those that name something among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
