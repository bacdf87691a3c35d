"""Puts values into a shell command so that each is one word, and never code for the shell that runs it.

Above: `shell.py`. Below: `shell_syntax.py`, which knows in which quotes and in which command each value is.
The value itself goes through the environment. Where quotes alone do not keep a value from being read as code
(arithmetic, here-documents, back-ticks, another shell, and what shells read differently), it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from samovar.actions.program_tables import reads_as_code
from samovar.actions.shell_builtins import Known
from samovar.actions.shell_frames import ShellFrame
from samovar.actions.shell_syntax import ShellReader
from samovar.actions.shell_text import ShellText, UnquotableError
from samovar.language.pieces import Held, Piece

VARIABLE = "SAMOVAR_VALUE_{}"
"""The environment variable of the value with this number."""
INPUT = -1
"""The number of what the whole command gets on its standard input, if a value is in that."""
OF_ENVIRONMENT = -2
"""The number of what is set in its environment."""
_NO_PLACE = {
    "parameter": "it is inside ${…}",
    "arithmetic": "it is inside arithmetic, where the shell would read it as an expression",
    "backtick": "it is inside back-ticks, where quotes are read twice; write $(…) instead",
}
"""Where no quotes help, by the kind of the frame."""
_MOST_PASSES = 4
"""A command is read again while more of its variables are found to hold a value; in the end all do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A command with its values in the environment."""

    command: str
    held: tuple[Held, ...]
    """The values, by the numbers of their variables."""
    warnings: tuple[tuple[int, str], ...]
    """What is doubtful, by the number of the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BesidesText:
    """What the shell of a command has besides its text."""

    is_bash: bool = False
    """Only bash runs it; else `sh`, which may be bash or not."""
    variables: tuple[str, ...] = ()
    """Those of its environment that a value is in."""
    has_input: bool = False
    """A value is in its standard input."""


@dataclass(slots=True)
class _Items:
    """The characters of a command, and its values by their numbers."""

    items: list[str | int] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)


NOTHING_BESIDES = BesidesText()


def quote(pieces: Sequence[Piece], around: BesidesText = NOTHING_BESIDES) -> Quoted:
    """The command made of these pieces. What is `| raw` must be text already.

    Raises `UnquotableError`.
    """
    found = _Items()
    for piece in pieces:
        if isinstance(piece, Held):
            found.items.append(len(found.held))
            found.held.append(piece)
        else:
            found.items.extend(piece)
    if not found.held and not around.variables and not around.has_input:
        return Quoted(command="".join(map(str, found.items)), held=(), warnings=())
    known = Known(input=INPUT if around.has_input else None)
    for name in around.variables:
        if reads_as_code(name):
            raise UnquotableError(f"shells read the value of {name} as code", OF_ENVIRONMENT)
        known.hold(name, OF_ENVIRONMENT)
    for number in range(len(found.held)):
        known.hold(VARIABLE.format(number), number)
    otherwise = INPUT if around.has_input else OF_ENVIRONMENT
    known.hold("_", 0 if found.held else otherwise)  # it has the last word of the command before
    return _read(found, known, otherwise, is_bash=around.is_bash)


def _read(found: _Items, known: Known, otherwise: int, *, is_bash: bool) -> Quoted:
    """Reads it until no more is known of its variables. `otherwise`: whose number to name without values."""
    for number in range(_MOST_PASSES + 1):
        text, size = ShellText(found.items, otherwise), known.size
        if number == _MOST_PASSES:
            for name in known.written:
                known.hold(name, text.first)
        reader = ShellReader(text, _written, known, is_bash=is_bash)
        reader.read()
        if known.size == size:
            break
    return Quoted(command=text.copy, held=tuple(found.held), warnings=tuple(reader.doubts))


def _written(number: int, frame: ShellFrame) -> str:
    """The variable of a value, in the quotes that it needs. Raises `UnquotableError`."""
    if refused := _NO_PLACE.get(frame.kind) or frame.bare.split:
        raise UnquotableError(refused, number)
    name = VARIABLE.format(number)
    return {"bare": f'"${{{name}}}"', "double": f"${{{name}}}", "single": f"'\"${{{name}}}\"'"}[frame.kind]
