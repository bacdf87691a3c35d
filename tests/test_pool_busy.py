"""A pool that thousands ask at once: the work of deciding grows with those who ask, and no faster."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

import samovar.serving
from samovar.errors import EngineError
from samovar.serving.pool import Pool
from tests.test_pool import SlowEngine, open_pool, spec

pytestmark = pytest.mark.anyio

MOST_GROWTH = 2.3
"""So many times the steps may be taken for twice as many who ask; squared work is four times."""
SERVING = str(Path(samovar.serving.__file__).parent)


@contextmanager
def counted_steps() -> Iterator[Callable[[], int]]:
    """Counts the lines that run in the pool's own files, each turn of a loop anew."""
    steps = 0

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(SERVING) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield lambda: steps
    finally:
        sys.settrace(before)


async def ask(pool: Pool, name: str) -> None:
    with suppress(EngineError):
        async with pool.lease(spec(name)):
            pass


async def all_get_it_when_it_is_loaded(number: int) -> None:
    engine = SlowEngine()
    engine.gate = anyio.Event()
    async with open_pool(engine) as pool, anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(ask, pool, "a")
        await anyio.wait_all_tasks_blocked()
        assert pool.statistics().waiting == number
        engine.gate.set()
    assert engine.happened == ["load a", "close a"]


async def all_are_cancelled_while_it_loads(number: int) -> None:
    engine = SlowEngine()
    engine.gate = anyio.Event()
    async with open_pool(engine) as pool, anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(ask, pool, "a")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def its_load_fails_for_all(number: int) -> None:
    engine = SlowEngine()
    engine.gate = anyio.Event()
    engine.failures = [EngineError("no")]
    async with open_pool(engine) as pool, anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(ask, pool, "a")
        await anyio.wait_all_tasks_blocked()
        engine.gate.set()


async def half_wait_for_the_room_that_the_others_have(number: int) -> None:
    engine = SlowEngine({"a": 60, "b": 60})
    go_on = anyio.Event()

    async def keep(pool: Pool) -> None:
        async with pool.lease(spec("a")):
            await go_on.wait()

    async with open_pool(engine) as pool, anyio.create_task_group() as tasks:
        for _ in range(number // 2):
            tasks.start_soon(keep, pool)
        await anyio.wait_all_tasks_blocked()
        for _ in range(number // 2):
            tasks.start_soon(ask, pool, "b")
        await anyio.wait_all_tasks_blocked()
        go_on.set()
    assert engine.happened[:3] == ["load a", "close a", "load b"]


@pytest.mark.parametrize(
    "scene",
    [
        all_get_it_when_it_is_loaded,
        all_are_cancelled_while_it_loads,
        its_load_fails_for_all,
        half_wait_for_the_room_that_the_others_have,
    ],
)
async def test_twice_as_many_who_ask_are_about_twice_the_work(
    scene: Callable[[int], Awaitable[None]],
) -> None:
    steps = []
    for number in (10, 200, 400):
        with counted_steps() as count:
            await scene(number)
            steps.append(count())
    assert steps[2] <= MOST_GROWTH * steps[1], steps


async def test_of_two_who_wait_the_second_is_due_although_the_first_left() -> None:
    engine = SlowEngine({"a": 60, "b": 60})
    order: list[str] = []

    async def use(name: str) -> None:
        async with pool.lease(spec(name)):
            order.append(name)

    async with open_pool(engine) as pool, anyio.create_task_group() as tasks, pool.lease(spec("a")):
        first = anyio.CancelScope()

        async def leave_early() -> None:
            with first:
                await use("b")

        tasks.start_soon(leave_early)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(use, "b")
        await anyio.wait_all_tasks_blocked()
        for _ in range(8):
            await use("a")
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(use, "a")
        await anyio.wait_all_tasks_blocked()
        assert order == ["a"] * 8
    assert order == [*["a"] * 8, "b", "a"]
