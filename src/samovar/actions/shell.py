"""`Shell "command"`: runs a command line, with values passed as data.

How a command line is checked and made is in `command_line.py`, and what it shares with `Command` in
`launching.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from samovar.actions.base import ActionContext, brief, made_of
from samovar.actions.blocks import expect_text
from samovar.actions.command_line import SHELLS, CommandLine
from samovar.actions.given import Pair, Value
from samovar.actions.launching import FORM, OPTIONS, Launch, Launching, read_options
from samovar.actions.process import Command
from samovar.actions.quoting import INPUT
from samovar.actions.scanner import Scanner
from samovar.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Launching):
    verb: ClassVar[str] = "shell"
    words: ClassVar[tuple[str, ...]] = ("shell",)
    form: ClassVar[str] = f'Shell "command" [with] [shell="bash"] {FORM}'

    place: Place
    command: Value
    shell: str = SHELLS[0]

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
    def names(self) -> frozenset[str]:
        return self.command.names | self.launch.names | self.names_of_timeout

    @property
    def programs(self) -> tuple[str, ...]:
        return () if self.shell == SHELLS[0] else (self.shell,)

    @property
    def what(self) -> str:
        return brief(self.command.template.text)

    @property
    def doing(self) -> str:
        shell = f" shell={self.shell}" if self.shell != SHELLS[0] else ""
        return self.command.template.text + shell + self.launch.doing + made_of(self.names)

    def command_now(self, context: ActionContext) -> Command:
        return self._line.command(context, self.place)

    @property
    def _line(self) -> CommandLine:
        return CommandLine(text=self.command, launch=self.launch, shell=self.shell)


def _shell(line: Scanner, pair: Pair | None) -> str:
    if pair is None:
        return SHELLS[0]
    if pair.value.given not in SHELLS:
        line.note("option-value", "`shell` must be sh or bash.", pair.value.place)
        return SHELLS[0]
    return str(pair.value.given)
