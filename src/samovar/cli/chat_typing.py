"""Where a conversation's next text comes from: typed at a terminal, or read from standard input line by line.

Above: `chatting.py`. Below: prompt_toolkit, which is imported at a terminal only; `chat_history.py`. At a
terminal Enter sends, and Alt-Enter, or `\\` at the end of a line, begins a new line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any, Protocol

from samovar.background import in_daemon_thread
from samovar.cli.chat_commands import COMMANDS
from samovar.cli.chat_history import keep, read_history
from samovar.cli.terminal import say


class Typing(Protocol):
    """Gives the texts of a person."""

    async def next(self, prompt: str) -> str | None:
        """The next one; None at the end of input. Raises `KeyboardInterrupt` for Ctrl-C."""
        ...


class TypedLines:
    """Standard input, one line after another, without a prompt."""

    async def next(self, prompt: str) -> str | None:
        """See `Typing`."""
        line = await in_daemon_thread(sys.stdin.readline, "samovar chat")
        return line.rstrip("\n") if line else None


class One:
    """One text, and no more. Mutable: whether it was given."""

    def __init__(self, text: str) -> None:
        self._left: list[str] = [text]

    async def next(self, prompt: str) -> str | None:
        """See `Typing`."""
        return self._left.pop() if self._left else None


class Keyboard:
    """A line that can be edited, with what was typed before."""

    def __init__(self, history: Path | None) -> None:
        """`history`: the file of what was typed; None: nothing is kept."""
        self._history = history
        self._session: Any = None

    async def next(self, prompt: str) -> str | None:
        """See `Typing`."""
        if self._session is None:
            self._session = _make_session(self._history)
        try:
            text: str = await self._session.prompt_async(prompt)
        except EOFError:
            return None
        if self._history is not None:
            keep(self._history, text)
        return text


class PlainKeyboard:
    """A terminal that can do nothing: a prompt and a line."""

    async def next(self, prompt: str) -> str | None:
        """See `Typing`."""
        say(prompt, end="")
        line = await in_daemon_thread(sys.stdin.readline, "samovar chat")
        return line.rstrip("\n") if line else None


def keyboard(history: Path | None) -> Typing:
    """That of the terminal, as far as it goes."""
    return PlainKeyboard() if os.environ.get("TERM", "dumb") in ("dumb", "") else Keyboard(history)


def _make_session(history: Path | None) -> Any:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

    class Kept(History):
        """Of a file, which `Keyboard` itself adds to."""

        async def load(self) -> AsyncGenerator[str, None]:
            if not self._loaded:
                self._loaded_strings = list(self.load_history_strings())
                self._loaded = True
            for text in self._loaded_strings:
                yield text

        def load_history_strings(self) -> Iterable[str]:
            return read_history(history) if history is not None else []

        def store_string(self, string: str) -> None:
            """Nothing: it is kept where it is known what it is."""

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    words = WordCompleter([f"/{name}" for name in COMMANDS], sentence=True)
    return PromptSession(
        history=Kept(),
        key_bindings=keys,
        multiline=True,
        completer=words,
        complete_while_typing=False,
        prompt_continuation="… ",
    )
