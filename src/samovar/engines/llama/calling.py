"""How one chat template's model is offered tools, found by having the template render calls that nobody made.

Above: `chat.py`. Below: `offer.py`, `turns.py`, the syntaxes of calls. A template that shows definitions,
calls and results gets them, and its model writes calls as the template does. For any other one, and for a
conversation that a template refuses, our own convention is in the messages' texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from samovar.engines import call_syntaxes as probe
from samovar.engines.call_json import OWN
from samovar.engines.call_messages import in_own_words, one_by_one
from samovar.engines.calls import (
    CallSyntax,
    Tool,
    WritingSyntax,
    callable_of,
    definition_of,
    quoted,
    sequence,
)
from samovar.engines.llama.controls import ControlTexts
from samovar.engines.llama.offer import Offer
from samovar.engines.llama.rendering import PROBE, Given
from samovar.errors import EngineError, UnmetError
from samovar.generation import Message, Options

if TYPE_CHECKING:
    from samovar.engines.llama.turns import Turns

_ANSWER, _RESULT = "Samovar probe answer", "samovar probe result"


class Calling:
    """One template's way with tools, found when it is first asked for."""

    def __init__(self, turns: Turns, controls: ControlTexts, ends: Sequence[str] = ()) -> None:
        """`ends`: the texts of tokens that end an answer."""
        self._turns, self._controls, self._ends = turns, controls, ends

    @property
    def syntax(self) -> CallSyntax | None:
        """How its model writes calls; None: in our own convention."""
        return self._found[0]

    @cached_property
    def _found(self) -> tuple[CallSyntax | None, WritingSyntax | None]:
        """The syntax, and what writes calls instead of the template; None if that does it itself."""
        notes = tuple(self._turns.notes)
        try:
            return self._probed()
        finally:
            self._turns.notes[:] = notes

    def _probed(self) -> tuple[CallSyntax | None, WritingSyntax | None]:
        user, tools = Message(role="user", content=PROBE), [definition_of(tool) for tool in probe.TOOLS]
        try:
            said = self._turns.render([user, Message(role="assistant", content=_ANSWER)], tools=tools)
        except EngineError:
            return None, None
        if probe.FIRST not in said or probe.DESCRIPTION not in said:
            return None, None
        behind = said[said.rfind(_ANSWER) + len(_ANSWER) :]
        spans = self._controls.found(behind)
        turn_end = behind[slice(*spans[0])] if spans else behind.strip().split("\n")[0]
        is_written = False
        for calls in (probe.CALLS, probe.CALLS[:1]):
            asked = [user, Message(role="assistant", content="", calls=calls)]
            with suppress(EngineError):
                text = self._turns.render(asked, tools=tools)
                written = text[_shared(text, said) :]
                is_written = is_written or probe.FIRST in written
                syntax = probe.syntax_of(written, [turn_end, *self._ends])
                if syntax is not None and self._shows_results(asked, syntax, tools, writes=None):
                    return syntax, None
        marked = None if is_written else probe.by_marks(self._controls)
        one = [user, Message(role="assistant", content="", calls=probe.CALLS[:1])]
        if marked is not None and self._shows_results(one, marked, tools, writes=marked):
            return marked, marked
        return None, None

    def _shows_results(
        self,
        asked: Sequence[Message],
        syntax: CallSyntax,
        tools: Sequence[Mapping[str, object]],
        *,
        writes: WritingSyntax | None,
    ) -> bool:
        calls = asked[-1].calls
        results = [Message(role="tool", content=_RESULT, call=call) for call in calls]
        with suppress(EngineError):
            return _RESULT in self._turns.render([*asked, *results], tools=tools, writes=writes)
        return False

    def ways(self, given: Given, options: Options) -> Iterator[tuple[Given, Offer]]:
        """The ways to ask for an answer, the best first: what the template gets, and what may be called.

        Raises `UnmetError` for tools that cannot be offered, and for a result that is of no call.
        """
        tools = callable_of(options)
        if any(message.role == "tool" and message.call is None for message in given.messages):
            raise UnmetError("A message is the result of a tool, but does not say of which call.")
        before = sum(len(message.calls) for message in given.messages)
        syntax, writes = self._found
        if syntax is not None:
            messages = one_by_one(given.messages) if syntax.most == 1 else given.messages
            shown = [definition_of(tool) for tool in options.tools]
            native = replace(given, messages=messages, tools=shown, writes=writes)
            yield native, self._offer(syntax, options, tools, before)
        own = in_own_words(given.messages, options.tools)
        yield replace(given, messages=own), Offer(syntax=OWN, options=options, tools=tools, before=before)

    def _offer(self, syntax: CallSyntax, options: Options, tools: tuple[Tool, ...], before: int) -> Offer:
        spelled = {text: spelling for text in syntax.marks if (spelling := self._spelled(text)) is not None}
        opener = next(iter(self._controls.found(syntax.trigger)), None)
        return Offer(
            syntax=syntax,
            options=options,
            tools=tools,
            before=before,
            marks={token: self._texts[token] for token in self.tokens},
            opener=self._controls[syntax.trigger[: opener[1]]] if opener and opener[0] == 0 else None,
            spelled=spelled,
        )

    @cached_property
    def _texts(self) -> dict[int, bytes]:
        return {token: text.encode() for text, token in self._controls.items()}

    @cached_property
    def tokens(self) -> frozenset[int]:
        """The control tokens that a call may have."""
        marks = self.syntax.marks if self.syntax is not None else ()
        return frozenset(
            self._controls[text[start:end]] for text in marks for start, end in self._controls.found(text)
        )

    def _spelled(self, text: str) -> str | None:
        """A text with its control tokens, in Lark; None if it has none."""
        spans = self._controls.found(text)
        parts, place = [], 0
        for start, end in spans:
            parts += [quoted(text[place:start]) if place < start else ""]
            parts += [f"<[{self._controls[text[start:end]]}]>"]
            place = end
        parts += [quoted(text[place:]) if place < len(text) else ""]
        return sequence(*parts) if spans else None


def _shared(text: str, other: str) -> int:
    """With so many characters both begin."""
    pairs = enumerate(zip(text, other, strict=False))
    return next((place for place, (one, two) in pairs if one != two), min(len(text), len(other)))
