"""The only way to write plain text to a terminal: with escapes for control sequences.

Above: every module of this folder. Below: `showing.py`. Texts come from files, commands, models and other
people, so none of them may move the cursor, change a title or hide what is beside it. What goes to a file or
a pipe is written as it is. Tables and styles are in `console.py`.
"""

from __future__ import annotations

import sys

from samovar.cli.showing import visible


def say(text: str, *, end: str = "\n") -> None:
    """A remark on standard error, at once."""
    sys.stderr.write(visible(text) + end)
    sys.stderr.flush()


def put(text: str) -> None:
    """A result on standard output, at once: as it is, or with escapes if that is a terminal."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def put_bytes(data: bytes) -> None:
    """A result on standard output that is not a text, which a terminal does not get."""
    assert not sys.stdout.isatty()
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


class Remarks:
    """Standard error as a stream, for libraries that write to one: each text is a remark."""

    def write(self, text: str) -> None:
        """Says it."""
        say(text, end="")

    def flush(self) -> None:
        """Nothing is held."""
