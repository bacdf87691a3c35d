"""`Abort "reason"`: ends the whole run, sub-workflows and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import expect_text
from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.errors import Place
from samovar.language.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort(Action):
    verb: ClassVar[str] = "abort"
    effect: ClassVar[str | None] = None
    words: ClassVar[tuple[str, ...]] = ("abort",)
    form: ClassVar[str] = 'Abort ["reason"] or Abort with message "reason"'

    place: Place
    reason: Value | None

    @classmethod
    def parse(cls, line: Scanner) -> Abort:
        place, _ = line.where(), line.word("abort")
        reason = None
        if line.word("with"):
            if not line.word("message"):
                line.fail(f"`message` is expected after `with`, {line.found()}.")
            reason = expect_text(line, "The reason")
        elif line.block is not None or not line.is_done:
            reason = expect_text(line, "The reason")
        line.end()
        return cls(place=place, reason=reason)

    @property
    def names(self) -> frozenset[str]:
        return (self.reason.names if self.reason else frozenset()) | self.names_of_timeout

    @property
    def what(self) -> str:
        return brief(self.reason.template.text) if self.reason else ""

    @property
    def texts(self) -> tuple[Template, ...]:
        return (self.reason.template,) if self.reason else ()

    async def perform(self, context: ActionContext) -> Outcome:
        text, variables = self.reason, context.variables
        reason = await context.compute(lambda: text.text(variables)) if text else ""
        return Outcome(abort=reason or "The workflow aborted.", what=brief(reason))
