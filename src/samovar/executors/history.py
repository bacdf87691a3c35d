"""Conversations of executors that keep none themselves: all that was said is sent again with each prompt.

Above: the connections of endpoints, and of any program without sessions of its own. Below: plain values. One
prompt of a conversation is answered at a time; a fork is a copy of what was said; all of them end with the
connection. Mutable: what was said so far, by whole turns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from samovar.errors import NotFoundError
from samovar.executors.base import PromptRequest
from samovar.generation import Message
from samovar.serving.conversation import say, without_oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """What was said so far: a value, so that forks share what they have in common."""

    messages: tuple[Message, ...] = ()
    native: tuple[tuple[Message, object], ...] = ()
    """Answers with what whoever gave them wants back unchanged, in their own form."""

    def native_of(self, message: Message) -> object | None:
        """What belongs to this very message; None if nothing does."""
        return next((native for known, native in self.native if known is message), None)


class SentAgain:
    """One prompt of a conversation while it is answered. Mutable: what is sent, and how much was left out."""

    def __init__(self, before: Dialogue, messages: Sequence[Message]) -> None:
        self.sent = Dialogue(messages=say(before.messages, messages), native=before.native)
        self.dropped = 0
        self.is_kept = False

    def drop_oldest(self, excess_tokens: int) -> bool:
        """Leaves out the oldest exchanges; False if nothing is left that could be."""
        shorter = without_oldest(self.sent.messages, excess_tokens)
        if shorter is None:
            return False
        self.dropped += len(self.sent.messages) - len(shorter)
        self.sent = Dialogue(messages=shorter, native=self.sent.native)
        return True

    def keep(self, answer: Message, native: object | None = None) -> None:
        """The answer is whole: what was sent and it are the conversation from now on."""
        known = self.sent.native if native is None else (*self.sent.native, (answer, native))
        kept = tuple(
            one for one in known if one[0] is answer or any(said is one[0] for said in self.sent.messages)
        )
        self.sent = Dialogue(messages=(*self.sent.messages, answer), native=kept)
        self.is_kept = True


class Histories:
    """The named conversations of one connection."""

    def __init__(self) -> None:
        self._named: dict[str, Dialogue] = {}
        self._turns: dict[str, anyio.Lock] = {}

    @asynccontextmanager
    async def exchange(self, request: PromptRequest) -> AsyncIterator[SentAgain]:
        """What is sent for a request. What is not kept in it leaves the conversation as it was.

        Those who ask in one conversation at once wait for each other. Raises `NotFoundError` for a fork of
        what there is not.
        """
        name = request.session
        if name is None:
            yield SentAgain(self._source(request), request.messages)
            return
        async with self._turns.setdefault(name, anyio.Lock()):
            if request.fork is not None:
                self._named[name] = self._source(request)
            before = self._named.get(name, Dialogue(messages=request.history))
            exchange = SentAgain(before, request.messages)
            yield exchange
            if exchange.is_kept:
                self._named[name] = exchange.sent

    def _source(self, request: PromptRequest) -> Dialogue:
        """What a copy begins with; what was said in another process comes with the request."""
        if request.fork in self._named:
            return self._named[request.fork]
        if request.fork is not None and not request.history:
            raise NotFoundError("session", request.fork, list(self._named))
        return Dialogue(messages=request.history)

    async def forget(self, name: str) -> None:
        """See `base.Forgets`."""
        async with self._turns.setdefault(name, anyio.Lock()):
            self._named.pop(name, None)
        self._turns.pop(name, None)

    def close(self) -> None:
        """All of them end."""
        self._named.clear()
        self._turns.clear()

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        assert set(self._named) <= set(self._turns)
        assert not any(turn.locked() for turn in self._turns.values())
