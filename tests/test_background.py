"""Tasks beside a body end with it, and exceptions come out as themselves."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Thread

import anyio
import pytest

from samovar.background import beside, caller_here

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
