"""Stands where a run's model, commands, user and time are, and says what a case tells.

Above: `trial.py`, which runs a case on it. Below: cases, the waist, and what actions reach.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TypeVar

from samovar.actions.base import VisitOf
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import NO, YES, Question, Reply
from samovar.engines.scripted import text_of
from samovar.errors import ActionError, Fault, SamovarError, nearest
from samovar.events import Event, Logged, StateEntered, TransitionTaken
from samovar.executors.base import Connection, Executor, OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import FinishReason, Message
from samovar.testing.cases import Answer, Case, Failure, Told
from samovar.testing.comparing import Difference
from samovar.testing.coverage import TransitionKey

T = TypeVar("T")
MOST_TOKENS = 1_000_000_000
"""The limit of an answer that a case tells: none."""
_VISITED: ContextVar[str] = ContextVar("visited")
"""The path of the state that this task is in."""
_SAID: ContextVar[str] = ContextVar("said")
"""What the scripted engine says to this task."""


class StoppedError(Exception):
    """The case does not say what is needed to go on. Ends the run; no transition takes it."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.message)
        self.difference = difference


def told_error(failure: Failure) -> SamovarError:
    """The error that a case tells of."""
    kind: type[SamovarError] = type("ToldError", (ActionError,), {"code": failure.code})
    return kind(failure.message)


class Stage:
    """Stands where a run's model, commands, user and time are.

    An executor, an `Outside` and a listener in one. Mutable: what was asked, sent, logged and seen so far.
    """

    name = "case"

    def __init__(self, case: Case) -> None:
        self.case = case
        self.executor: Executor | None = None
        """Answers with what `script` gives; set before the run."""
        self.used: Counter[tuple[str, str]] = Counter()
        """By what is told (`answers`, `commands`, `waits`) and path: how often it was asked for."""
        self.sent: dict[str, list[str]] = {}
        """By path, the text of each prompt."""
        self.log: list[str] = []
        self.visits: list[str] = []
        """Their paths, in the order they began."""
        self.states: set[str] = set()
        self.transitions: set[TransitionKey] = set()
        self._own: set[int] = set()
        """The numbers of visits that are not of a sub-workflow."""

    # What happens.

    def __call__(self, event: Event) -> None:
        if isinstance(event, StateEntered):
            _VISITED.set(event.path)
            self.visits.append(event.path)
            if event.path == event.state:
                self._own.add(event.visit)
                self.states.add(event.state)
        elif isinstance(event, TransitionTaken) and event.visit in self._own:
            self.transitions.add((event.source, event.target, event.label))
        elif isinstance(event, Logged):
            self.log.append(event.text)

    # What is asked for.

    def script(self, messages: Sequence[Message]) -> str:
        return _SAID.get()

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[_StageConnection]:
        assert self.executor is not None
        async with self.executor.open(run) as connection:
            yield _StageConnection(self, connection)

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        path = _VISITED.get()
        told = self.case.shell.get(path)
        result = self._next("commands", path, told)
        if result is None:
            raise StoppedError(_untold_command(path, told, self.used["commands", path], command))
        if isinstance(result, Failure):
            raise told_error(result)
        return CommandResult(
            stdout=result.stdout,
            stderr=result.stderr,
            exit_code=result.exit_code,
            duration_s=0.0,
            timed_out=result.timed_out,
            is_cut=False,
        )

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        """No time passes."""

    async def end(self, run: str) -> None:
        """No command has left anything behind."""

    async def ask_user(self, question: Question) -> Reply | None:
        told = self._next("waits", question.path, self.case.waits.get(question.path))
        return {None: YES, "yes": YES, "no": NO, "nobody": None}[told]

    def answer(self, request: PromptRequest) -> Answer:
        """What a prompt is answered with. Raises the error that is told instead."""
        path = _VISITED.get()
        text = "\n\n".join(message.content for message in request.messages)
        self.sent.setdefault(path, []).append(text)
        told = self.case.answers.get(path)
        answer = self._next("answers", path, told)
        if answer is None:
            raise StoppedError(_unanswered(path, told, self.used["answers", path], request))
        if isinstance(answer, Failure):
            raise told_error(answer)
        choices = request.options.choices
        text = text_of(answer.text, request.options)
        if choices and text not in choices and answer.finish_reason is FinishReason.STOP:
            message = f"The answer of {path!r} is none of its choices.{nearest(text[:100], choices)}"
            raise StoppedError(
                Difference(what="answer", message=message, name=path, expected=list(choices), got=text)
            )
        return answer

    def _next(self, what: str, path: str, told: Told[T] | None) -> T | None:
        self.used[what, path] += 1
        return None if told is None else told.at(self.used[what, path])

    # What is left.

    def unused(self) -> Iterator[Fault]:
        """What the case tells and the run never asked for."""
        for what, given in (("answers", self.case.answers), ("commands", self.case.shell)):
            for path, told in given.items():
                used, there = self.used[what, path], len(told.values)
                if not used or (told.is_list and used < there):
                    how = f"{used} of {there} were used" if used else "it was never used"
                    message = f"What `{what}` has for {path!r} is not needed: {how}."
                    yield Fault(code="unused-answer", message=message, place=told.place, severity="warning")


class _StageConnection:
    """See `executors.base.Connection`."""

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self._stage, self._connection = stage, connection

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        answer = self._stage.answer(request)
        options = replace(request.options, max_tokens=MOST_TOKENS, timeout_s=None)
        if answer.finish_reason is not FinishReason.STOP:
            options = replace(options, choices=())
        _SAID.set(answer.text)
        reply = await self._connection.ask(replace(request, options=options), on_event)
        tokens = reply.tokens
        if answer.tokens is not None:
            tokens = replace(tokens, generated=answer.tokens)
        cut = reply.cut
        if answer.finish_reason is FinishReason.LENGTH:  # of a choice only what was thought before it is cut
            cut = "reasoning" if request.options.choices else "text"
        return replace(reply, finish_reason=answer.finish_reason, tokens=tokens, cut=cut)


def _unanswered(path: str, told: Told[object] | None, visit: int, request: PromptRequest) -> Difference:
    sent = "\n".join("    " + line for line in request.messages[-1].content.splitlines())
    message = (
        f"{path!r} asked a prompt that the case has no answer to{_visit(told, visit)}. It was sent:\n{sent}\n"
    )
    return Difference(what="answer", name=path, message=message + _what_to_add("answers", path, told))


def _untold_command(path: str, told: Told[object] | None, visit: int, command: Command) -> Difference:
    values = {name: value for name, value in command.environment.items() if os.environ.get(name) != value}
    lines = [*command.text.splitlines(), *(f"{name}={value}" for name, value in values.items())]
    shown = "\n".join("    " + line for line in lines)
    message = f"{path!r} runs a command that the case has no result of{_visit(told, visit)}:\n{shown}\n"
    return Difference(what="shell", name=path, message=message + _what_to_add("commands", path, told))


def _visit(told: Told[object] | None, visit: int) -> str:
    return "" if told is None else f" (its list has {len(told.values)}, and this is number {visit})"


def _what_to_add(key: str, path: str, told: Told[object] | None) -> str:
    if told is not None:
        return f"Add one to the list at {told.place}."
    return f"Add to the case, below `{key}:`\n    {path}: the text"
