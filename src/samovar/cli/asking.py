"""Asks the person at the terminal the questions of a run.

Above: `driving.py`. Below: the terminal. What was typed before the question is not its answer, so it is
thrown away; values within a question are cut, on one line, and of another colour than its author's words.
"""

from __future__ import annotations

import sys
import termios
from contextlib import AbstractContextManager, suppress

import anyio
from rich.text import Text

from samovar.actions.base import brief
from samovar.actions.question import NO, YES, Filled, Question, Reply, accepted
from samovar.cli.console import make_console
from samovar.cli.showing import shown
from samovar.cli.terminal import say

MOST_VALUE_CHARS = 400
"""Shown of a value within a question."""


class Person:
    """Anyone who sits at the terminal: see `actions.question.Ask`."""

    def __init__(self, paused: AbstractContextManager[object]) -> None:
        """`paused`: while in it, nothing else moves on the terminal."""
        self._paused = paused

    async def ask(self, question: Question) -> Reply | None:
        """Asks until there is an answer. The end of input is a no; to what takes no no, there is nobody."""
        with self._paused:
            make_console().print(_text_of(question), soft_wrap=True)
            while True:
                line = await _ask(_prompt_of(question))
                if not line:
                    say("")
                    return NO if question.is_approval else None
                reply = _reply_of(question, line.strip())
                if reply is not None:
                    return reply
                say(_advice(question))


def _prompt_of(question: Question) -> str:
    if question.kind == "go_on":
        return "Go on? [Y/n] "
    if question.kind == "tool":
        return "Allow it? [y/n] "
    if question.kind == "approve":
        return "Approve? [y/n] "
    choices = f" [{'/'.join(map(shown, question.choices))}]" if question.choices else ""
    default = f" (Enter: {brief(question.default, 60)})" if question.default else ""
    return f"Answer{choices}{shown(default)}: "


def _reply_of(question: Question, said: str) -> Reply | None:
    if not said and question.kind == "go_on":
        return YES
    if not said and question.default is not None:
        return Reply(question.default)
    return question.reply(said)


def _advice(question: Question) -> str:
    if question.is_approval:
        return "Type y or n, and Enter."
    return "Type " + shown(accepted(question)) + ", and Enter."


def _text_of(question: Question) -> Text:
    text = Text()
    for part in question.parts:
        if isinstance(part, Filled):
            text.append(brief(part.text, MOST_VALUE_CHARS), style="cyan")
        else:
            text.append(shown(part))
    return text


async def _ask(prompt: str) -> str:
    """The next line that is typed from now on; empty at the end of input."""
    descriptor = sys.stdin.fileno()
    with suppress(termios.error):  # it is not a terminal
        termios.tcflush(descriptor, termios.TCIFLUSH)
    say(prompt, end="")
    # No thread reads: one that waits for a line cannot be stopped, and would keep the program from ending.
    await anyio.wait_readable(descriptor)
    return sys.stdin.readline()
