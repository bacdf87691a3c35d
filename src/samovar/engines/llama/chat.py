"""Converts messages to tokens with the model's own chat template.

Above: `model.py`, `counting.py`. Below: `rendering.py`, `calling.py`, `turns.py`, `vocabulary.py`. Templates
are code from a file that somebody made, so they run in a sandbox. Message content is data: a control token's
text in it stays text, whatever the template does to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samovar.engines.answer import AnswerParts
from samovar.engines.llama.answering import HeldTo, TokenAnswer
from samovar.engines.llama.arguments import Arguments
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.calling import Calling
from samovar.engines.llama.offer import Offer
from samovar.engines.llama.rendering import PROBE, Given, PromptRendering
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.engines.markers import Beginning, Markers
from samovar.errors import EngineError, UnmetError
from samovar.generation import Message, Options, ToolDefinition

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

MOST_COUNTED = 16
"""Lists of tools of which it is remembered how many tokens they are."""
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
NO_TOOLS = "Without a chat template (template=none) there is no place for tools: leave out `tools`."
NO_ARGUMENTS = "Without a chat template (template=none) there is nothing that `think` could turn on or off."


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens:
    """What a model continues from, and how."""

    tokens: list[int]
    beginning: Beginning | None
    """How its answer begins; None for one that is left as it is."""
    offer: Offer | None = None
    """What its answer may call; None if there are no tools."""


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
        self._rendering = PromptRendering(self._turns, vocabulary, self._source)
        ends = [vocabulary.text_of(token) for token in vocabulary.ends]
        self.calling = Calling(self._turns, vocabulary.controls, ends)
        """How its model is offered tools."""
        self._tools_tokens: dict[tuple[ToolDefinition, ...], int] = {}
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
    def vocabulary(self) -> Vocabulary:
        """What makes its tokens."""
        return self._vocabulary

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it. More can be known once it has rendered messages."""
        return (*self._notes, *self._turns.notes)

    def end(self) -> int:
        """The token that ends a turn of the assistant; -1 if the vocabulary has none that ends an answer."""
        vocabulary, ends = self._vocabulary, list(self._vocabulary.ends)
        with suppress(EngineError):  # which whoever asks will get
            said = Message(role="assistant", content=PROBE)
            text = self._turns.render([Message(role="user", content="?"), said])
            spans = vocabulary.controls.found(text[text.rfind(PROBE) :])
            texts = [text[text.rfind(PROBE) :][start:end] for start, end in spans]
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
        given = Given(messages=messages, arguments=arguments)
        if options.tools or any(message.calls or message.role == "tool" for message in messages):
            return self._with_tools(given, options)
        return self._rendered(given)

    def _rendered(self, given: Given, offer: Offer | None = None) -> PromptTokens:
        text, marked = self._rendering.marked(given)
        beginning = self._beginning(given, marked)
        return PromptTokens(tokens=self._rendering.tokens(text, marked), beginning=beginning, offer=offer)

    def _with_tools(self, given: Given, options: Options) -> PromptTokens:
        """A prompt in whose conversation there are tools, or which offers some."""
        failure: EngineError | None = None
        for way, offer in self.calling.ways(given, options):
            try:
                return self._rendered(way, offer if options.tools else None)
            except EngineError as error:  # another way may be taken, and else the first says what is wrong
                failure = failure or error
        assert failure is not None
        raise failure

    def tools_tokens(self, tools: tuple[ToolDefinition, ...]) -> int:
        """How many tokens of a prompt the definitions of tools are. Blocks; remembered for some."""
        if tools not in self._tools_tokens:
            asked, options = [Message(role="user", content=PROBE)], Options(tools=tools)
            with_tools, without = self.tokens(asked, options), self.tokens(asked)
            if len(self._tools_tokens) >= MOST_COUNTED:
                self._tools_tokens.clear()
            self._tools_tokens[tools] = max(0, len(with_tools) - len(without))
        return self._tools_tokens[tools]

    def _beginning(self, given: Given, marked: str) -> Beginning:
        """What the template has opened or closed at the end; what a message ends in is only a text."""
        last = given.messages[-1]
        if self.markers.beginning(last.content) != Beginning():
            neutral = replace(last, content=PROBE, parts=())
            _, marked = self._rendering.marked(replace(given, messages=[*given.messages[:-1], neutral]))
        return self.markers.beginning(marked)

    def answer(
        self, options: Options, beginning: Beginning | None, offer: Offer | None = None
    ) -> TokenAnswer:
        """What the tokens of an answer are fed to. `offer`: what it may call.

        Raises `UnmetError`, which names the tool, for tools that no answer can be held to. Blocks.
        """
        markers = None if beginning is None else self.markers
        stop = options.stop if options.raw else (*options.stop, *self.stop)
        form = options.form
        kind = None if form is None else form.kind
        answer = AnswerParts(
            markers,
            beginning,
            stop=() if options.held_by else stop,
            choices=() if options.may_call else options.choices,
            form="grammar" if options.must_call or (options.may_call and options.held_by) else kind,
            blank="text" if markers is None else self._vocabulary.head_blank(),
        )
        if offer is None:
            own = HeldTo(choices=options.choices, form=form)
            return TokenAnswer(self._vocabulary, answer, self._marks if markers else {}, own)
        if (reader := offer.reader()) is not None:
            answer.expect_calls(reader)
        held = HeldTo(
            choices=() if options.may_call else options.choices,
            form=offer.form() or form,
            marks=offer.marks,
            opener=offer.opener if options.may_call else None,
            offer=offer,
        )
        return TokenAnswer(self._vocabulary, answer, self._marks if markers else {}, held)

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
            text = self._turns.render([Message(role="user", content=PROBE)])
        except EngineError:  # which whoever asks will get
            return False
        return self.markers.beginning(text).inside is not None

    def _raw_tokens(self, messages: Sequence[Message], options: Options) -> list[int]:
        """The tokens of the messages' texts as one text, without control tokens."""
        if options.think is not None:
            raise UnmetError(NO_ARGUMENTS)
        if options.tools:
            raise UnmetError(NO_TOOLS)
        if any(message.role == "system" for message in messages):
            raise UnmetError(NO_SYSTEM)
        vocabulary = self._vocabulary
        text = "".join(message.content for message in messages)
        return self._rendering.begun(vocabulary.tokenize_apart([text] if text else []))

    def _marks_are_plain(self) -> bool:
        """Whether what ends a turn, or looks like a mark of one, is not a control token."""
        try:
            text = self._turns.render([Message(role="user", content=PROBE)])
        except EngineError:  # which whoever asks will get
            return False
        plain, spans = self._rendering.plain_texts(text)
        end = text.rfind(PROBE) + len(PROBE)
        return not any(start >= end for start, _ in spans) or any(map(_MARK.search, plain))
