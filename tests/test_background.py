"""Tasks beside a body end with it, and exceptions come out as themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from threading import Thread

import anyio
import pytest

from samovar.background import KeepsOpen, beside, caller_here, keeping_open

pytestmark = pytest.mark.anyio


async def test_tasks_end_with_the_body() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    with anyio.fail_after(60):
        async with beside(forever=forever):
            await anyio.wait_all_tasks_blocked()
    assert ended == ["task"]


async def test_an_exception_of_the_body_comes_out_as_itself() -> None:
    with anyio.fail_after(60), pytest.raises(ZeroDivisionError):
        async with beside(forever=anyio.sleep_forever):
            raise ZeroDivisionError


async def test_an_exception_of_a_task_ends_the_body_and_comes_out_as_itself() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with anyio.fail_after(60), pytest.raises(ZeroDivisionError):
        async with beside(fails=fails):
            await anyio.sleep_forever()


async def test_cancellation_goes_through() -> None:
    with anyio.fail_after(60), anyio.CancelScope() as scope:
        async with beside(forever=anyio.sleep_forever):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_what_a_thread_has_called_runs_in_the_context_of_the_loop() -> None:
    here: ContextVar[str] = ContextVar("here", default="a thread's own")
    here.set("the task's")
    call, called, found = caller_here(), anyio.Event(), list[str]()

    def look() -> None:
        found.append(here.get())
        anyio.CancelScope()  # which anyio makes only if it knows what it runs on
        called.set()

    with anyio.fail_after(60):
        Thread(target=lambda: call(look)).start()
        await called.wait()
    assert found == ["the task's"]


async def test_what_is_kept_open_is_opened_once_and_closed_by_the_task_that_opened_it() -> None:
    told: list[tuple[str, int]] = []
    slow = anyio.Event()

    @asynccontextmanager
    async def thing(name: str) -> AsyncIterator[str]:
        if name == "slow":
            await slow.wait()
        told.append((name, anyio.get_current_task().id))
        yield name
        told.append((name, anyio.get_current_task().id))

    async def use(keeps: KeepsOpen[str], name: str) -> None:
        kept = await keeps.opened(name, lambda: thing(name))
        assert kept.it == name

    with anyio.fail_after(60):
        async with keeping_open() as keeps:
            async with anyio.create_task_group() as tasks:
                for name in ("slow", "slow", "quick"):
                    tasks.start_soon(use, keeps, name)
                await anyio.wait_all_tasks_blocked()
                assert keeps.all() == ("quick",), "nobody waits for what another one opens"
                slow.set()
            await use(keeps, "slow")
            assert keeps.all() == ("quick", "slow")
    assert [name for name, _ in told[:2]] == ["quick", "slow"]
    assert sorted(told[:2]) == sorted(told[2:]) and len({task for _, task in told}) == 2


async def test_whoever_asks_what_is_kept_open_gets_what_it_failed_with() -> None:
    fails = anyio.Event()

    @asynccontextmanager
    async def thing() -> AsyncIterator[None]:
        async def fail() -> None:
            await fails.wait()
            raise ZeroDivisionError

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            yield

    with anyio.fail_after(60):
        async with keeping_open() as keeps:
            kept = await keeps.opened("a", thing)
            for _ in range(2):  # while it is asked, and from then on
                fails.set()
                with pytest.raises(ZeroDivisionError):
                    await kept.asked(anyio.sleep_forever)
