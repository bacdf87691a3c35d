"""Sessions and forks in any order of asking, forking, cancelling and closing: messages never mix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from samovar.engines.base import ModelSpec
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import ClosedError
from samovar.generation import Message, TextGenerated
from samovar.serving.pool import Pool
from samovar.serving.session import LocalSession, Sessions

SPEC = ModelSpec(reference="scripted", path=Path("scripted"))
T = TypeVar("T")


def all_that_was_said(messages: Sequence[Message]) -> str:
    """The answer tells the whole conversation, so that a stranger's message in it would show."""
    return " / ".join(message.content for message in messages if message.role == "user")


class SessionMachine(RuleBasedStateMachine):
    """`self.said`: what each open session must have been told, by the machine's own books."""

    sessions_made = Bundle("sessions_made")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal())
        pool = Pool(ScriptedEngine(all_that_was_said), budget_bytes=1, keep_alive_s=None)
        self.stack.enter_context(self.portal.wrap_async_context_manager(pool))
        self.sessions = Sessions(pool)
        self.said: dict[LocalSession, list[str]] = {}
        self.numbers = count()
        self.opened = self.forked = 0

    def do(self, function: Callable[[], Awaitable[T]]) -> T:
        async def bounded() -> T:
            with anyio.fail_after(60):
                return await function()

        return self.portal.call(bounded)

    def new(self) -> list[Message]:
        return [Message(role="user", content=f"m{next(self.numbers)}")]

    @rule(target=sessions_made)
    def open(self) -> LocalSession:
        session = self.sessions.open(SPEC)
        self.opened += 1
        self.said[session] = []
        return session

    @rule(session=sessions_made, target=sessions_made)
    def fork(self, session: LocalSession) -> LocalSession:
        fork = session.fork()
        self.opened += 1
        self.forked += 1
        self.said[fork] = list(self.said[session])
        return fork

    @rule(session=sessions_made)
    def ask(self, session: LocalSession) -> None:
        messages = self.new()
        turn = self.do(lambda: session.ask(messages))
        self.said[session].append(messages[0].content)
        assert turn.text == " / ".join(self.said[session])

    @rule(session=sessions_made, others=st.lists(sessions_made, max_size=3))
    def ask_at_once(self, session: LocalSession, others: list[LocalSession]) -> None:
        """Several turns, of one session or of more, in one task group."""
        asked = [(one, self.new()) for one in (session, *others)]

        async def ask_all() -> None:
            async with anyio.create_task_group() as tasks:
                for one, messages in asked:
                    tasks.start_soon(one.ask, messages)

        self.do(ask_all)
        for one, messages in asked:
            self.said[one].append(messages[0].content)

    @rule(session=sessions_made)
    def cancel(self, session: LocalSession) -> None:
        messages = self.new()

        async def ask_and_cancel() -> None:
            with anyio.CancelScope() as scope:
                await session.ask(
                    messages,
                    on_event=lambda event: scope.cancel() if isinstance(event, TextGenerated) else None,
                )

        self.do(ask_and_cancel)
        # An answer of one token has come to its end before the cancellation could be heard, or not.
        if len(session.messages) > 2 * len(self.said[session]):
            self.said[session].append(messages[0].content)

    @rule(session=sessions_made, closes=st.booleans())
    def leave_a_stream(self, session: LocalSession, closes: bool) -> None:
        messages = self.new()

        async def leave() -> None:
            if closes:
                async with session.stream(messages) as pieces:
                    await anext(pieces)
            else:
                async for _ in session.stream(messages):
                    break

        self.do(leave)

    @rule(session=sessions_made, target=sessions_made)
    def fork_during_a_turn(self, session: LocalSession) -> LocalSession:
        messages = self.new()

        async def fork_and_finish() -> LocalSession:
            async with session.stream(messages) as pieces:
                await anext(pieces)
                fork = session.fork()
                async for _ in pieces:
                    pass
                return fork

        fork = self.do(fork_and_finish)
        self.opened += 1
        self.forked += 1
        self.said[fork] = list(self.said[session])
        self.said[session].append(messages[0].content)
        return fork

    @rule(session=consumes(sessions_made), during_a_turn=st.booleans())
    def close(self, session: LocalSession, during_a_turn: bool) -> None:
        messages = self.new()

        async def close() -> None:
            if during_a_turn:
                await anext(session.stream(messages))
            await session.close()
            try:
                await session.ask(messages)
            except ClosedError:
                return
            raise AssertionError("a closed session answered")

        self.do(close)
        del self.said[session]

    @invariant()
    def each_session_has_what_it_was_told_and_nothing_else(self) -> None:
        for session, said in self.said.items():
            told = [message.content for message in session.messages if message.role == "user"]
            assert told == said
            answers = [message.content for message in session.messages if message.role == "assistant"]
            assert answers == [" / ".join(said[: length + 1]) for length in range(len(said))]

    @invariant()
    def the_books_balance(self) -> None:
        statistics = self.sessions.statistics()
        assert (statistics.opened, statistics.forked) == (self.opened, self.forked)
        assert statistics.opened - statistics.closed == len(self.said)
        self.sessions.check()

    def teardown(self) -> None:
        for session in self.said:
            self.do(session.close)
        statistics = self.sessions.statistics()
        assert statistics.opened == statistics.closed
        assert self.sessions.pool.statistics().leases == 0
        self.stack.close()


TestSessions = pytest.mark.slow(SessionMachine.TestCase)
TestSessions.settings = settings(max_examples=40, stateful_step_count=30)
