"""`samovar chat`: a conversation with a model, at a terminal or for a script.

Above: the command of `of_chat.py`. Below: the app, `chat_typing.py`, `chat_branches.py`, `chat_commands.py`.
Nothing but `put` and `say` writes answers. Ctrl-C stops an answer; a second one while it stops ends the
process.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from samovar.app import open_app
from samovar.cli.chat_branches import FIRST, ChatTree
from samovar.cli.chat_commands import Desk, Quit, abilities, is_command, message_of, perform
from samovar.cli.chat_history import history_file
from samovar.cli.chat_typing import One, TypedLines, Typing, keyboard
from samovar.cli.driving import Signals
from samovar.cli.output import error_object, json_text
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.config.known_keys import secrets_of
from samovar.errors import SamovarError
from samovar.errors.counting import counted
from samovar.executors.base import Connection, PromptReply, forget
from samovar.executors.table import declared_executor, names_of
from samovar.generation import (
    FinishReason,
    ModelFetching,
    ModelLoading,
    Options,
    PromptEvent,
    Sampling,
    TextGenerated,
)
from samovar.processes.process_groups import ProcessGroups
from samovar.values.secrecy import Stream

GREETING = "/help shows the commands; Ctrl-C stops an answer; Ctrl-D ends."


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatArguments:
    """What `samovar chat` was called with."""

    text: str | None
    """What is said first; `-`: all of standard input."""
    settings: Mapping[str, Any]
    """By name, None for those that were not given."""
    model: str | None = None
    executor: str | None = None
    system: str | None = None
    max_tokens: int = 1024
    temperature: float = 0.0
    keeps_history: bool = True
    as_json: bool = False


def chat(arguments: ChatArguments) -> int:
    """Holds the conversation; returns the exit status."""
    settings = settings_for(arguments.settings)
    for name in names_of(arguments.executor or settings.executor):
        declared_executor(name, settings)  # what cannot answer is said before anybody types
    sampling = Sampling(temperature=arguments.temperature)
    options = Options(max_tokens=arguments.max_tokens, sampling=sampling, overflow="drop_oldest")
    conversation = ChatTree(options, model=arguments.model, executor=arguments.executor)
    if arguments.system is not None:
        conversation.change(system=arguments.system)
    hidden = secrets_of(settings)
    desk = Desk(conversation=conversation, settings=settings, options=options, hidden=hidden)
    is_interactive = (
        not arguments.as_json
        and arguments.text != "-"
        and sys.stdin.isatty()
        and sys.stdout.isatty()
        and sys.stderr.isatty()
    )
    talk = _Talk(desk, is_interactive=is_interactive, as_json=arguments.as_json)
    return anyio.run(_hold, talk, settings, arguments)


async def _hold(talk: _Talk, settings: Settings, arguments: ChatArguments) -> int:
    async with open_app(settings) as app, app.executor.open("chat") as connection:
        if talk.is_interactive:
            typing = keyboard(history_file() if arguments.keeps_history else None)
            say(GREETING)
            if arguments.text is not None and (status := await talk.say(connection, arguments.text)):
                return status
            return await talk.go_on(connection, typing)
        if arguments.text is None:
            return await talk.go_on(connection, TypedLines())
        text = sys.stdin.read() if arguments.text == "-" else arguments.text
        return await talk.go_on(connection, One(text), has_commands=False)


class _Talk:
    """The conversation as it goes on. Mutable: what the terminal shows of an answer."""

    def __init__(self, desk: Desk, *, is_interactive: bool, as_json: bool) -> None:
        self.is_interactive = is_interactive
        self._desk, self._as_json = desk, as_json
        self._told: set[str] = set()
        self._shown = Stream(desk.hidden)

    async def go_on(self, connection: Connection, typing: Typing, *, has_commands: bool = True) -> int:
        """Until the person ends it, or, for a script, something goes wrong. Returns the exit status."""
        while True:
            try:
                text = await typing.next(self._prompt())
            except KeyboardInterrupt:  # what was typed so far is dropped, as in a shell
                continue
            if text is None:
                return 0
            if not text.strip():
                continue
            if has_commands and is_command(text):
                try:
                    status = self._command(text)
                except Quit:
                    return 0
            else:
                said = message_of(text) if has_commands else text
                status = await self.say(connection, said)
            if status:
                return status

    def _prompt(self) -> str:
        name = self._desk.conversation.branch.name
        return "> " if name == FIRST else f"{name}> "

    def _command(self, text: str) -> int:
        try:
            said = perform(self._desk, text)
        except SamovarError as error:
            return self._fail(error)
        if self._as_json:
            put(json_text({"command": text.strip(), "said": said}) + "\n")
        else:
            say(shown(said))
        return 0

    async def say(self, connection: Connection, text: str) -> int:
        """Says it, and shows the answer. Returns an exit status other than 0 if the conversation is over."""
        conversation = self._desk.conversation
        try:
            able = abilities(conversation.branch, self._desk.settings)
            request = conversation.request(text, able)
            with anyio.CancelScope() as scope:
                hear = Signals(_Stop(scope), ProcessGroups())
                with hear.listen():
                    reply = await connection.ask(request, self._event)
        except SamovarError as error:
            conversation.unanswered()
            self._end_line()
            return self._fail(error)
        if scope.cancelled_caught or hear.first is not None:
            conversation.unanswered()
            self._end_line()
            return self._stopped(hear.first)
        if reply.finish_reason in (FinishReason.CANCELLED, FinishReason.TIMEOUT):
            conversation.unanswered()
        else:
            conversation.answered(request, reply)
        self._show_end(reply)
        for name in conversation.left_over():
            await forget(connection, name)
        return 0

    def _stopped(self, number: int | None) -> int:
        if number == signal.SIGINT and self.is_interactive:
            say("Stopped. What was said, and the part of the answer, are no part of the conversation.")
            return 0
        return 128 + (number or signal.SIGINT)

    def _fail(self, error: SamovarError) -> int:
        """Says what is wrong: a person goes on, a script has ended."""
        if self._as_json:
            put(json_text(self._desk.hidden.copy(error_object(None, error))) + "\n")
        else:
            say(f"samovar: {shown(self._desk.hidden.mask(str(error)))}")
        return 0 if self.is_interactive else error.exit_status

    def _event(self, event: PromptEvent) -> None:
        if isinstance(event, TextGenerated) and event.kind == "text":
            if self._as_json:
                return
            put(self._shown.next(event.piece))
            self._told.add("text")
        elif self.is_interactive:
            self._remark(event)

    def _remark(self, event: PromptEvent) -> None:
        """What a person waits for, each once."""
        if isinstance(event, ModelLoading):
            what = f"loading {event.model} …"
        elif isinstance(event, ModelFetching):
            quarter = int(4 * event.done_bytes / (event.total_bytes or event.done_bytes or 1)) * 25
            what = f"fetching {event.model}: {quarter} %"
        elif isinstance(event, TextGenerated):
            what = "thinking …"
        else:
            return
        if what not in self._told:
            self._told.add(what)
            say(what)

    def _end_line(self) -> None:
        if "text" in self._told:
            put(self._shown.rest() + "\n")
        self._told.clear()

    def _show_end(self, reply: PromptReply) -> None:
        self._told.discard("text")
        if self._as_json:
            put(json_text(self._desk.hidden.copy(self._object(reply))) + "\n")
        else:
            put(self._shown.rest() + "\n")
        self._told.clear()
        if not self._as_json and reply.finish_reason is FinishReason.LENGTH:
            say("The answer was cut off; --max-tokens N gives it more room.")
        if not self._as_json and reply.dropped_messages:
            left_out = counted(reply.dropped_messages, "message")
            say(f"There is no room for the beginning of the conversation: {left_out} left out.")

    def _object(self, reply: PromptReply) -> dict[str, Any]:
        tokens = reply.tokens
        return {
            "text": reply.text,
            "finish_reason": str(reply.finish_reason),
            "branch": self._desk.conversation.branch.name,
            "model": reply.model,
            "executor": reply.executor or None,
            "tokens": {
                "evaluated": tokens.evaluated,
                "reused": tokens.reused,
                "generated": tokens.generated,
                "reasoning": tokens.reasoning,
            },
            "first_token_s": reply.first_token_s,
            "duration_s": reply.duration_s,
            "cost": reply.cost,
        }


class _Stop:
    """What a signal stops: see `driving.Stoppable`."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope

    def stop(self) -> None:
        """Stops the answer."""
        self._scope.cancel()
