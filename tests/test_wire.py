"""Prompts over a wire: who is at the other end stops, fails and begins again as an executor here would."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, UNIXSocketStream
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar import __version__
from samovar.engines.base import ModelSpec
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import ContextError, EngineError, EngineLostError, NotFoundError, UsageError
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.far import FarExecutor
from samovar.executors.frames import (
    MAGIC,
    Ask,
    Cancel,
    Failed,
    Forget,
    Frame,
    FrameReader,
    Happened,
    Hello,
    encode,
)
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.executors.wire import Connect, Wire, tell
from samovar.generation import Begun, FinishReason, GoingOn, Message, PromptEvent, TextGenerated
from samovar.serve import answering
from samovar.serve.answering import AnsweredWith, EmbeddingExecutor, answer
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

pytestmark = pytest.mark.anyio


async def locate(model: str, on_progress: OnFetchProgress) -> ModelSpec:
    on_progress(1, 2)
    return ModelSpec(reference=model, path=Path(model))


def count_messages(messages: Sequence[Message]) -> str:
    return f"{len(messages)} messages"


def request(text: str, **given: str) -> PromptRequest:
    return PromptRequest(messages=(Message(role="user", content=text),), **given)  # type: ignore[arg-type]


def ignore(event: PromptEvent) -> None:
    """Nobody listens."""


@dataclass
class Ends:
    """Wires of this process. Mutable: the ends of those that were opened, both sides."""

    here: list[ByteStream] = field(default_factory=list)
    there: list[ByteStream] = field(default_factory=list)
    sessions: Sessions | None = None

    async def cut(self) -> None:
        """The other end of the newest wire is gone, and everybody has heard of it."""
        await self.there[-1].aclose()
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def wires(
    make: Callable[[object], EmbeddingExecutor] | None = None, version: str = __version__
) -> AsyncIterator[tuple[Connect, Ends]]:
    ends = Ends()
    with anyio.fail_after(60):
        async with (
            Pool(ScriptedEngine(count_messages), budget_bytes=1) as pool,
            anyio.create_task_group() as tasks,
        ):
            ends.sessions = sessions = Sessions(pool)
            made = make or (lambda locate: LocalExecutor(sessions, locate, default_model=""))  # type: ignore[arg-type]
            hello = Hello(version=version, pid=os.getpid())

            async def told(what: str) -> dict[str, object]:
                if what != "how":
                    raise UsageError(f"Nothing is called {what}.")
                return {"is": "well"}

            known = AnsweredWith(hello=hello, make=made, tell=told, most_frame_bytes=100_000)

            async def connect() -> ByteStream:
                here, there = socket.socketpair()
                ends.there.append(await UNIXSocketStream.from_socket(there))
                ends.here.append(await UNIXSocketStream.from_socket(here))
                tasks.start_soon(answer, ends.there[-1], known)
                return ends.here[-1]

            yield connect, ends
            sessions.check()
            assert sessions.statistics().opened == sessions.statistics().closed
            tasks.cancel_scope.cancel()


class Waits:
    """An executor that says a word and then nothing until it is stopped. Mutable: how often it was."""

    name = "waits"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.stopped = 0
        self.is_stopped = anyio.Event()
        self.closed = 0

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Waits]:
        try:
            yield self
        finally:
            self.closed += 1

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        on_event(TextGenerated(piece="word"))
        if self.error is not None:
            raise self.error
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped += 1
            self.is_stopped.set()
        raise AssertionError

    async def embed(self, request: object) -> object:
        raise AssertionError


async def test_a_caller_that_is_gone_stops_what_was_asked_and_gives_back_all() -> None:
    waits = Waits()
    async with wires(lambda locate: waits) as (connect, _ends):  # type: ignore[arg-type,return-value]
        stream = await connect()
        ask = Ask(number=1, request=request("x"), spec=ModelSpec(reference="m", path=Path("m")))
        await stream.send(MAGIC + encode(Hello(version=__version__, pid=1)) + encode(ask))
        while b"word" not in await stream.receive():
            pass
        await stream.aclose()
        await waits.is_stopped.wait()
    assert (waits.stopped, waits.closed) == (1, 1)


async def test_a_cancelled_prompt_has_stopped_at_the_other_end_before_anybody_goes_on() -> None:
    waits = Waits()
    async with wires(lambda locate: waits) as (connect, _ends):  # type: ignore[arg-type,return-value]
        async with FarExecutor(connect, locate, default_model="m").open("run") as connection:
            with anyio.CancelScope() as scope:

                def stop(event: PromptEvent) -> None:
                    if isinstance(event, TextGenerated):
                        scope.cancel()

                await connection.ask(request("x"), stop)
            assert scope.cancelled_caught and waits.stopped == 1
        assert waits.closed == 1


async def test_a_prompt_that_is_cancelled_while_it_is_sent_leaves_the_wire_whole() -> None:
    here, there = socket.socketpair()
    wire, peer = Wire(await UNIXSocketStream.from_socket(here)), await UNIXSocketStream.from_socket(there)
    spec = ModelSpec(reference="m", path=Path("m"))
    ask = partial(Ask, request=request("word " * 400_000), spec=spec)
    scope, reader, heard = anyio.CancelScope(), FrameReader(), list[Frame]()

    async def prompt() -> None:
        with scope:
            await wire.ask(ask, ignore)
        await peer.aclose()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wire.listen)
            tasks.start_soon(prompt)
            heard += reader.feed(await peer.receive())
            scope.cancel()
            while len(heard) < 2:
                heard += reader.feed(await peer.receive())
            await peer.send(encode(Failed.of(1, EngineError("It was not wanted any more."))))
    assert scope.cancelled_caught
    assert [type(one) for one in heard] == [Ask, Cancel]


async def test_of_a_prompt_that_is_cancelled_before_it_is_sent_nothing_is_said() -> None:
    here, there = socket.socketpair()
    ask = partial(Ask, request=request("x"), spec=ModelSpec(reference="m", path=Path("m")))
    async with await UNIXSocketStream.from_socket(here) as stream:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await Wire(stream).ask(ask, ignore)
    with there:
        assert scope.cancelled_caught and there.recv(1) == b""


class Keeps(Waits):
    """One whose answers outlive it: it keeps what there is of one at once, and again when it is stopped."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        assert request.going_on is not None
        (before,) = request.going_on.begun
        request.going_on.keep(replace(before, tokens=(*before.tokens, 2)))
        try:
            return await super().ask(request, on_event)
        finally:
            request.going_on.keep(replace(before, tokens=(*before.tokens, 2, 3)))


