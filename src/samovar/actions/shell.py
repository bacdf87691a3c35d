"""`Shell "command"`: runs a command line, with values handed over as data.

Values go through the environment and are quoted for the place where they stand (`quoting.py`). What it shares
with `Command` is in `launching.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import ActionContext, brief, made_of
from samovar.actions.given import Pair, Value
from samovar.actions.launching import FORM, OPTIONS, Launch, Launching, checked, read_options
from samovar.actions.process import Command
from samovar.actions.quoting import INPUT, VARIABLE, BesidesText, Quoted, quote
from samovar.actions.scanner import Scanner
from samovar.actions.shell_text import UnquotableError
from samovar.errors import Fault, Place, ShellError
from samovar.language.pieces import Held, Piece
from samovar.values import to_text

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow

SHELLS = ("sh", "bash")
"""What can run the command; the first one does if nothing is said."""
_CANNOT = "A value cannot be used here: {}."


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
        command = line.expect_quoted("The command", shell=True)
        if command.is_literal and not str(command.given).strip():
            line.note("action-syntax", "The command is empty.", command.place)
        options = read_options(line, (*OPTIONS, "shell"))
        launch = Launch.parse(line, options)
        shell = _shell(line, options.get("shell"))
        doubts = _check_command(line, command, _around(launch, shell), options)
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
        variables = context.variables
        environment = self.launch.filled_environment(variables, self.place)
        pieces = self.command.template.hold(variables, _UnknownNames(context.workflow))
        quoted = self._quoted(pieces)
        for number, held in enumerate(quoted.held):
            name = VARIABLE.format(number)
            environment[name] = checked(to_text(held.value), name, self.place)
        shown = "".join(piece if isinstance(piece, str) else to_text(piece.value) for piece in pieces)
        words = (self.shell, "-c", quoted.command)
        command = self.launch.command(words, context, self.place, environment, text=quoted.command)
        return replace(command, shown=shown)

    def _quoted(self, pieces: Iterable[Piece]) -> Quoted:
        try:
            return quote([self._raw_as_text(piece) for piece in pieces], _around(self.launch, self.shell))
        except UnquotableError as error:
            raise ShellError(_CANNOT.format(error.message), place=self.command.place) from None

    def _raw_as_text(self, piece: Piece) -> Piece:
        if isinstance(piece, Held) and piece.raw:
            return checked(to_text(piece.value), "a raw value", self.place)
        return piece


def _around(launch: Launch, shell: str) -> BesidesText:
    return BesidesText(is_bash=shell == "bash", variables=launch.variables, has_input=launch.has_input)


def _shell(line: Scanner, pair: Pair | None) -> str:
    if pair is None:
        return SHELLS[0]
    if pair.value.given not in SHELLS:
        line.note("option-value", "`shell` is sh or bash.", pair.value.place)
        return SHELLS[0]
    return str(pair.value.given)


def _check_command(
    line: Scanner, command: Value, around: BesidesText, options: Mapping[str, Pair]
) -> tuple[Fault, ...]:
    """Notes values that cannot be quoted, as far as that is known before the run; gives the doubts."""
    outline: Sequence[Piece] | None = command.template.outline
    if outline is None:
        return ()
    held = [piece for piece in outline if isinstance(piece, Held)]

    def place(number: int) -> Place:
        if number < 0:
            return options["stdin" if number == INPUT else "env"].value.place
        return command.template.place.within(command.template.text, held[number].offset)

    doubts = [
        Fault(
            code="shell-raw",
            message="`| raw` makes a value part of the command: it can add words and commands.",
            place=place(number),
            severity="warning",
        )
        for number, value in enumerate(held)
        if value.raw
    ]
    if doubts:
        # What a raw value opens or closes is not known before the run, when all is read again.
        return tuple(doubts)
    try:
        quoted = quote(outline, around)
    except UnquotableError as error:
        line.note("shell-value", _CANNOT.format(error.message), place(error.number))
        return ()
    return tuple(
        Fault(code="shell-option", message=doubt, place=place(number), severity="warning")
        for number, doubt in quoted.warnings
    )


class _UnknownNames:
    """The names that nothing in a workflow sets: in old files, `${name}` of one is left to the shell."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def __contains__(self, name: object) -> bool:
        return name not in self._workflow.known_names
