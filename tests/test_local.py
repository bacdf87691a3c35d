"""The local executor: the waist's plain values in, sessions on the pool, everything given back per run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import NotFoundError
from samovar.executors.base import PromptRequest, forget
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.generation import (
    FinishReason,
    Message,
    ModelFetching,
    ModelLoading,
    Options,
    PromptEvaluating,
    PromptEvent,
    TextGenerated,
)
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

pytestmark = pytest.mark.anyio


def count_messages(messages: Sequence[Message]) -> str:
    return f"{len(messages)} messages"


async def locate(model: str, on_progress: OnFetchProgress) -> ModelSpec:
    on_progress(1, 2)
    return ModelSpec(reference=model, path=Path(model))


@asynccontextmanager
async def open_executor(
    keep_alive_s: float = 0.0, engine: ScriptedEngine | None = None
) -> AsyncIterator[tuple[LocalExecutor, Sessions]]:
    engine = engine or ScriptedEngine(count_messages)
    with anyio.fail_after(60):
        async with Pool(engine, budget_bytes=1, keep_alive_s=keep_alive_s) as pool:
            sessions = Sessions(pool)
            yield LocalExecutor(sessions, locate, default_model="default"), sessions
            sessions.check()
            assert sessions.statistics().opened == sessions.statistics().closed


def request(
    text: str, *, session: str | None = None, fork: str | None = None, model: str | None = None
) -> PromptRequest:
    messages = (Message(role="user", content=text),)
    return PromptRequest(messages=messages, session=session, fork=fork, model=model)


def ignore(event: PromptEvent) -> None:
    """Nobody listens."""


async def test_what_happens_is_told_in_order_and_adds_up_to_the_reply() -> None:
    told: list[PromptEvent] = []
    async with open_executor() as (executor, _), executor.open("run") as connection:
        reply = await connection.ask(request("hello"), told.append)
        assert reply.text == "1 messages" == "".join(e.piece for e in told if isinstance(e, TextGenerated))
    kinds = [type(event) for event in told]
    assert kinds.index(ModelFetching) < kinds.index(ModelLoading) < kinds.index(PromptEvaluating)
    assert (reply.finish_reason, reply.model) == (FinishReason.STOP, "default")
    assert reply.first_token_s is not None and reply.first_token_s <= reply.duration_s


async def test_without_a_session_each_prompt_begins_anew() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        for _ in range(3):
            assert (await connection.ask(request("hello"), ignore)).text == "1 messages"
        assert sessions.statistics().closed == 3


async def test_a_named_session_goes_on_until_the_run_ends_and_no_further() -> None:
    async with open_executor() as (executor, sessions):
        async with executor.open("one") as connection:
            texts = [(await connection.ask(request("x", session="talk"), ignore)).text for _ in range(2)]
            assert texts == ["1 messages", "3 messages"]
            assert sessions.statistics().closed == 0
        assert sessions.statistics().closed == 1
        async with executor.open("two") as connection:
            assert (await connection.ask(request("x", session="talk"), ignore)).text == "1 messages"


async def test_a_named_session_that_is_forgotten_is_closed_at_once_and_begins_anew() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        for _ in range(3):
            assert (await connection.ask(request("x", session="mine"), ignore)).text == "1 messages"
            assert (await connection.ask(request("x", session="mine"), ignore)).text == "3 messages"
            await forget(connection, "mine")
            await forget(connection, "nobody's")
        statistics = sessions.statistics()
        assert statistics.opened == statistics.closed == 3


async def test_a_run_keeps_its_models_loaded_to_its_end() -> None:
    async with open_executor(keep_alive_s=0.0) as (executor, sessions):
        async with executor.open("run") as connection:
            for _ in range(5):
                await connection.ask(request("x"), ignore)
            await anyio.wait_all_tasks_blocked()
            assert sessions.pool._ledger.entries
        await anyio.wait_all_tasks_blocked()
        assert not sessions.pool._ledger.entries
        assert sessions.pool.statistics().models[0].loads == 1


async def test_an_exception_in_a_callback_comes_out_and_everything_is_given_back() -> None:
    def deaf(event: PromptEvent) -> None:
        if isinstance(event, TextGenerated):
            raise ZeroDivisionError

    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        with pytest.raises(ZeroDivisionError):
            await connection.ask(request("x", session="talk"), deaf)
        assert sessions.pool.statistics().leases == 0
        assert (await connection.ask(request("x", session="talk"), ignore)).text == "1 messages"


async def test_a_cancelled_prompt_gives_everything_back() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        with anyio.CancelScope() as scope:
            await connection.ask(request("x"), lambda event: scope.cancel())
        assert scope.cancelled_caught
        assert sessions.pool.statistics().leases == 0


async def test_a_timeout_is_a_reason_not_an_error() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(60):
        async with Pool(ScriptedEngine(pause=never), budget_bytes=1) as pool:
            executor = LocalExecutor(Sessions(pool), locate, default_model="default")
            async with executor.open("run") as connection:
                asked = PromptRequest(
                    messages=(Message(role="user", content="x"),), options=Options(timeout_s=0.01)
                )
                assert (await connection.ask(asked, ignore)).finish_reason is FinishReason.TIMEOUT


async def test_a_fork_goes_on_from_a_named_conversation_which_stays_as_it_was() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        await connection.ask(request("x", session="talk"), ignore)
        for _ in range(2):
            assert (await connection.ask(request("y", fork="talk"), ignore)).text == "3 messages"
        assert (await connection.ask(request("x", session="talk"), ignore)).text == "3 messages"
        statistics = sessions.statistics()
        assert (statistics.opened, statistics.forked, statistics.closed) == (3, 2, 2)


async def test_a_named_conversation_begins_anew_as_a_fork_and_the_old_one_is_closed() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        for _ in range(2):
            await connection.ask(request("x", session="talk"), ignore)
        await connection.ask(request("x", session="branch"), ignore)
        assert (
            await connection.ask(request("y", session="branch", fork="talk"), ignore)
        ).text == "5 messages"
        assert (await connection.ask(request("y", session="branch"), ignore)).text == "7 messages"
        assert (await connection.ask(request("x", session="talk"), ignore)).text == "5 messages"
        assert sessions.statistics().closed == 1


async def test_forking_in_a_loop_keeps_one_conversation_for_each_name() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        await connection.ask(request("x", session="talk"), ignore)
        for _ in range(20):
            reply = await connection.ask(request("y", session="branch", fork="talk"), ignore)
            assert reply.text == "3 messages"
        statistics = sessions.statistics()
        assert statistics.opened - statistics.closed == 2


async def test_a_conversation_may_be_forked_onto_itself_and_onto_another_model() -> None:
    async with open_executor() as (executor, _), executor.open("run") as connection:
        await connection.ask(request("x", session="talk"), ignore)
        assert (await connection.ask(request("y", session="talk", fork="talk"), ignore)).text == "3 messages"
        reply = await connection.ask(request("z", fork="talk", model="other"), ignore)
        assert (reply.text, reply.model) == ("5 messages", "other")


async def test_forking_what_there_is_not_names_what_there_is() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        with pytest.raises(NotFoundError, match="no session 'talk'"):
            await connection.ask(request("y", fork="talk"), ignore)
        await connection.ask(request("x", session="talk"), ignore)
        with pytest.raises(NotFoundError, match=r"no session 'tlak'\. Did you mean 'talk'\?"):
            await connection.ask(request("y", session="new", fork="tlak"), ignore)
        assert sessions.statistics().opened == 1


async def test_those_who_ask_in_one_conversation_at_once_wait_for_each_other() -> None:
    async with open_executor() as (executor, sessions), executor.open("run") as connection:
        texts: list[str] = []

        async def ask(fork: str | None = None) -> None:
            texts.append((await connection.ask(request("x", session="talk", fork=fork), ignore)).text)

        async with anyio.create_task_group() as tasks:
            for fork in (None, None, "talk", None):
                tasks.start_soon(ask, fork)
        assert texts == ["1 messages", "3 messages", "5 messages", "7 messages"]
        assert sessions.statistics().opened == 2


async def test_a_fork_need_not_wait_for_the_turn_of_the_conversation_it_comes_from() -> None:
    held = anyio.Event()

    async def hold_the_first() -> None:
        if not held.is_set():
            held.set()
            await anyio.sleep_forever()

    engine = ScriptedEngine(count_messages, pause=hold_the_first)
    async with (
        open_executor(engine=engine) as (executor, _),
        executor.open("run") as connection,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(connection.ask, request("x", session="talk"), ignore)
        await held.wait()
        assert (await connection.ask(request("y", fork="talk"), ignore)).text == "1 messages"
        tasks.cancel_scope.cancel()


async def test_a_conversation_that_forgets_says_how_much() -> None:
    long = " ".join("word" for _ in range(5000))
    async with open_executor() as (executor, _), executor.open("run") as connection:
        await connection.ask(request(long, session="talk"), ignore)
        asked = PromptRequest(
            messages=(Message(role="user", content=long),),
            session="talk",
            options=Options(overflow="drop_oldest"),
        )
        reply = await connection.ask(asked, ignore)
        assert (reply.text, reply.dropped_messages) == ("1 messages", 2)
