"""Puts values into a shell command so that none can add a word or a command to it.

Above: `shell.py`. Below: `shell_syntax.py`, which knows in which quotes each value is, and `commands.py`. The
value itself goes through the environment. Where quotes alone do not keep a value from being read as code
(arithmetic, here-documents, back-ticks, the text of a nested shell, and what shells read differently), the
value is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from samovar.actions.commands import refusal, warning
from samovar.actions.shell_syntax import ShellFrame, ShellReader, innermost_bare
from samovar.actions.shell_text import ShellText, UnquotableError
from samovar.language.pieces import Held, Piece

VARIABLE = "SAMOVAR_VALUE_{}"
"""The environment variable of the value with this number."""
_NO_PLACE = {
    "parameter": "it stands within ${…}",
    "arithmetic": "it stands within arithmetic, where the shell would read it as an expression",
    "backtick": "it stands within back-ticks, where quotes are read twice; write $(…) instead",
}
"""Where no quotes help, by the kind of the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A command with its values in the environment."""

    command: str
    held: tuple[Held, ...]
    """The values, by the numbers of their variables."""
    warnings: tuple[tuple[int, str], ...]
    """What is doubtful, by the number of the value."""


def quote(pieces: Sequence[Piece]) -> Quoted:
    """The command made of these pieces. What is `| raw` must be text already.

    Raises `UnquotableError`.
    """
    items: list[str | int] = []
    held: list[Held] = []
    for piece in pieces:
        if isinstance(piece, Held):
            items.append(len(held))
            held.append(piece)
        else:
            items.extend(piece)
    if not held:
        return Quoted(command="".join(map(str, items)), held=(), warnings=())
    text, quoter = ShellText(items), _Quoter()
    ShellReader(text, quoter.written).read()
    return Quoted(command=text.copy, held=tuple(held), warnings=tuple(quoter.warnings))


class _Quoter:
    """Decides how each value of one command is quoted. Mutable: the warnings so far."""

    def __init__(self) -> None:
        self.warnings: list[tuple[int, str]] = []

    def written(self, number: int, frames: Sequence[ShellFrame]) -> str:
        """The variable of a value, in the quotes that it needs. Raises `UnquotableError`."""
        kind, bare = frames[-1].kind, innermost_bare(frames)
        if refused := _NO_PLACE.get(kind):
            raise UnquotableError(refused, number)
        for index, frame in enumerate(frames):
            if frame.substitution and (split := _why_not_given(frames[:index])):
                raise UnquotableError(split, number)
            if frame.kind == "bare":
                why = refusal(frame.words, frame.word + ("\0" if frame is bare else ""))
                if why:
                    raise UnquotableError(why, number)
        doubt = None if bare.redirect else warning(bare.words, bare.word)
        if doubt:
            self.warnings.append((number, doubt))
        name = VARIABLE.format(number)
        return {"bare": f'"${{{name}}}"', "double": f"${{{name}}}", "single": f"'\"${{{name}}}\"'"}[kind]


def _why_not_given(around: Sequence[ShellFrame]) -> str | None:
    """Why what a substitution gives, within these frames, must not hold a value."""
    if around[-1].kind == "arithmetic":
        return _NO_PLACE["arithmetic"]
    bare = max(at for at, frame in enumerate(around) if frame.kind == "bare")
    if any(frame.kind == "double" for frame in around[bare:]):
        return None
    outer = around[bare]
    if re.match(r"[A-Za-z_]\w*=", outer.word) and not outer.words:
        return None
    return 'what the $(…) around it gives is split into words; put that in quotes: "$(…)"'