async def test_what_there_is_of_an_answer_comes_back_also_when_it_is_given_up() -> None:
    kept: list[Begun] = []
    lasts = GoingOn(begun=(Begun(of="x", tokens=(1,)),), keep=kept.append, every_s=1.0)
    async with wires(lambda locate: Keeps()) as (connect, _ends):  # type: ignore[arg-type,return-value]
        executor = FarExecutor(connect, locate, default_model="m")
        async with executor.open("r") as connection, anyio.create_task_group() as tasks:

            def stop(event: PromptEvent) -> None:
                if isinstance(event, TextGenerated):
                    tasks.cancel_scope.cancel()

            await connection.ask(replace(request("a"), going_on=lasts), stop)
    assert [one.tokens for one in kept] == [(1, 2), (1, 2, 3)]


async def test_what_a_listener_raises_stops_the_other_end_and_comes_out() -> None:
    def deaf(event: PromptEvent) -> None:
        if isinstance(event, TextGenerated):
            raise ZeroDivisionError

    waits = Waits()
    async with (
        wires(lambda locate: waits) as (connect, _ends),  # type: ignore[arg-type,return-value]
        FarExecutor(connect, locate, default_model="m").open("run") as connection,
    ):
        with pytest.raises(ZeroDivisionError):
            await connection.ask(request("x"), deaf)
        assert waits.stopped == 1


@pytest.mark.parametrize(
    "error", [ContextError(prompt_tokens=3, context_tokens=2), NotFoundError("session", "x", ["y"])]
)
async def test_an_error_of_the_other_end_is_the_one_that_it_would_be_here(error: Exception) -> None:
    waits = Waits(error)
    async with (
        wires(lambda locate: waits) as (connect, _ends),  # type: ignore[arg-type,return-value]
        FarExecutor(connect, locate, default_model="m").open("run") as connection,
    ):
        with pytest.raises(type(error)) as caught:
            await connection.ask(request("x"), ignore)
        assert vars(caught.value) == vars(error)


async def test_a_mistake_of_the_other_end_is_an_error_of_the_engine_and_the_wire_stays_whole() -> None:
    waits = Waits(RuntimeError("oh"))
    async with (
        wires(lambda locate: waits) as (connect, ends),  # type: ignore[arg-type,return-value]
        FarExecutor(connect, locate, default_model="m").open("run") as connection,
    ):
        for _ in range(2):
            with pytest.raises(EngineError, match="RuntimeError: oh"):
                await connection.ask(request("x"), ignore)
        assert len(ends.here) == 1


