"""A command line for a shell, with values in it: checked before the run, then built and run.

Above: `shell.py`, and `verifying.py`, whose command looks at an answer. Below: `launching.py` for how a
command is run, `quoting.py`, which puts each value where it is one word and never code. What cannot be put
anywhere is refused: before the run as far as it is known then, and again when the values are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from samovar.actions.base import ActionContext
from samovar.actions.given import Value
from samovar.actions.launching import Launch, checked
from samovar.actions.process import Command
from samovar.actions.quoting import VARIABLE, BesidesText, Quoted, quote
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
class CommandLine:
    """The text of a command, and how it is run."""

    text: Value
    launch: Launch = field(default_factory=Launch)
    shell: str = SHELLS[0]
    reads_value: bool = False
    """What it reads is a value, whatever `launch` says of that."""

    def check(self, line: Scanner, besides: Callable[[int], Place]) -> tuple[Fault, ...]:
        """Notes values that cannot be quoted, as far as that is known before the run; gives the doubts.

        `besides`: the place of a value that is not in the text (`INPUT` or `OF_ENVIRONMENT`).
        """
        template = self.text.template
        outline: Sequence[Piece] | None = template.outline
        if outline is None:
            return ()
        held = [piece for piece in outline if isinstance(piece, Held)]

        def place(number: int) -> Place:
            return (
                besides(number) if number < 0 else template.place.within(template.text, held[number].offset)
            )

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
            quoted = quote(outline, self._around)
        except UnquotableError as error:
            line.note("shell-value", _CANNOT.format(error.message), place(error.number))
            return ()
        return tuple(
            Fault(code="shell-option", message=doubt, place=place(number), severity="warning")
            for number, doubt in quoted.warnings
        )

    def command(self, context: ActionContext, place: Place) -> Command:
        """What is to be run, with the values that the context has. Raises `ShellError`."""
        variables = context.variables
        environment = self.launch.filled_environment(variables, place)
        pieces = self.text.template.hold(variables, _UnknownNames(context.workflow))
        quoted = self._quoted(pieces, place)
        for number, held in enumerate(quoted.held):
            name = VARIABLE.format(number)
            environment[name] = checked(to_text(held.value), name, place)
        shown = "".join(piece if isinstance(piece, str) else to_text(piece.value) for piece in pieces)
        words = (self.shell, "-c", quoted.command)
        command = self.launch.command(words, context, place, environment, text=quoted.command)
        return replace(command, shown=shown)

    def _quoted(self, pieces: Iterable[Piece], place: Place) -> Quoted:
        try:
            return quote([_raw_as_text(piece, place) for piece in pieces], self._around)
        except UnquotableError as error:
            raise ShellError(_CANNOT.format(error.message), place=self.text.place) from None

    @property
    def _around(self) -> BesidesText:
        has_input = self.reads_value or self.launch.has_input
        is_bash = self.shell == "bash"
        return BesidesText(is_bash=is_bash, variables=self.launch.variables, has_input=has_input)


def _raw_as_text(piece: Piece, place: Place) -> Piece:
    if isinstance(piece, Held) and piece.raw:
        return checked(to_text(piece.value), "a raw value", place)
    return piece


class _UnknownNames:
    """The names that nothing in a workflow sets: in old files, `${name}` of one is left to the shell."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def __contains__(self, name: object) -> bool:
        return name not in self._workflow.known_names
