"""`Log "text"`: shows a text. The shortest action, and the first one to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import expect_text
from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.errors import Place
from samovar.language.template import Template

LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "warn": "warning", "error": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Action):
    verb: ClassVar[str] = "log"
    effect: ClassVar[str | None] = None
    words: ClassVar[tuple[str, ...]] = ("log",)
    form: ClassVar[str] = 'Log [debug|info|warning|error] "text"'

    place: Place
    level: str
    text: Value

    @classmethod
    def parse(cls, line: Scanner) -> Log:
        place, _ = line.where(), line.word("log")
        level = line.word(*LEVELS) or "info"
        text = expect_text(line, "The text to log")
        if text.is_literal and text.given in LEVELS and not line.is_done:
            level, text = str(text.given), expect_text(line, "The text to log")
        line.end()
        return cls(place=place, level=LEVELS[level], text=text)

    @property
    def names(self) -> frozenset[str]:
        return self.text.names | self.names_of_timeout

    @property
    def what(self) -> str:
        return brief(self.text.template.text)

    @property
    def texts(self) -> tuple[Template, ...]:
        return (self.text.template,)

    @property
    def is_repeatable(self) -> bool:
        return True

    async def perform(self, context: ActionContext) -> Outcome:
        text = await context.compute(lambda: self.text.text(context.variables))
        context.log(self.level, text)
        return Outcome(value=text, is_new=False, what=brief(text))