async def test_a_wire_that_breaks_fails_the_prompt_so_that_it_may_be_asked_again() -> None:
    waits = Waits()
    async with (
        wires(lambda locate: waits) as (connect, ends),  # type: ignore[arg-type,return-value]
        FarExecutor(connect, locate, default_model="m").open("run") as connection,
        anyio.create_task_group() as tasks,
    ):

        def cut(event: PromptEvent) -> None:
            if isinstance(event, TextGenerated):
                tasks.start_soon(ends.cut)

        with pytest.raises(EngineLostError) as caught:
            await connection.ask(request("x"), cut)
        assert caught.value.retryable


async def test_after_a_wire_broke_a_conversation_goes_on_with_all_that_was_said() -> None:
    async with (
        wires() as (connect, ends),
        FarExecutor(connect, locate, default_model="m").open("run") as connection,
    ):
        for expected in ("1 messages", "3 messages"):
            assert (await connection.ask(request("x", session="talk"), ignore)).text == expected
        await ends.cut()
        assert (await connection.ask(request("x", session="talk"), ignore)).text == "5 messages"
        await ends.cut()
        assert (await connection.ask(request("x", fork="talk"), ignore)).text == "7 messages"
        assert (await connection.ask(request("x", session="talk"), ignore)).text == "7 messages"
        assert (await connection.ask(request("x", session="b", fork="talk"), ignore)).text == "9 messages"
        assert len(ends.here) == 3


async def test_nobody_there_is_an_error_that_may_pass() -> None:
    async def nobody() -> ByteStream:
        raise EngineLostError("Nobody is there.")

    async with FarExecutor(nobody, locate, default_model="m").open("run") as connection:
        with pytest.raises(EngineLostError, match="Nobody"):
            await connection.ask(request("x"), ignore)


async def test_a_model_that_is_not_found_here_is_said_here() -> None:
    async def nowhere(model: str, on_progress: OnFetchProgress) -> ModelSpec:
        raise NotFoundError("model", model)

    async with wires() as (connect, ends):
        async with FarExecutor(connect, nowhere, default_model="m").open("run") as connection:
            with pytest.raises(NotFoundError):
                await connection.ask(request("x"), ignore)
        assert not ends.here


async def test_another_version_is_not_asked() -> None:
    async with (
        wires(version="0.0.1") as (connect, _ends),
        FarExecutor(connect, locate, default_model="m").open("run") as connection,
    ):
        with pytest.raises(EngineLostError, match=r"version 0\.0\.1.*Restart it"):
            await connection.ask(request("x"), ignore)
        assert await tell(await connect(), "how") == {"is": "well"}


async def test_what_there_is_not_to_be_told_is_an_error() -> None:
    async with wires() as (connect, _ends):
        with pytest.raises(UsageError, match="Nothing is called weather"):
            await tell(await connect(), "weather")


async def test_a_peer_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    class Talks(Waits):
        async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
            try:
                while True:
                    on_event(TextGenerated(piece="word " * 1000))
                    await anyio.lowlevel.checkpoint()
            finally:
                self.is_stopped.set()

    monkeypatch.setattr(answering, "MOST_UNSENT_BYTES", 1_000_000)
    talks = Talks()
    async with wires(lambda locate: talks) as (connect, _ends):  # type: ignore[arg-type,return-value]
        stream = await connect()
        ask = Ask(number=1, request=request("x"), spec=ModelSpec(reference="m", path=Path("m")))
        await stream.send(MAGIC + encode(Hello(version=__version__, pid=1)) + encode(ask))
        await talks.is_stopped.wait()
        await stream.aclose()


HELLO = encode(Hello(version=__version__, pid=1))
BAD = st.one_of(
    st.binary(max_size=100).map(lambda raw: MAGIC + HELLO + struct.pack(">I", len(raw)) + raw),
    st.binary(min_size=4, max_size=50),
    st.sampled_from(
        [
            MAGIC + encode(Forget(number=1, session="x")),  # which has not said who it is
            MAGIC + HELLO + encode(Happened(number=1, event=TextGenerated(piece="x"))),
            MAGIC + HELLO + struct.pack(">I", 100_001),
            b"GET / HTTP/1.1\r\n\r\n",
        ]
    ),
)


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("SAMOVAR_TEST_MALFORMED", "2000")) // 50)
@given(st.lists(BAD, min_size=50, max_size=50))
def test_what_cannot_be_understood_is_let_go_and_nothing_is_held(many: list[bytes]) -> None:
    async def main() -> None:
        async with wires() as (connect, _ends):
            for raw in many:
                stream = await connect()
                await stream.send(raw)
                await stream.send_eof()
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await stream.receive()
                await stream.aclose()
            async with FarExecutor(connect, locate, default_model="m").open("run") as connection:
                assert (await connection.ask(request("x"), ignore)).finish_reason is FinishReason.STOP

    anyio.run(main)
