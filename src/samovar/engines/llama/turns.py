"""Passes messages to a chat template so that each of them appears in the rendered text.

Above: `rendering.py`, `calling.py`. Below: `dialect.py`, `controls.py`. It knows no tokens. Some
templates take no system message, some want a message's text as a list of parts, and some leave messages out
without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samovar.engines.calls import ID_CHARACTERS, WritingSyntax, arguments_of, call_id
from samovar.engines.llama.bounds import TooMuchError
from samovar.engines.llama.controls import Mark
from samovar.engines.llama.dialect import Dialect
from samovar.errors import EngineError, UnmetError
from samovar.generation import Message, ToolCall

FOLDED = (
    "The model's chat template takes no system message, so a system text is put at the beginning of the "
    "user's "
    "first message."
)
BETWEEN = "\n\n"
"""Between a system message's text and that of the user."""
CERTAIN_CHARACTERS = 24
"""A text as long as this is found in a rendering only if its message arrived; a shorter one may be chance."""
_SHOWN_CHARACTERS = 40
_SHORT_ID = re.compile(rf"[A-Za-z0-9]{{{ID_CHARACTERS}}}")
_PARTS = ("'type': 'text'", '"type": "text"')
"""What a list of parts looks like when a template writes it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What a template gets beside the messages."""

    texts: Mapping[str, Any]
    """Texts of single tokens, by the names that templates use, and further arguments."""
    shows_reasoning: bool = False
    """The template asks for what was thought before earlier answers."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Definitions, as transformers hands them over."""


class Turns:
    """Messages as one template takes them. Mutable: `notes`, which `render` adds to, each once."""

    def __init__(self, dialect: Dialect, filling: Filling) -> None:
        self._dialect, self._filling = dialect, filling
        self.notes: list[str] = []

    def render(
        self,
        messages: Sequence[Message],
        mark: Mark = str,
        arguments: Mapping[str, Any] | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        writes: WritingSyntax | None = None,
    ) -> str:
        """The prompt, in which the text of each message has a part. `mark`: makes what the template gets.

        `arguments`: further ones of the template, by name; texts in them are marked too. `tools`: definitions
        for the template, by `calls.definition_of`. `writes`: how calls are put into the text of their
        message; None: the template gets them.

        Raises `EngineError` if the template refuses the messages, fails, or leaves one of them out.
        """
        failure: EngineError | None = None
        marked = {name: marked_value(value, mark) for name, value in (arguments or {}).items()}
        filling = replace(
            self._filling,
            texts={**self._filling.texts, **marked},
            tools=[marked_value(tool, mark, with_names=True) for tool in tools],
        )
        for form in _forms(messages, mark, writes):
            try:
                text = form.render(self._dialect, filling)
                lost = form.lost(text, self._dialect, filling)
            except EngineError as error:
                if isinstance(error.__cause__, TooMuchError):
                    raise
                failure = failure or error
                continue
            if not lost:
                if form.is_folded and FOLDED not in self.notes:
                    self.notes.append(FOLDED)
                return text
            failure = failure or _left_out(messages, form.messages[lost[0]], lost[0])
        assert failure is not None
        raise failure


