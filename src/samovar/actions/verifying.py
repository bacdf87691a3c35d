"""`verify="command"` on a prompt: a command checks the answer, and the model repairs it if it fails.

Above: `prompt.py`, which asks through this. Below: `command_line.py`, which has the rules of `Shell` for the
values in the command; the waist. The answer is what the command reads, and a file of its own. What the
command writes goes to the model as plain text, cut if it is long, in the conversation of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio

from samovar.actions.base import ActionContext, Outcome, brief, made_of
from samovar.actions.command_line import CommandLine
from samovar.actions.given import Pair, Value
from samovar.actions.launching import OF_COMMAND_TYPES, failure_of, readable, record_of
from samovar.actions.measures import Measure, count
from samovar.actions.options import OF_VERIFY
from samovar.actions.process import CommandResult
from samovar.actions.retries import MOST_RETRIES
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, UnverifiedError
from samovar.errors.counting import counted
from samovar.executors.base import PromptReply, PromptRequest
from samovar.expressions.types import Type
from samovar.generation import Message
from samovar.language.names import OF_COMMAND
from samovar.language.template import Rules, Template
from samovar.values import positive_duration_s

ANSWER_FILE = "ANSWER_FILE"
"""The variable that has the path of a file with the answer."""
REPAIRS = 2
LIMIT_S = 300.0
"""How long the command may take if nothing is said: what a model wrote may never end."""
SHOWN_CHARS = 4000
"""Characters of the command's output shown to the model, at most: its beginning, and more of its
end."""
_BEGINNING_CHARS = 1000
_REPAIRS = count("repairs", 0, MOST_RETRIES)
_LIMIT = Measure(
    key="verify_timeout", what="a duration above 0, as in 30, 30s or 2min", read=positive_duration_s
)


class _IfVerified:
    """See `if_verified`."""

    def __init__(self, plain: object, verified: object) -> None:
        self._plain, self._verified = plain, verified

    def __get__(self, action: object | None, owner: type) -> object:
        return self._plain if getattr(action, "verify", None) is None else self._verified


def if_verified(plain: object, verified: object) -> Any:
    """What a class of actions says of itself, and what those of its instances say that have a command."""
    return _IfVerified(plain, verified)


class _EffectOfPrompt:
    """See `effect_of_prompt`."""

    def __get__(self, action: Any, owner: type) -> str | None:
        verified = action is not None and action.verify is not None
        if action is not None and action.using.has_tools:
            return "runs a command, and its model may use tools" if verified else "has a model use tools"
        return "runs a command" if verified else None


def effect_of_prompt() -> Any:
    """What prompts do outside of the run: nothing, unless a command verifies them or they have tools."""
    return _EffectOfPrompt()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How an answer is verified."""

    line: CommandLine
    repairs: Value | None
    """How often the model may answer again; None: `REPAIRS` times."""
    limit: Value | None
    """How long the command may take each time; None: `LIMIT_S`."""
    doubts: tuple[Fault, ...] = ()
    """Warnings about values in the command."""

    @classmethod
    def parse(cls, line: Scanner, options: list[Pair]) -> Verify | None:
        """Takes its options out of those of a prompt; notes mistakes in them."""
        taken = {pair.key: pair for pair in options if pair.key in OF_VERIFY}
        options[:] = [pair for pair in options if pair.key not in OF_VERIFY]
        if "verify" not in taken:
            for pair in taken.values():
                line.note("option-value", f"`{pair.key}` needs `verify`, which is missing.", pair.place)
            return None
        text = _as_command(taken["verify"].value, is_old=line.is_old)
        if text.is_literal and not str(text.given).strip():
            line.note("option-value", "`verify` must be a command, but it is empty.", text.place)
        repairs, limit = (taken[key].value if key in taken else None for key in OF_VERIFY[1:])
        _REPAIRS.check(line, repairs)
        _LIMIT.check(line, limit)
        command = CommandLine(text=text, reads_value=True)
        doubts = command.check(line, lambda number: text.place)
        return cls(line=command, repairs=repairs, limit=limit, doubts=doubts)

    @property
    def text(self) -> Template:
        """The command as written. In it, `result` is the answer."""
        return self.line.text.template

    @property
    def names(self) -> frozenset[str]:
        values = [value.names for value in (self.line.text, self.repairs, self.limit) if value]
        return frozenset().union(*values)

    @property
    def doing(self) -> str:
        """What it runs, as written, for anyone who is asked to allow that."""
        return f"{self.text.text} (for each answer){made_of(self.line.text.names)}"

    @property
    def types(self) -> Mapping[str, Type]:
        """What it leaves besides the answer: as any command."""
        return {name: OF_COMMAND_TYPES[name] for name in OF_COMMAND}

    def most_repairs(self, variables: Mapping[str, object]) -> int:
        """Raises `ActionError`."""
        return REPAIRS if self.repairs is None else _REPAIRS.now(self.repairs, variables)

    def limit_s(self, variables: Mapping[str, object]) -> float:
        """Raises `ActionError`."""
        return LIMIT_S if self.limit is None else _LIMIT.now(self.limit, variables)

    async def ask(
        self, context: ActionContext, request: PromptRequest, judge: Callable[[PromptReply], Outcome]
    ) -> Outcome:
        """Asks until the command is content, or there are no repairs left. `judge`: the result of a reply.

        Without a name for it, the conversation is the visit's own, and ends here. Raises as `ask` and
        `run_command` of the context do.
        """
        variables = context.variables
        repairs, limit_s = await context.compute(
            lambda: (self.most_repairs(variables), self.limit_s(variables))
        )
        context = replace(context, timeout_s=limit_s)
        if request.session is not None:
            return await self._ask(context, request, judge, repairs)
        try:
            return await self._ask(context, replace(request, is_own=True), judge, repairs)
        finally:
            with anyio.CancelScope(shield=True):
                await context.forget()

    async def _ask(
        self,
        context: ActionContext,
        request: PromptRequest,
        judge: Callable[[PromptReply], Outcome],
        repairs: int,
    ) -> Outcome:
        for left in reversed(range(repairs + 1)):
            reply = await context.ask(request)
            outcome = judge(reply)
            if outcome.error is not None:
                return outcome
            finished = await self._run(context, reply.text, outcome.value)
            record = await context.compute(partial(record_of, finished))
            outcome = replace(
                outcome, sets={**{name: record.part(name) for name in OF_COMMAND}, **outcome.sets}
            )
            why = _failure(finished, context.timeout_s)
            if why is None:
                return outcome
            error = self._unverified(why, reply.text, repairs - left)
            if not left:
                return replace(outcome, error=error)
            context.attempt_failed(error, outcome.figures, None)
            told = Message(role="user", content=repair_text(why, finished))
            request = replace(request, messages=(told,), fork=None)
        raise AssertionError("the last round returns")

    async def _run(self, context: ActionContext, answer: str, value: object) -> CommandResult:
        """Has the command look at an answer. `value`: what the answer is to the workflow."""
        place = self.line.text.place
        readable(answer, place)
        here = replace(context, variables={**context.variables, "result": value})
        command = await context.compute(lambda: self.line.command(here, place))
        return await context.run_command(replace(command, stdin=answer, files={ANSWER_FILE: answer}))

    def _unverified(self, why: str, answer: str, repairs: int) -> UnverifiedError:
        after = f" after {counted(repairs, 'repair')}" if repairs else ""
        return UnverifiedError(
            f"The answer did not pass `{brief(self.text.text)}`{after}: the command {why}. "
            f"The answer was: {brief(answer, 200)}",
            answer=answer,
            place=self.line.text.place,
        )


