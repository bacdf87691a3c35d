"""How long a turn keeps its model from others: until the engine has done with the answer, read or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import ModelSpec, WeightsKey
from samovar.engines.llama.engine import LlamaEngine
from samovar.errors import ClosedError
from samovar.generation import FinishReason, Message, Options
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from tests.tiny import make_tiny

pytestmark = pytest.mark.anyio

SHORT = Options(max_tokens=8)


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


class CountingEngine(LlamaEngine):
    """Counts how often a file is looked at."""

    looks = 0

    def key(self, spec: ModelSpec) -> WeightsKey:
        self.looks += 1
        return super().key(spec)


@pytest.fixture
def two(tmp_path: Path) -> list[ModelSpec]:
    paths = [make_tiny(tmp_path / f"{seed}.gguf", seed=seed) for seed in range(2)]
    return [ModelSpec(reference=path.stem, path=path, context_tokens=512) for path in paths]


@asynccontextmanager
async def with_room_for_one(specs: list[ModelSpec]) -> AsyncIterator[tuple[Sessions, CountingEngine]]:
    engine = CountingEngine()
    budget_bytes = engine.predict(specs[0]).total_bytes * 3 // 2
    with anyio.fail_after(60):
        try:
            async with Pool(engine, budget_bytes=budget_bytes, keep_alive_s=None) as pool:
                sessions = Sessions(pool)
                yield sessions, engine
                sessions.check()
                assert pool.statistics().leases == 0
        finally:
            engine.close()


async def test_who_reads_a_stream_may_ask_another_model_that_needs_the_room(two: list[ModelSpec]) -> None:
    async with with_room_for_one(two) as (sessions, _):
        async with sessions.open(two[0]) as one, sessions.open(two[1]) as other:
            alone = await one.ask(user("hello"), SHORT)
        async with sessions.open(two[0]) as one, sessions.open(two[1]) as other:
            said, others = "", []
            stream = one.stream(user("hello"), SHORT)
            async for piece in stream:
                said += piece
                others.append((await other.ask(user("and you?"), SHORT)).reason)
            assert others and set(others) <= {FinishReason.STOP, FinishReason.LENGTH}
            assert said == stream.turn.text == alone.text
            assert one.messages[-1].content == said
            await one.ask(user("and now?"), SHORT)


async def test_an_answer_that_is_finished_and_not_read_keeps_no_lease(two: list[ModelSpec]) -> None:
    async with with_room_for_one(two) as (sessions, _), sessions.open(two[0]) as one:
        async with one.stream(user("hello"), SHORT) as stream:
            await stream.next_event()
            while sessions.pool.statistics().leases:
                await anyio.lowlevel.checkpoint()
        assert one.messages == ()
        with pytest.raises(ClosedError):
            await stream.next_event()
        assert (await one.ask(user("again"), SHORT)).tokens.generated > 0


async def test_a_stream_that_is_left_early_gives_its_lease_back_once(two: list[ModelSpec]) -> None:
    async with with_room_for_one(two) as (sessions, _), sessions.open(two[0]) as one:
        async with one.stream(user("hello"), Options(max_tokens=400)) as stream:
            await stream.next_event()
            assert sessions.pool.statistics().leases == 1
        assert sessions.pool.statistics().leases == 0
        assert sessions.pool.statistics().models[0].loads == 1


async def test_a_turn_looks_at_the_file_only_for_a_load(two: list[ModelSpec]) -> None:
    async with with_room_for_one(two) as (sessions, engine), sessions.open(two[0]) as one:
        with sessions.pool.interest(two[0]):
            for _ in range(3):
                await one.ask(user("hello"), SHORT)
        assert engine.looks <= 2  # before it is here: once for the interest, once for the load
        two[0].path.rename(two[0].path.with_suffix(".moved"))
        assert (await one.ask(user("still there?"), SHORT)).tokens.generated > 0
        assert engine.looks <= 2


async def test_a_loaded_model_is_lent_by_each_spec_that_means_it(two: list[ModelSpec]) -> None:
    async with with_room_for_one(two) as (sessions, engine):
        for reference in (two[0].reference, "alias", two[0].reference, "alias"):
            async with sessions.open(replace(two[0], reference=reference)) as session:
                await session.ask(user("hello"), SHORT)
        assert engine.looks == 2
        assert sessions.pool.statistics().models[0].loads == 1
