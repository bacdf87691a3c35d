"""Work beside the event loop: short does not wait for long, and a cancelled caller waits for nothing."""

from __future__ import annotations

import threading

import anyio
import anyio.to_thread
import pytest

from samovar.engines.llama.lanes import LONG_CHARACTERS, Lanes
from samovar.errors import ClosedError

pytestmark = pytest.mark.anyio
LONG = LONG_CHARACTERS + 1


class Slow:
    """Work that goes on until it is let go. Mutable: how often it began and ended."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.ended = 0

    def __call__(self) -> str:
        self.begun.set()
        assert self.go_on.wait(10)
        self.ended += 1
        return "done"

    async def has_begun(self) -> None:
        assert await anyio.to_thread.run_sync(self.begun.wait, 10)


async def test_what_is_short_is_done_while_something_long_goes_on() -> None:
    lanes, slow = Lanes(), Slow()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lanes.run, slow, LONG)
        await slow.has_begun()
        assert await lanes.run(lambda: "short", 1) == "short"
        assert not slow.ended
        slow.go_on.set()


async def test_in_one_lane_they_go_in_the_order_of_asking() -> None:
    lanes, slow = Lanes(), Slow()
    order: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lanes.run, slow, 1)
        await slow.has_begun()
        for number in range(3):
            tasks.start_soon(lanes.run, lambda number=number: order.append(number), 1)
            await anyio.wait_all_tasks_blocked()
        slow.go_on.set()
    assert order == [0, 1, 2]


async def test_a_cancelled_caller_goes_on_and_the_lane_only_after_its_work() -> None:
    lanes, slow = Lanes(), Slow()
    happened: list[str] = []
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as cancelled:
            cancelled.start_soon(lanes.run, slow, LONG)
            await slow.has_begun()
            cancelled.cancel_scope.cancel()
        assert not slow.ended
        tasks.start_soon(lanes.run, lambda: happened.append(f"after {slow.ended}"), LONG)
        await anyio.wait_all_tasks_blocked()
        assert not happened
        slow.go_on.set()
    assert happened == ["after 1"]


async def test_one_that_is_cancelled_before_its_turn_does_nothing() -> None:
    lanes, slow = Lanes(), Slow()
    happened: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lanes.run, slow, LONG)
        await slow.has_begun()
        async with anyio.create_task_group() as cancelled:
            cancelled.start_soon(lanes.run, lambda: happened.append("cancelled"), LONG)
            await anyio.wait_all_tasks_blocked()
            cancelled.cancel_scope.cancel()
        slow.go_on.set()
    assert await lanes.run(lambda: "next", LONG) == "next"
    assert not happened


async def test_what_work_raises_is_raised_and_the_lane_goes_on() -> None:
    lanes = Lanes()
    with pytest.raises(ZeroDivisionError):
        await lanes.run(lambda: 1 // 0, 1)
    assert await lanes.run(lambda: "next", 1) == "next"


async def test_closing_waits_for_abandoned_work_and_nothing_begins_after_it() -> None:
    lanes, slow = Lanes(), Slow()
    async with anyio.create_task_group() as cancelled:
        cancelled.start_soon(lanes.run, slow, LONG)
        await slow.has_begun()
        cancelled.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, lanes.close)
        await anyio.wait_all_tasks_blocked()
        slow.go_on.set()
    assert slow.ended == 1
    with pytest.raises(ClosedError):
        await lanes.run(lambda: "late", 1)
