"""The characters and values of a shell command, read once from left to right while they are copied.

Above: `shell_syntax.py`, `here_documents.py`. Below: nothing. It knows no syntax: anyone who reads says what
is refused, and what is written in the place of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn


class UnquotableError(Exception):
    """A value is where it cannot be quoted. `number` says which."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.message, self.number = message, number


class ShellText:
    """One command. Mutable: how far it is read, and the copy."""

    def __init__(self, items: Sequence[str | int], otherwise: int = 0) -> None:
        """`items`: single characters, and values by their numbers. `otherwise`: `first` if there are none."""
        self._items, self._at = items, 0
        self.first = next((item for item in items if isinstance(item, int)), otherwise)
        """The number of the first value."""
        self._out: list[str] = []

    @property
    def copy(self) -> str:
        """The command as far as it has been read, with what was written for its values."""
        return "".join(self._out)

    def peek(self, ahead: int = 0) -> str | int:
        """The item that is `ahead` of the one to be read next; empty behind the last."""
        at = self._at + ahead
        return self._items[at] if at < len(self._items) else ""

    @property
    def before(self) -> str | int:
        """The item that was read last; empty before the first."""
        return self._items[self._at - 1] if self._at else ""

    def take(self, count: int = 1) -> str:
        """Copies this many characters. Anyone who calls knows that no value is among them."""
        taken = self._items[self._at : self._at + count]
        self._at += len(taken)
        text = "".join(str(item) for item in taken)
        self._out.append(text)
        return text

    def write(self, text: str) -> None:
        """Writes `text` in the place of the value that is to be read next."""
        self._out.append(text)
        self._at += 1

    def refuse(self, why: str, number: int | None = None) -> NoReturn:
        """Raises `UnquotableError` for the value with this number; None: for the first of the command."""
        raise UnquotableError(why, self.first if number is None else number)
