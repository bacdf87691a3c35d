"""A mistake in a file, with its place, and its fix if there is one safe fix.

Above: the errors, which hand these names on; everything that reads files. Below: nothing of the project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "hint"]
"""An error keeps a file from running; a hint is reported by `samovar check` alone."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where something is in a file. Lines and columns count from 1."""

    path: Path | None
    """The file; None for text that came from no file."""
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path or '<text>'}:{self.line}:{self.column}"

    def within(self, text: str, offset: int) -> Place:
        """The place of `text[offset]`, where `text` begins here."""
        before = text[:offset]
        lines = before.count("\n")
        if not lines:
            return Place(path=self.path, line=self.line, column=self.column + offset)
        return Place(path=self.path, line=self.line + lines, column=offset - before.rfind("\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """The one safe fix of a fault: at `place`, which is of the fault's file, `old` becomes `new`."""

    place: Place
    old: str
    """On one line. Where something else is there, this is not a fix."""
    new: str
    """A newline in it becomes what ends the file's lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong (or doubtful) in a file."""

    code: str
    """Stable, lower case with hyphens: `unknown-prompt`."""
    message: str
    """What is wrong and what to do, one sentence each, without the place."""
    place: Place
    severity: Severity = "error"
    fix: Fix | None = None
    """None: it is for a person to fix."""

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message} [{self.code}]"
