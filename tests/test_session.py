"""Sessions: a conversation grows by whole turns, and gives everything back on every path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import ModelSpec, TextPart
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import ClosedError
from samovar.generation import FinishReason, Message, Options
from samovar.pool import Pool
from samovar.session import Sessions

pytestmark = pytest.mark.anyio

SPEC = ModelSpec(reference="scripted", path=Path("scripted"))


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def count_messages(messages: Sequence[Message]) -> str:
    return f"{len(messages)} messages"


@asynccontextmanager
async def open_sessions(engine: ScriptedEngine | None = None) -> AsyncIterator[Sessions]:
    with anyio.fail_after(10):
        async with Pool(engine or ScriptedEngine(count_messages), budget_bytes=1) as pool:
            sessions = Sessions(pool)
            yield sessions
            sessions.check()
            statistics = sessions.statistics()
            assert statistics.opened == statistics.closed
            assert pool.statistics().leases == 0


async def test_a_conversation_grows_by_question_and_answer() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        assert (await session.ask(user("one"))).text == "1 messages"
        turn = await session.ask(user("two"))
        assert turn.text == "3 messages"
        assert turn.reason is FinishReason.STOP
        assert [message.role for message in session.messages] == ["user", "assistant", "user", "assistant"]


async def test_a_system_message_comes_first_and_replaces_the_one_before() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        await session.ask([Message(role="system", content="old"), *user("one")])
        await session.ask([*user("two"), Message(role="system", content="new")])
        assert [m.content for m in session.messages if m.role == "system"] == ["new"]
        assert session.messages[0].content == "new"


async def test_a_cancelled_turn_is_not_part_of_the_conversation() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    async with open_sessions(ScriptedEngine(pause=never)) as sessions, sessions.open(SPEC) as session:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.ask(user("one"))
        assert session.messages == ()


async def test_an_exception_in_a_callback_comes_out_and_everything_is_given_back() -> None:
    def deaf(event: object) -> None:
        if isinstance(event, TextPart):
            raise ZeroDivisionError

    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        with pytest.raises(ZeroDivisionError):
            await session.ask(user("one"), on_event=deaf)
        assert session.messages == ()
        assert (await session.ask(user("again"))).text == "1 messages"


async def test_a_timeout_ends_the_turn_and_says_so() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    async with open_sessions(ScriptedEngine(pause=never)) as sessions, sessions.open(SPEC) as session:
        turn = await session.ask(user("one"), Options(timeout_s=0.01))
        assert turn.reason is FinishReason.TIMEOUT


async def test_turns_of_one_session_come_one_after_the_other() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(session.ask, user(str(number)))
        assert session.messages[-1].content == "9 messages"


async def test_a_closed_session_refuses() -> None:
    async with open_sessions() as sessions:
        async with sessions.open(SPEC) as session:
            pass
        with pytest.raises(ClosedError):
            await session.ask(user("one"))
