"""A pool that thousands ask at once: the work of deciding grows with those who ask, and no faster."""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import samovar.serving
from samovar.errors import EngineError
from samovar.serving.collecting import MANY_TURNS, Collecting
from samovar.serving.pool import Pool
from samovar.serving.waking import WOKEN_AT_ONCE, Waking
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


async def per_turn(pool: Pool, engine: SlowEngine, number: int) -> list[int]:
    """How many of `number`, who wait for one model, go on in each turn of the event loop once it is there."""
    counts = [0]
    is_over = False

    async def count_turns() -> None:
        while not is_over:
            await checkpoint()
            counts.append(0)

    async def wait() -> None:
        await ask(pool, "a")
        counts[-1] += 1

    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as waiting:
            for _ in range(number):
                waiting.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(count_turns)
            assert engine.gate is not None
            engine.gate.set()
        is_over = True
    assert sum(counts) == number
    return counts


@pytest.mark.parametrize("failures", [[], [EngineError("no")]])
async def test_those_who_waited_go_on_a_few_in_each_turn_of_the_event_loop(failures: list[Exception]) -> None:
    engine = SlowEngine()
    engine.gate, engine.failures = anyio.Event(), list(failures)
    async with open_pool(engine) as pool:
        counts = await per_turn(pool, engine, 20 * WOKEN_AT_ONCE)
    assert max(counts) <= WOKEN_AT_ONCE


async def test_a_few_are_woken_at_once_and_kinds_have_turns() -> None:
    waking = Waking()
    many, other = [anyio.Event() for _ in range(2 * WOKEN_AT_ONCE)], anyio.Event()
    for event in many:
        waking.wake(event, "many")
    waking.wake(other, "other")
    assert [event.is_set() for event in many] == [True] * WOKEN_AT_ONCE + [False] * WOKEN_AT_ONCE
    await checkpoint()
    assert other.is_set() and not many[-1].is_set()
    assert [event.is_set() for event in many].index(False) == 2 * WOKEN_AT_ONCE - 1
    await checkpoint()
    assert many[-1].is_set()
    waking.wake(later := anyio.Event(), "many")
    assert later.is_set()


async def test_full_collections_wait_while_very_many_turns_are_open() -> None:
    before = gc.get_threshold()
    collecting, other = Collecting(), Collecting()
    with ExitStack() as stack:
        for _ in range(MANY_TURNS):
            stack.enter_context(collecting.turn())
        assert gc.get_threshold() == before
        for _ in range(MANY_TURNS + 1):
            stack.enter_context(collecting.turn())
            stack.enter_context(other.turn())
        assert gc.get_threshold()[:2] == before[:2] and gc.get_threshold()[2] > 1_000_000
    assert gc.get_threshold() == before


async def test_what_the_program_set_itself_meanwhile_stays() -> None:
    before = gc.get_threshold()
    try:
        with ExitStack() as stack:
            collecting = Collecting()
            for _ in range(MANY_TURNS + 1):
                stack.enter_context(collecting.turn())
            gc.set_threshold(701, 11, 12)
        assert gc.get_threshold() == (701, 11, 12)
    finally:
        gc.set_threshold(*before)
