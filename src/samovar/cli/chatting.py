"""`samovar chat`: a conversation with a model, at a terminal or for a script.

Above: the command of `of_chat.py`. Below: the app, `running/talking.py`, which asks and has tools called;
`chat_typing.py`, `chat_branches.py`, `chat_commands.py`, and `chat_showing.py`, which alone writes answers.
Ctrl-C stops an answer, and a call of a tool that is under way; a second one while it stops ends the process.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import anyio

from samovar.actions.outside import ThisMachine
from samovar.app import App, open_app, surroundings
from samovar.cli.asking import Person
from samovar.cli.chat_branches import FIRST, ChatTree
from samovar.cli.chat_commands import Desk, Quit, abilities, is_command, message_of, perform
from samovar.cli.chat_history import history_file
from samovar.cli.chat_models import check_model
from samovar.cli.chat_showing import ChatShow
from samovar.cli.chat_tools import check_tools, read_patterns
from samovar.cli.chat_typing import One, TypedLines, Typing, keyboard
from samovar.cli.driving import Signals
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.cli.variables import read_answers
from samovar.config import Settings
from samovar.config.known_keys import secrets_of
from samovar.errors import SamovarError
from samovar.executors.table import declared_executor, names_of
from samovar.folders import current_folder
from samovar.generation import FinishReason, Options, Sampling
from samovar.preflight.trusting import open_gate
from samovar.running.runner import Runner, RunnerSettings
from samovar.running.talking import Talking, open_talking, talk_workflow

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
    tools: str = "none"
    """What the model may call, as names and patterns with commas between them."""
    yes: bool = False
    """Whatever it wants to do is allowed without asking."""
    answers: tuple[str, ...] = ()
    """Each `--answer`."""
    max_tokens: int = 1024
    temperature: float = 0.0
    keeps_history: bool = True
    as_json: bool = False


def chat(arguments: ChatArguments) -> int:
    """Holds the conversation; returns the exit status."""
    settings = settings_for(arguments.settings)
    for name in names_of(arguments.executor or settings.executor):
        declared_executor(name, settings)  # what cannot answer is said before anybody types
    check_model(settings, arguments.model, arguments.executor)
    tools = read_patterns(arguments.tools)
    check_tools(tools, arguments.executor, settings)
    sampling = Sampling(temperature=arguments.temperature)
    options = Options(max_tokens=arguments.max_tokens, sampling=sampling, overflow="drop_oldest")
    conversation = ChatTree(options, model=arguments.model, executor=arguments.executor)
    conversation.change(system=arguments.system, tools=tools)
    hidden = secrets_of(settings)
    desk = Desk(conversation=conversation, settings=settings, options=options, hidden=hidden)
    is_interactive = (
        not arguments.as_json
        and arguments.text != "-"
        and sys.stdin.isatty()
        and sys.stdout.isatty()
        and sys.stderr.isatty()
    )
    show = ChatShow(hidden, is_interactive=is_interactive, as_json=arguments.as_json)
    machine = ThisMachine(Person(nullcontext()).ask if sys.stdin.isatty() else None)
    return anyio.run(_hold, _Talk(desk, show, machine), settings, arguments)


async def _hold(talk: _Talk, settings: Settings, arguments: ChatArguments) -> int:
    async with open_app(settings) as app:
        runner = _runner(app, talk, arguments)
        workflow = talk_workflow(app.library)
        gate = open_gate(workflow, app.library, is_named=False, trusts=False, allows_effects=True, allow=None)
        async with open_talking(runner, gate) as talking:
            return await _talk(talk, talking, arguments)


def _runner(app: App, talk: _Talk, arguments: ChatArguments) -> Runner:
    folder = current_folder()
    answers = read_answers(arguments.answers, talk_workflow(app.library), app.library)
    settings = RunnerSettings(
        settings=app.settings,
        folder=folder,
        surroundings=surroundings(app.settings, folder),
        yes=arguments.yes,
        answers=answers,
        outside=talk.machine,
    )
    return Runner(app.library, app.executor, on_event=talk.show.event, settings=settings)


async def _talk(talk: _Talk, talking: Talking, arguments: ChatArguments) -> int:
    if talk.show.is_interactive:
        typing = keyboard(history_file() if arguments.keeps_history else None)
        say(GREETING)
        if arguments.text is not None and (status := await talk.say(talking, arguments.text)):
            return status
        return await talk.go_on(talking, typing)
    if arguments.text is None:
        return await talk.go_on(talking, TypedLines())
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    return await talk.go_on(talking, One(text), has_commands=False)


class _Talk:
    """The conversation as it goes on."""

    def __init__(self, desk: Desk, show: ChatShow, machine: ThisMachine) -> None:
        """`machine`: where tools do what they do."""
        self.show, self.machine = show, machine
        self._desk = desk

    async def go_on(self, talking: Talking, typing: Typing, *, has_commands: bool = True) -> int:
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
                status = await self.say(talking, said)
            if status:
                return status

    def _prompt(self) -> str:
        name = self._desk.conversation.branch.name
        return "> " if name == FIRST else f"{name}> "

    def _command(self, text: str) -> int:
        try:
            said = perform(self._desk, text)
        except SamovarError as error:
            return self.show.fail(error)
        self.show.command(text, said)
        return 0

    async def say(self, talking: Talking, text: str) -> int:
        """Says it, and shows the answer. Returns an exit status other than 0 if the conversation is over."""
        conversation = self._desk.conversation
        try:
            able = abilities(conversation.branch, self._desk.settings)
            request = conversation.request(text, able)
            with anyio.CancelScope() as scope:
                hear = Signals(_Stop(scope), self.machine.groups)
                with hear.listen():
                    said = await talking.ask(request, conversation.branch.tools)
        except SamovarError as error:
            conversation.unanswered()
            self.show.end_line()
            return self.show.fail(error)
        if scope.cancelled_caught or hear.first is not None:
            conversation.unanswered()
            self.show.end_line()
            return self._stopped(hear.first)
        if said.reply.finish_reason in (FinishReason.CANCELLED, FinishReason.TIMEOUT):
            conversation.unanswered()
        else:
            conversation.answered(request, said.reply, said.between)
        self.show.end(said.reply, conversation.branch.name)
        for name in conversation.left_over():
            await talking.forget(name)
        return 0

    def _stopped(self, number: int | None) -> int:
        if number == signal.SIGINT and self.show.is_interactive:
            say("Stopped. What was said, and the part of the answer, are no part of the conversation.")
            return 0
        return 128 + (number or signal.SIGINT)


class _Stop:
    """What a signal stops: see `driving.Stoppable`."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope

    def stop(self) -> None:
        """Stops the answer."""
        self._scope.cancel()
