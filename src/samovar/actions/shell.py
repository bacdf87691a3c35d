"""`Shell "command"`: runs a command line, with values handed over as data.

How a command line is checked and made is in `command_line.py`, and what it shares with `Command` in
`launching.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from samovar.actions.base import Action, ActionContext, Outcome, brief, made_of
from samovar.actions.blocks import expect_text
from samovar.actions.command_line import SHELLS, CommandLine
from samovar.actions.given import Pair, Value
from samovar.actions.launching import FORM, OPTIONS, Launch, read_options
from samovar.actions.quoting import INPUT
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, Place
from samovar.expressions.types import Type

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Action):
    verb: ClassVar[str] = "shell"
    effect: ClassVar[str | None] = "runs a command"
    words: ClassVar[tuple[str, ...]] = ("shell",)
    runs_command: ClassVar[bool] = True
    keeps_time: ClassVar[bool] = True
    takes_items: ClassVar[bool] = True
    form: ClassVar[str] = f'Shell "command" [with] [shell="bash"] {FORM}'

    place: Place
    command: Value
    launch: Launch
    shell: str = SHELLS[0]
    doubts: tuple[Fault, ...] = ()
    """Warnings about values in the command."""

    @classmethod
    def parse(cls, line: Scanner) -> Shell:
        place, _ = line.where(), line.word("shell")
        command = expect_text(line, "The command", shell=True)
        if command.is_literal and not str(command.given).strip():
            line.note("action-syntax", "The command is empty.", command.place)
        options = read_options(line, (*OPTIONS, "shell"))
        launch = Launch.parse(line, options)
        shell = _shell(line, options.get("shell"))

        def besides(number: int) -> Place:
            return options["stdin" if number == INPUT else "env"].value.place

        doubts = CommandLine(text=command, launch=launch, shell=shell).check(line, besides)
        line.end()
        return cls(place=place, command=command, launch=launch, shell=shell, doubts=doubts)

    @property
    def result(self) -> str | None:
        """The variable that its value goes to besides `result`."""
        return self.launch.result

    @property
    def names(self) -> frozenset[str]:
        return self.command.names | self.launch.names | self.names_of_timeout

    @property
    def sets(self) -> frozenset[str]:
        return self.launch.sets

    @property
    def types(self) -> Mapping[str, Type]:
        return self.launch.types

    @property
    def is_repeatable(self) -> bool:
        return self.launch.retry_safe

    @property
    def programs(self) -> tuple[str, ...]:
        return () if self.shell == SHELLS[0] else (self.shell,)

    def with_result(self, name: str | None) -> Self:
        return replace(self, launch=replace(self.launch, result=name))

    @property
    def what(self) -> str:
        return brief(self.command.template.text)

    @property
    def doing(self) -> str:
        shell = f" shell={self.shell}" if self.shell != SHELLS[0] else ""
        return self.command.template.text + shell + self.launch.doing + made_of(self.names)

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return self.doubts

    async def perform(self, context: ActionContext) -> Outcome:
        command = await context.compute(lambda: self._line.command(context, self.place))
        finished = await context.run_command(command)
        return await self.launch.outcome(finished, command, context, self.place)

    @property
    def _line(self) -> CommandLine:
        return CommandLine(text=self.command, launch=self.launch, shell=self.shell)


def _shell(line: Scanner, pair: Pair | None) -> str:
    if pair is None:
        return SHELLS[0]
    if pair.value.given not in SHELLS:
        line.note("option-value", "`shell` is sh or bash.", pair.value.place)
        return SHELLS[0]
    return str(pair.value.given)
