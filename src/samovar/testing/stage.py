"""Replaces a run's model, commands, user and clock with the entries of a case.

Above: `trial.py`, which runs a case on it. Below: cases, the waist, and what actions reach. It keeps what was
asked, so that it can be compared, and lets the case's own time pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from samovar.actions.clock import Clock
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import NO, YES, Question, Reply, accepted
from samovar.actions.reached import FileState, Servers, VisitOf
from samovar.actions.tools import ToolResult
from samovar.engines.scripted import text_of
from samovar.errors import ActionError, SamovarError, nearest
from samovar.events import Event, Logged, StateEntered, TransitionTaken, Warned
from samovar.executors.base import Connection, Executor, OnPromptEvent, PromptReply, PromptRequest, forget
from samovar.generation import FinishReason, Message
from samovar.running.recorder import SHORT
from samovar.testing.asked import AskedCommand, SentPrompt
from samovar.testing.cases import STOPPED_EXIT_CODE, Answer, Case, Failure, Printed
from samovar.testing.clock import EndlessError, SimulatedClock
from samovar.testing.difference import Difference
from samovar.testing.misshapen import misshapen
from samovar.testing.paths import Tree
from samovar.testing.telling import Telling
from samovar.testing.told_confidence import told_choices
from samovar.testing.told_files import ToldFiles
from samovar.testing.told_servers import ToldServers
from samovar.testing.told_values import RETRYABLE
from samovar.testing.untold import unanswered, unreplied, untold_command, untold_result

MOST_TOKENS = 1_000_000_000
"""The limit of an answer that a case gives: none."""
_VISITED: ContextVar[str] = ContextVar("visited")
"""The path of the state that this task is in."""
_SAID: ContextVar[tuple[str, SentPrompt]] = ContextVar("said")
"""What the scripted engine says to this task, and what it is asked."""


class StoppedError(Exception):
    """The case does not say what is needed to continue. Ends the run; no transition takes it."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.message)
        self.difference = difference


def told_error(failure: Failure) -> SamovarError:
    """The error that a case has."""
    named = {"code": failure.code, "retryable": failure.code in RETRYABLE}
    kind: type[SamovarError] = type("ToldError", (ActionError,), named)
    return kind(failure.message)