class _Form:
    """Messages in one of the ways in which a template can get them."""

    def __init__(
        self,
        messages: Sequence[Message],
        mark: Mark,
        writes: WritingSyntax | None,
        *,
        in_parts: bool,
        is_folded: bool,
    ) -> None:
        self.messages, self.in_parts, self.is_folded = messages, in_parts, is_folded
        self._contents = [mark(message.content) for message in messages]
        self._more: list[dict[str, Any]] = [{} for _ in messages]
        """What each message has beside its role and text."""
        for index, message in enumerate(messages):
            if message.calls and writes is not None:
                pieces = writes.written(message.calls)
                self._contents[index] += "".join(
                    piece.text if piece.is_mark else mark(piece.text) for piece in pieces
                )
            elif message.calls:
                self._more[index]["tool_calls"] = [_call(call, mark) for call in message.calls]
            elif message.call is not None:
                self._more[index] = {"name": mark(message.call.name), "tool_call_id": _id(message.call)}
        self._reasonings = [mark(message.reasoning) for message in messages]

    def render(self, dialect: Dialect, filling: Filling, instead: Mapping[int, str] | None = None) -> str:
        """`instead`: other contents, by the numbers of their messages."""
        contents = [(instead or {}).get(index, content) for index, content in enumerate(self._contents)]
        turns: list[dict[str, Any]] = [
            {
                "role": message.role,
                "content": [{"type": "text", "text": content}] if self.in_parts else content,
                **more,
            }
            for message, content, more in zip(self.messages, contents, self._more, strict=True)
        ]
        for turn, reasoning in zip(turns, self._reasonings, strict=True):
            if reasoning and filling.shows_reasoning:
                turn["reasoning_content"] = reasoning
        return dialect.render(turns, filling.texts, filling.tools)

    def lost(self, text: str, dialect: Dialect, filling: Filling) -> list[int]:
        """The numbers of the messages that have no part in `text`, which was rendered of them.

        A message has a part if its content is found, or if another content would give another text: templates
        may cut and rewrite what they show.
        """
        written = [part for part in _PARTS if self.in_parts and part in text]
        if any(all(part not in content for content in self._contents) for part in written):
            return [0]
        doubtful = self._doubtful(text)
        if not doubtful:
            return []
        word = "probe"
        while word in text:
            word += "z"
        others = {index: f"{word}{index}q" for index in doubtful}
        try:
            shown = self.render(dialect, filling, others)
        except EngineError:  # it depends on the contents, of which one alone may do
            shown = ""
        return [
            index
            for index in doubtful
            if others[index] not in shown and self._is_same(text, dialect, filling, {index: others[index]})
        ]

    def _doubtful(self, text: str) -> list[int]:
        """Messages whose contents are not certainly in `text`, in their order."""
        position, doubtful = 0, []
        filled = {  # many templates leave out the text before calls
            index: content.strip()
            for index, content in enumerate(self._contents)
            if "tool_calls" not in self._more[index]
        }
        filled = {index: content for index, content in filled.items() if content}
        for index, content in filled.items():
            found = text.find(content, position)
            if found < 0:
                return list(filled)
            position = found + len(content)
            if len(content) < CERTAIN_CHARACTERS:
                doubtful.append(index)
        return doubtful

    def _is_same(self, text: str, dialect: Dialect, filling: Filling, instead: Mapping[int, str]) -> bool:
        try:
            return self.render(dialect, filling, instead) == text
        except EngineError:  # so the content plays a part
            return False


def marked_value(value: Any, mark: Mark, *, with_names: bool = False) -> Any:
    """An argument in which each text is marked; `with_names`: also the names in objects."""
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, Mapping):
        return {
            mark(name) if with_names else name: marked_value(item, mark, with_names=with_names)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [marked_value(item, mark, with_names=with_names) for item in value]
    return value


def _call(call: ToolCall, mark: Mark) -> dict[str, Any]:
    """A call as transformers hands it over."""
    arguments = marked_value(arguments_of(call), mark, with_names=True)
    return {
        "type": "function",
        "id": _id(call),
        "function": {"name": mark(call.name), "arguments": arguments},
    }


def _id(call: ToolCall) -> str:
    """An id as every template takes it."""
    return call.id if _SHORT_ID.fullmatch(call.id) else call_id(call.id)


def _forms(messages: Sequence[Message], mark: Mark, writes: WritingSyntax | None) -> Iterator[_Form]:
    """The messages as they are, and then in the ways that other templates want."""
    yield _Form(messages, mark, writes, in_parts=False, is_folded=False)
    yield _Form(messages, mark, writes, in_parts=True, is_folded=False)
    if any(message.role == "system" for message in messages):
        folded = _folded(messages)
        yield _Form(folded, mark, writes, in_parts=False, is_folded=True)
        yield _Form(folded, mark, writes, in_parts=True, is_folded=True)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """Without system messages: the texts of these are at the head of the user's next message."""
    folded: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user" and waiting:
            folded.append(replace(message, content=BETWEEN.join([*waiting, message.content])))
            waiting = []
        else:
            folded.append(message)
    if waiting:
        folded.append(Message(role="user", content=BETWEEN.join(waiting)))
    return folded


def _left_out(messages: Sequence[Message], lost: Message, index: int) -> UnmetError:
    shown = " ".join(lost.content.split())
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "…"
    return UnmetError(
        f"The model's chat template leaves out message {index + 1} of {len(messages)} ({lost.role}): "
        f"“{shown}”. Another file of the model may have a template that shows it."
    )
