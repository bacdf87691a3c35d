"""One conversation, as a program uses it.

Above: `api.py`, which opens it, and programs. Below: the session on the pool. It only reads the arguments of
its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Self, Unpack, cast, get_args

import anyio

from samovar.errors import CutOffError, UsageError
from samovar.executors.base import cut_off
from samovar.generation import Message, Options, Role
from samovar.language.schema_words import last_with_schema
from samovar.python.answers import AnswerOptions, make_options
from samovar.python.arguments import brief, expect
from samovar.serving.session import LocalSession
from samovar.serving.turn import AnswerStream, Turn


class Session:
    """One conversation with one model. Answers one question at a time; further ones wait.

    Use it in `async with`, which closes it.
    """

    def __init__(
        self,
        session: LocalSession,
        fork: Callable[[], Session],
        defaults: AnswerOptions,
        stack: ExitStack,
    ) -> None:
        """`stack`: what is given back when it closes."""
        self._session, self._fork, self._defaults, self._stack = session, fork, defaults, stack

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far. A turn that did not end is not in it."""
        return self._session.messages

    async def ask(
        self, said: str | Sequence[Message], *, system: str | None = None, **options: Unpack[AnswerOptions]
    ) -> Turn:
        """Says something and returns the answer.

        `said`: a user's text, or messages. `system`: replaces the system prompt. `options`:
        for this question, before the session's; with `secret=True` what is said is kept in memory only, never
        on disk, as is all that is evaluated after it in this conversation. Cancelling stops the generation.
        Raises `TypeError` for an option's name, `UsageError` for its value, `ModelError` when no answer can
        be had (`ContextError`: it is too long; `BudgetError`: too large), `CutOffError` if the answer ended
        before it was what `schema`, `regex` or `grammar` asks for, `ClosedError` when the session is closed,
        before or during.
        """
        messages, made = self._turn("ask()", said, system, options)
        turn = await self._session.ask(messages, made)
        if turn.cut and made.form is not None:
            raise CutOffError(cut_off(turn.cut, turn.reason, turn.tokens, made), text=turn.text)
        return turn

    def stream(
        self, said: str | Sequence[Message], *, system: str | None = None, **options: Unpack[AnswerOptions]
    ) -> AnswerStream:
        """As `ask`, with the answer as it comes: iterate over the pieces; `turn` has the whole afterwards.

        Leaving the loop early stops the generation: at once in `async with`, else when the stream is let go.
        """
        return self._session.stream(*self._turn("stream()", said, system, options))

    def fork(self) -> Session:
        """A conversation that continues from here, independent of this one; `async with` closes it.

        Takes the same short time however much was said, and no memory of the model. A turn that is being
        answered is not in it. Raises `ClosedError`.
        """
        return self._fork()

    def _turn(
        self, call: str, said: object, system: str | None, given: AnswerOptions
    ) -> tuple[list[Message], Options]:
        messages = _messages(call, said, system)
        options = cast(AnswerOptions, {**self._defaults, **given})
        made = make_options(call, options)
        messages = last_with_schema(messages, made)
        if options.get("secret"):
            messages = [replace(message, secret=True) for message in messages]
        return messages, made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the conversation: what is being answered stops. Forks continue. Safe to call twice."""
        with anyio.CancelScope(shield=True):
            await self._session.close()
        self._stack.close()


def _messages(call: str, said: object, system: str | None) -> list[Message]:
    """Raises `UsageError` for what is neither a text nor messages."""
    expect(call, "system", system, (str, type(None)), "a text")
    if isinstance(said, bytes) or not isinstance(said, Sequence):
        raise UsageError(f"{call} takes a text, or messages: not {brief(said)}.")
    messages = [Message(role="user", content=said)] if isinstance(said, str) else list(said)
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, Message):
            raise UsageError(
                f"{call} takes a text, or messages: number {number} is {brief(message)}, "
                'not a samovar.Message(role="user", content="…").'
            )
        if message.role not in get_args(Role) or not isinstance(message.content, str):
            raise UsageError(
                f"Message {number} of {call} has the role {brief(message.role)} and the content "
                f"{brief(message.content)}: expected one of {', '.join(get_args(Role))}, and a text."
            )
    if not messages:
        raise UsageError("There is nothing to answer: pass a text, or at least one message.")
    return messages if system is None else [Message(role="system", content=system), *messages]
