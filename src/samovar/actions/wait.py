"""`Wait 5 seconds`, and `Wait for user input`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.ask import parts_of
from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import expect_text
from samovar.actions.given import Value
from samovar.actions.question import YES, Asking, Filled, no_answer
from samovar.actions.scanner import Scanner
from samovar.errors import ActionError, Fault, Place, RefusedError, UnansweredError
from samovar.errors.durations import lasting
from samovar.language.spelling import old_spelling
from samovar.language.template import Rules, Template
from samovar.values import UNITS_S, duration_s, to_text

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Action):
    verb: ClassVar[str] = "wait"
    effect: ClassVar[str | None] = None
    asks_person: ClassVar[bool] = True
    words: ClassVar[tuple[str, ...]] = ("wait",)
    form: ClassVar[str] = 'Wait 5 seconds, Wait 200ms, or Wait for user input ["message"]'

    place: Place
    seconds: float | None
    """None: until the user is ready, or as long as `given` says."""
    given: Value | None
    """A duration that only the run knows."""
    unit: str
    """Unit of `given`, if one is written."""
    message: Value | None
    old_spelling: Fault | None = field(default=None, compare=False, repr=False)

    @classmethod
    def in_words(cls, line: Scanner) -> Wait:
        """The older system waited wherever an action said `wait for user`, and showed its text."""
        text = line.text.strip()
        begin = len(line.text) - len(line.text.lstrip())
        template = Template.parse(text, line.where(begin), Rules(is_old=line.is_old))
        message = Value(template=template, quoted=True, place=line.where(begin), given=text)
        hint = old_spelling(line.where(begin), text, f'Wait for user input "{text}"')
        hint = replace(hint, fix=None) if '"' in text or "\\" in text else hint
        place = line.where(begin)
        return cls(place=place, seconds=None, given=None, unit="", message=message, old_spelling=hint)

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return (self.old_spelling,) if self.old_spelling else ()

    @classmethod
    def parse(cls, line: Scanner) -> Wait:
        place, _ = line.where(), line.word("wait")
        seconds: float | None = None
        given, unit, message = None, "", None
        if line.word("for"):
            if not line.word("user"):
                line.fail(f"`user input` is expected after `for`, {line.found()}.")
            is_input = bool(line.word("input"))
            if not (is_input and (line.is_done or line.is_at_limit or line.text[line.at] in "\"'")):
                return cls.in_words(line)
            if line.block is not None or (not line.is_done and not line.is_at_limit):
                message = expect_text(line, "The message")
        else:
            seconds, given, unit = cls._duration(line)
            if not line.is_at_limit:
                line.rest()  # Older files say here what is waited for.
        line.end()
        return cls(place=place, seconds=seconds, given=given, unit=unit, message=message)

    @staticmethod
    def _duration(line: Scanner) -> tuple[float | None, Value | None, str]:
        line.blanks()
        number = _NUMBER.match(line.text, line.at)
        if number:
            line.at = number.end()
        elif line.text[line.at : line.at + 1] in ("$", "{", '"', "'"):
            given = line.value()
        else:
            line.fail(f"A duration is expected, {line.found()}.")
        at, unit = line.at, line.peek_word()
        if unit in UNITS_S:
            line.at = line.text.lower().index(unit, at) + len(unit)
        elif unit:
            line.blanks()
            line.fail(f"There is no unit of time {unit!r}; use ms, s, min, h or their long names.")
        if not number:
            return None, given, unit
        return duration_s(number.group() + unit), None, ""

    @property
    def names(self) -> frozenset[str]:
        values = (value.names for value in (self.given, self.message) if value)
        return frozenset().union(*values, self.names_of_timeout)

    @property
    def what(self) -> str:
        if self.seconds is not None:
            return lasting(self.seconds)
        if self.given is not None:
            return brief(f"{self.given.template.text} {self.unit}")
        return "for user input"

    def no_answer(self, text: str) -> str | None:
        if self.seconds is not None or self.given is not None:
            return "asks nobody"
        return no_answer(Asking(parts=()), text)

    @property
    def is_repeatable(self) -> bool:
        return True

    async def perform(self, context: ActionContext) -> Outcome:
        if self.seconds is not None:
            await context.sleep(self.seconds)
        elif self.given is not None:
            await context.sleep(await context.compute(lambda: self._seconds(context)))
        else:
            await self._for_user(context)
        return Outcome(value=None, is_new=False)

    def _seconds(self, context: ActionContext) -> float:
        assert self.given is not None
        value = self.given.of(context.variables)
        try:
            return duration_s(f"{to_text(value)}{self.unit}" if self.unit else value)
        except ValueError as error:
            raise ActionError(f"Wait: {error}, not {to_text(value)!r}.", place=self.given.place) from None

    async def _for_user(self, context: ActionContext) -> None:
        parts = await context.compute(lambda: self._parts(context.variables))
        reply = await context.ask_user(Asking(parts=parts))
        if reply is None:
            raise UnansweredError(
                "Wait for user input needs a terminal; --yes continues without asking.", place=self.place
            )
        if Asking(parts=()).reply(reply.text) != YES:
            raise RefusedError("The user said no.", place=self.place)

    def _parts(self, variables: Mapping[str, object]) -> tuple[str | Filled, ...]:
        return parts_of(self.message, variables) if self.message else ()
