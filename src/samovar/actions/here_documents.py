"""Here-documents of a shell command: `<<EOF`, and the lines up to their delimiter.

Above: `shell_syntax.py`. Below: `shell_text.py`. A value in one is refused: shells read them as text or as
code by how the delimiter is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from samovar.actions.shell_text import ShellText


class HereDocuments:
    """The here-documents of one command. Mutable: those that have begun and whose lines are still to come."""

    def __init__(self, text: ShellText, check: Callable[[str], None]) -> None:
        """`check` gets each line in which the shell expands what it finds."""
        self._text, self._check = text, check
        self._begun: list[tuple[str, bool, bool]] = []
        """Delimiter, whether tabs may be before it, and whether the lines are taken as they are."""

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self) -> None:
        """Reads what follows a `<<`: the delimiter."""
        indented = self._text.peek() == "-"
        if indented:
            self._text.take()
        while self._text.peek() in (" ", "\t"):
            self._text.take()
        delimiter = ""
        while (item := self._text.peek()) != "":
            if isinstance(item, int):
                self._text.refuse("it is in the delimiter of a here-document", item)
            if item in " \t\n;&|<>()":
                break
            delimiter += self._text.take()
        if "$" in delimiter or "`" in delimiter:
            self._text.refuse("the delimiter of the here-document is not plain")
        plain = re.sub(r"[\"'\\]", "", delimiter)
        self._begun.append((plain, indented, plain != delimiter))

    def skip(self) -> None:
        """Reads the lines of all that have begun, from the beginning of the next line."""
        for delimiter, indented, is_literal in self._begun:
            while self._text.peek() != "":
                line = self._line()
                if (line.lstrip("\t") if indented else line) == delimiter:
                    break
                if not is_literal:
                    self._check(line)
        self._begun = []

    def _line(self) -> str:
        line = ""
        while (item := self._text.peek()) != "":
            if isinstance(item, int):
                self._text.refuse("it is in a here-document", item)
            self._text.take()
            if item == "\n":
                break
            line += item
        return line
