"""The mistakes found while reading a state diagram: each once, at its place, errors separate from hints.

Above: `mermaid.py`, `statements.py`. Below: only errors. It knows where the diagram begins in its file, so
that a token or an offset has its place there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samovar.errors import Fault, Place, Severity

if TYPE_CHECKING:
    from lark import Token

MOST_FAULTS = 100
"""Errors of one diagram."""


class DiagramFaults:
    """The faults of one reading. Mutable: it grows with what is read."""

    def __init__(self, path: Path | None, first_line: int) -> None:
        """`first_line`: the line of the file where the diagram's text begins."""
        self.path, self.first_line = path, first_line
        self.errors: list[Fault] = []
        self.hints: list[Fault] = []
        """Warnings with them."""

    def report(self, code: str, message: str, place: Place, severity: Severity = "error") -> None:
        self.add(Fault(code=code, message=message, place=place, severity=severity))

    def add(self, fault: Fault) -> None:
        """Notes something wrong, once in each place."""
        kind = self.errors if fault.severity == "error" else self.hints
        if kind is self.errors and len(kind) >= MOST_FAULTS:
            return
        if not kind or (kind[-1].place, kind[-1].code) != (fault.place, fault.code):
            kind.append(fault)

    def hint(self, code: str, message: str, place: Place) -> None:
        self.report(code, message, place, "hint")

    def place_at(self, text: str, position: int) -> Place:
        """Where an offset in the diagram's text is in the file."""
        before = text[:position]
        line = self.first_line + before.count("\n")
        return Place(path=self.path, line=line, column=position - before.rfind("\n"))

    def place(self, token: Token, offset: int = 0) -> Place:
        """Where a token is in the file, or what is in it, which begins on its first line."""
        assert token.line is not None and token.column is not None
        return Place(path=self.path, line=self.first_line + token.line - 1, column=token.column + offset)