def _failure(finished: CommandResult, limit_s: float | None) -> str | None:
    """What a command did that was not content with an answer, as the end of a sentence; None if it was."""
    if finished.is_cut:
        return "wrote more than a value may contain, and was stopped"
    return failure_of(finished, limit_s)


def repair_text(why: str, finished: CommandResult) -> str:
    """The message to a model whose answer did not pass. It is plain text, whatever the command wrote."""
    written = "\n".join(text for one in (finished.stdout, finished.stderr) if (text := one.strip("\r\n")))
    what = f"It wrote:\n\n{shortened(written)}\n\n" if written else "It wrote nothing.\n\n"
    return (
        f"Your answer was checked by a command, which {why.partition(':')[0]}. {what}"
        "Correct the answer, and write all of it again."
    )


def shortened(text: str) -> str:
    """The text, or if it is long its beginning and its end, and how much is left out."""
    if len(text) <= SHOWN_CHARS:
        return text
    begin, end = text[:_BEGINNING_CHARS], text[_BEGINNING_CHARS - SHOWN_CHARS :]
    return f"{begin}\n… ({len(text) - SHOWN_CHARS} characters are left out here) …\n{end}"


def _as_command(value: Value, *, is_old: bool) -> Value:
    """The value of `verify`, read as the text of `Shell` is."""
    written = value.template
    template = Template.parse(written.text, written.place, Rules(shell=True, is_old=is_old))
    given = template.fill({}) if template.is_plain else None
    return replace(value, template=template, given=given)
