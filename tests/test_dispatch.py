"""Executors that keep tasks of their own: opened once, closed once, and what they raise reaches who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

import anyio
import pytest

from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.errors import ModelError, NotFoundError, SamovarError
from samovar.executors import table
from samovar.executors.base import ExecutorAbilities, OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.dispatch import Dispatcher
from samovar.executors.table import Parts
from samovar.generation import FinishReason, Message

pytestmark = pytest.mark.anyio
REQUEST = PromptRequest(messages=(Message(role="user", content="x"),), executor="own")
log: list[str] = []


class Own:
    """An executor with a task group, which fails as `fails` says."""

    name = "another name than in the table"
    needs_local_model: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset()
    abilities: ClassVar[ExecutorAbilities] = ExecutorAbilities()
    fails: ClassVar[str] = ""

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        return False

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        return "here"

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        return None

    @classmethod
    def make(cls, parts: Parts) -> Own:
        return cls()

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Own]:
        log.append("opened")
        self.asked = anyio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                if self.fails == "opening":
                    raise ModelError("no door")
                tasks.start_soon(self.work)
                yield self
                if self.fails == "closing":
                    raise ModelError("stuck")
                tasks.cancel_scope.cancel()
        finally:
            log.append("closed")

    async def work(self) -> None:
        if self.fails == "between":
            await self.asked.wait()
            raise ModelError("died")

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.asked.set()
        if self.fails == "between":
            await anyio.sleep_forever()
        return PromptReply(text="yes", finish_reason=FinishReason.STOP, model="own")


@pytest.fixture
def dispatcher(monkeypatch: pytest.MonkeyPatch) -> Dispatcher:
    log.clear()
    monkeypatch.setitem(cast(dict[str, str], table.KINDS), "own", f"{__name__}:Own")
    nothing = cast(Any, None)
    return Dispatcher(Parts(settings=Settings(executor="own"), sessions=nothing, locate=nothing))


async def ask(dispatcher: Dispatcher, times: int = 1) -> list[str]:
    said: list[str] = []
    with anyio.fail_after(60):
        async with dispatcher.open("run") as connection, anyio.create_task_group() as tasks:

            async def one() -> None:
                reply = await connection.ask(REQUEST, lambda event: None)
                said.append(reply.text)

            for _ in range(times):
                tasks.start_soon(one)
    return said


async def test_branches_that_ask_at_once_open_it_once(dispatcher: Dispatcher) -> None:
    assert await ask(dispatcher, times=5) == ["yes"] * 5
    assert log == ["opened", "closed"]


@pytest.mark.parametrize(("fails", "says"), [("opening", "no door"), ("between", "died")])
async def test_who_asks_gets_what_it_raised_and_no_group(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, fails: str, says: str
) -> None:
    monkeypatch.setattr(Own, "fails", fails)
    with anyio.fail_after(60):
        async with dispatcher.open("run") as connection:
            for _ in range(2):
                with pytest.raises(ModelError, match=says):
                    await connection.ask(REQUEST, lambda event: None)
    assert log.count("opened") == log.count("closed")


async def test_what_it_raises_when_it_closes_comes_out_alone(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Own, "fails", "closing")
    with pytest.raises(ModelError, match="stuck"):
        await ask_once(dispatcher)


async def ask_once(dispatcher: Dispatcher) -> None:
    async with dispatcher.open("run") as connection:
        await connection.ask(REQUEST, lambda event: None)


async def test_a_cancelled_run_closes_it(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "fails", "between")
    with anyio.move_on_after(0):
        await ask_once(dispatcher)
    assert log.count("opened") == log.count("closed")


async def test_a_name_that_there_is_not_is_said_to_who_asks(dispatcher: Dispatcher) -> None:
    async with dispatcher.open("run") as connection:
        with pytest.raises(NotFoundError, match="There is no executor 'onw'"):
            await connection.ask(PromptRequest(messages=REQUEST.messages, executor="onw"), lambda event: None)