class Stage:
    """Stands where a run's model, commands, user and time are.

    An executor, a `World` and a listener in one. Mutable: what was asked, sent, logged and seen so far.
    """

    name = "case"

    def __init__(self, case: Case, tree: Tree, folder: Path) -> None:
        """`folder`: where the run is started."""
        self.case = case
        self._tree, self._folder = tree, folder
        self.clock: Clock = SimulatedClock()
        self.executor: Executor | None = None
        """Answers with what `script` gives; set before the run."""
        self._telling = Telling(case)
        self.sent: dict[str, list[SentPrompt]] = {}
        """By path, each prompt."""
        self.ran: dict[str, list[AskedCommand]] = {}
        """By path, each command."""
        self.files = ToldFiles(case.files, folder)
        self.log: list[tuple[str, str]] = []
        """Level and text of each line."""
        self.warnings: list[str] = []
        self.entered: set[str] = set()
        """Paths of states."""
        self.taken: set[tuple[str, str | None, str]] = set()
        """The transitions that were taken: the paths of their sources and targets, and their labels."""

    # What happens.

    def __call__(self, event: Event) -> None:
        if isinstance(event, StateEntered):
            _VISITED.set(event.path)
            self.entered.add(event.path)
        elif isinstance(event, TransitionTaken):
            self.taken.add((event.source, event.target, event.label))
        elif isinstance(event, Logged):
            self.log.append((event.level, event.text))
        elif isinstance(event, Warned) and event.message != SHORT:  # a stand-in for a secret is short
            self.warnings.append(event.message)

    # What is asked for.

    def script(self, messages: Sequence[Message]) -> str:
        said, sent = _SAID.get()
        sent.history = tuple(messages[:-1])
        return said

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[_StageConnection]:
        assert self.executor is not None
        async with self.executor.open(run) as connection:
            yield _StageConnection(self, connection)

    def in_place_of(self, servers: Servers) -> Servers:
        return ToldServers(self.case, self._tool_result)

    def _tool_result(self, tool: str) -> ToolResult:
        path = _VISITED.get()
        handed = self._telling.next("tools", path, self.case.tools)
        if handed.value is None:
            raise StoppedError(untold_result(path, handed, tool))
        return handed.value

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        path = _VISITED.get()
        self.ran.setdefault(path, []).append(AskedCommand(command=command, folder=self._folder))
        handed = self._telling.next("commands", path, self.case.shell)
        result = handed.value
        if result is None:
            raise StoppedError(untold_command(path, handed, self.ran[path][-1]))
        limit_s, takes_s = command.timeout_s, result.takes_s
        if is_over(takes_s, limit_s):
            written = result if isinstance(result, Printed) else Printed()
            result = replace(written, exit_code=STOPPED_EXIT_CODE, timed_out=True)
            takes_s = limit_s
        if isinstance(result, Failure):
            await self._pass(takes_s)
            raise told_error(result)
        duration_s = limit_s if result.timed_out and takes_s is None else takes_s
        await self._pass(duration_s)
        return CommandResult(
            stdout=result.stdout,
            stderr=result.stderr,
            exit_code=result.exit_code,
            duration_s=duration_s or 0.0,
            timed_out=result.timed_out,
            is_cut=False,
        )

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        await self._pass(duration_s)

    async def _pass(self, duration_s: float | None) -> None:
        """Lets this much of the case's time pass."""
        try:
            await self.clock.sleep(duration_s or 0.0)
        except EndlessError:
            path = _VISITED.get()
            message = f"{path!r} takes forever, and no limit ends it: set a timeout, or `takes` a time."
            raise StoppedError(Difference(what="time", name=path, message=message)) from None

    async def end(self, run: str) -> None:
        """No command has left anything behind."""

    async def read_file(self, target: Target, most_bytes: int, at: VisitOf) -> bytes:
        return self.files.read(target, most_bytes)

    async def write_file(self, target: Target, change: Change, at: VisitOf) -> None:
        self.files.write(target, change)

    async def find_files(self, search: Search, at: VisitOf) -> list[str]:
        return self.files.find(search)

    def state_of(self, file: Path) -> FileState | None:
        """There is no file."""
        return None

    def read_text(self, file: Path) -> str:
        raise FileNotFoundError(file)

    def delete(self, file: Path) -> None:
        raise FileNotFoundError(file)

    async def ask_user(self, question: Question) -> Reply | None:
        if question.kind != "go_on":
            return await self._reply(question)
        told = self._telling.next("waits", question.path, self.case.waits)
        return {None: YES, "yes": YES, "no": NO, "nobody": None}[told.value]

    def answered(self, question: Question, reply: Reply) -> None:
        """A case answers everything itself."""

    async def _reply(self, question: Question) -> Reply | None:
        path = question.path
        handed = self._telling.next("replies", path, self.case.replies)
        replied = handed.value
        if handed.told is None and question.kind == "tool":
            return YES
        if replied is None:
            raise StoppedError(unreplied(path, handed, question))
        await self._pass(replied.takes_s)
        if replied.text is None:
            return None
        if not replied.text and question.default is not None:
            return Reply(question.default)
        reply = question.reply(replied.text)
        if reply is None:
            message = f"The reply of {path!r} is not an answer: {accepted(question)} is expected."
            raise StoppedError(Difference(what="reply", message=message, name=path, got=replied.text))
        return reply

    async def answer(self, request: PromptRequest) -> tuple[Answer, SentPrompt]:
        """What a prompt is answered with, after its time. Raises the case's error instead."""
        path = _VISITED.get()
        owner = self._tree.owner(path)
        sent = SentPrompt(path=path, request=request, folder=owner[0].folder if owner else None)
        self.sent.setdefault(path, []).append(sent)
        handed = self._telling.next("answers", path, self.case.answers)
        answer = handed.value
        if answer is None:
            raise StoppedError(unanswered(path, handed, request))
        limit_s = request.options.timeout_s
        if is_over(answer.takes_s, limit_s):
            late = answer if isinstance(answer, Answer) else Answer(text="")
            answer = replace(late, text="", finish_reason=FinishReason.TIMEOUT, takes_s=None)
        if isinstance(answer, Failure):
            await self._pass(answer.takes_s)
            raise told_error(answer)
        if answer.finish_reason is FinishReason.TIMEOUT and answer.takes_s is None:
            answer = replace(answer, takes_s=limit_s)
        await self._pass(answer.takes_s)
        choices = request.options.choices
        text = text_of(answer.text, request.options)
        if choices and text not in choices and answer.finish_reason is FinishReason.STOP:
            message = f"The answer of {path!r} is not one of its choices.{nearest(text[:100], choices)}"
            raise StoppedError(
                Difference(what="answer", message=message, name=path, expected=list(choices), got=text)
            )
        if answer.finish_reason is FinishReason.STOP and (wrong := misshapen(text, request.options)):
            message = f"The answer of {path!r} does not match its {request.options.held_by}."
            wanted = Difference(what="answer", message=message, name=path, expected=wrong, got=text)
            raise StoppedError(wanted)
        return answer, sent

    def unused(self) -> Iterator[Difference]:
        """What the case gives and the run never asked for."""
        return self._telling.unused()


def is_over(takes_s: float | None, limit_s: float | None) -> bool:
    """Whether something that takes this long exceeds its limit."""
    return takes_s is not None and limit_s is not None and takes_s >= limit_s


class _StageConnection:
    """See `executors.base.Connection`."""

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self._stage, self._connection = stage, connection

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        answer, sent = await self._stage.answer(request)
        options = replace(
            request.options, max_tokens=MOST_TOKENS, timeout_s=None, tools=(), tool_choice="auto"
        )
        if answer.finish_reason is not FinishReason.STOP:
            options = replace(options, choices=())
        _SAID.set((answer.text, sent))
        reply = await self._connection.ask(replace(request, options=options), on_event)
        tokens = reply.tokens
        if answer.tokens is not None:
            tokens = replace(tokens, generated=answer.tokens)
        cut = reply.cut
        if answer.finish_reason is FinishReason.LENGTH:  # of a choice only what was thought before it is cut
            cut = "reasoning" if request.options.choices else "text"
        try:
            chosen = told_choices(answer, reply.chosen)
        except ValueError as error:
            message = f"The confidence of the answer of {sent.path!r} is unknown: {error}"
            raise StoppedError(Difference(what="answer", message=message, name=sent.path)) from None
        return replace(
            reply,
            finish_reason=answer.finish_reason,
            tokens=tokens,
            cut=cut,
            duration_s=answer.takes_s or 0.0,
            chosen=chosen,
            calls=answer.calls,
        )

    async def forget(self, session: str) -> None:
        await forget(self._connection, session)
