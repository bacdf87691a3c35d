"""`Ask "text"`: lets a person answer with a text or a choice. `Approve "text"`: yes or no.

What is asked goes through `question.py`, where values are apart from the words of the author.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import expect_text, text_follows
from samovar.actions.given import Pair, Value
from samovar.actions.options import OPTIONS
from samovar.actions.question import YES, Asking, Filled, Reply, accepted, no_answer
from samovar.actions.scanner import Scanner
from samovar.errors import ActionError, Place, RefusedError, UnansweredError
from samovar.errors.durations import lasting
from samovar.expressions.types import TEXT, Type, text_of
from samovar.language.template import Template
from samovar.values import to_text


def parts_of(text: Value, variables: Mapping[str, object]) -> tuple[str | Filled, ...]:
    """The author's words, and values apart; if tags decide what is written, all of it is a value."""
    if text.template.rendering is not None:
        return (Filled(text.text(variables)),)
    pieces = text.template.hold(variables)
    return tuple(one if isinstance(one, str) else Filled(to_text(one.value)) for one in pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asks(Action):
    """An action that asks a person: what all of them have of it."""

    effect: ClassVar[str | None] = None
    asks_person: ClassVar[bool] = True

    text: Value

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        return line.block is not None or text_follows(line, cls.verb)

    @property
    def what(self) -> str:
        return brief(self.text.template.text)

    @property
    def texts(self) -> tuple[Template, ...]:
        return (self.text.template,)

    @property
    def is_repeatable(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class AskUser(_Asks):
    verb: ClassVar[str] = "ask"
    words: ClassVar[tuple[str, ...]] = ("ask",)
    form: ClassVar[str] = 'Ask "text" [choices="a|b"] [default="a"] [timeout=1h] [result="variable"]'

    place: Place
    choices: Value | None
    """None: any text is an answer."""
    default: Value | None
    result: str | None

    @classmethod
    def parse(cls, line: Scanner) -> AskUser:
        place, _ = line.where(), line.word("ask")
        text = expect_text(line, "The question")
        line.word("with")
        pairs: dict[str, Pair] = {}
        for pair in line.pairs():
            if pair.key == "timeout":
                line.limit(pair.value)
            elif pair.key not in ("choices", "default", "result"):
                line.unknown(pair, ("choices", "default", "result", "timeout"))
            pairs[pair.key] = pair
        choices = pairs["choices"].value if "choices" in pairs else None
        default = pairs["default"].value if "default" in pairs else None
        known = cls._known(line, choices)
        if known and default is not None and default.is_literal and str(default.given) not in known:
            message = f"`default` is one of the choices: {', '.join(known)}."
            line.note("option-value", message, default.place)
        result = line.variable(pairs["result"]) if "result" in pairs else None
        line.end()
        return cls(place=place, text=text, choices=choices, default=default, result=result)

    @staticmethod
    def _known(line: Scanner, choices: Value | None) -> tuple[str, ...]:
        """The choices that are written out; notes what can be none."""
        if choices is None or not choices.is_literal:
            return ()
        try:
            return _choices(choices.given)
        except ValueError as error:
            line.note("option-value", f"`choices` has an invalid value: {error}.", choices.place)
            return ()

    @property
    def names(self) -> frozenset[str]:
        values = (value.names for value in (self.text, self.choices, self.default) if value)
        return frozenset().union(*values, self.names_of_timeout)

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((self.result,)) if self.result else frozenset()

    @property
    def types(self) -> Mapping[str, Type]:
        if self.result is None:
            return {}
        if self.choices is None or not self.choices.is_literal:
            return {self.result: TEXT}
        return {self.result: text_of(_choices(self.choices.given))}

    def no_answer(self, text: str) -> str | None:
        if self.choices is None:
            return no_answer(Asking(kind="text", parts=()), text)
        if not self.choices.is_literal:
            return None
        return no_answer(Asking(kind="choice", parts=(), choices=_choices(self.choices.given)), text)

    async def perform(self, context: ActionContext) -> Outcome:
        asking = await context.compute(lambda: self._asking(context.variables))
        reply = await context.ask_user(asking)
        if reply is None:
            raise UnansweredError(
                "Ask needs a person at a terminal, --answer STATE=VALUE, or --wait.", place=self.place
            )
        said = Reply(asking.default) if not reply.text and asking.default else asking.reply(reply.text)
        if said is None:
            message = f"{brief(reply.text)!r} is not an answer: {accepted(asking)} is expected."
            raise ActionError(message, place=self.place)
        return Outcome(value=said.text, sets={self.result: said.text} if self.result else {})

    def _asking(self, variables: Mapping[str, object]) -> Asking:
        parts = parts_of(self.text, variables)
        default = None if self.default is None else self.default.text(variables)
        if self.choices is None:
            return Asking(kind="text", parts=parts, default=default)
        try:
            choices = _choices(self.choices.of(variables))
        except ValueError as error:
            raise ActionError(f"`choices` has an invalid value: {error}.", place=self.choices.place) from None
        if default is not None and default not in choices:
            raise ActionError(f"`default` is not one of the choices: {default!r}.", place=self.place)
        return Asking(kind="choice", parts=parts, choices=choices, default=default)


def _choices(value: object) -> tuple[str, ...]:
    """Raises `ValueError`."""
    found = OPTIONS["choices"](value)
    assert isinstance(found, tuple)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve(_Asks):
    verb: ClassVar[str] = "approve"
    words: ClassVar[tuple[str, ...]] = ("approve",)
    form: ClassVar[str] = 'Approve "text" [timeout=1h]'
    keeps_time: ClassVar[bool] = True

    place: Place

    @classmethod
    def parse(cls, line: Scanner) -> Approve:
        place, _ = line.where(), line.word("approve")
        text = expect_text(line, "The question")
        line.end()
        return cls(place=place, text=text)

    @property
    def names(self) -> frozenset[str]:
        return self.text.names | self.names_of_timeout

    def no_answer(self, text: str) -> str | None:
        return no_answer(Asking(kind="approve", parts=()), text)

    async def perform(self, context: ActionContext) -> Outcome:
        parts = await context.compute(lambda: parts_of(self.text, context.variables))
        asking = Asking(kind="approve", parts=parts)
        limit_s, reply = context.timeout_s, None
        if limit_s is None:
            reply = await context.ask_user(asking)
        else:
            with context.move_on_after(max(0.0, limit_s - context.gone_s)) as limit:
                reply = await context.ask_user(asking)
            if limit.cancelled_caught:
                raise RefusedError(f"Nobody approved within {lasting(limit_s)}.", place=self.place)
        if reply is None:
            raise UnansweredError(
                "Approve needs a person at a terminal, --yes, --answer STATE=yes, or --wait.",
                place=self.place,
            )
        if asking.reply(reply.text) != YES:
            raise RefusedError("The user said no.", place=self.place)
        return Outcome(value=None, is_new=False)
