"""The answering end of a wire: frames in, an executor asked, frames out.

Above: the daemon, which answers `samovar run` and the rest, and its worker, which answers the daemon. Below:
`executors/frames.py`. One wire is one run: when its peer is gone, what is being answered stops, and all that
the run held is given back. A peer that takes nothing is let go, so that it holds no memory.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import anyio
from anyio.abc import ByteStream, TaskGroup

from samovar.background import KeepsOpen, alone, keeping_open
from samovar.engines.base import ModelSpec
from samovar.errors import EngineError, SamovarError, UsageError
from samovar.executors.base import Connection, Counter, Embedder, Executor, forget
from samovar.executors.frames import (
    MAGIC,
    Ask,
    BadFrameError,
    Cancel,
    Confirmed,
    Embed,
    Embedded,
    Failed,
    Forget,
    Frame,
    FrameReader,
    FullReply,
    Happened,
    Hello,
    Tell,
    encode,
)
from samovar.executors.table import Locate, OnFetchProgress
from samovar.executors.wire import GREETING_S, READ_BYTES
from samovar.generation import Begun, GoingOn, PromptEvent

MOST_UNSENT_BYTES = 32 * 2**20
"""A peer that leaves more than this unread is let go."""
MOST_ASKED = 4096
"""That one peer may ask at once."""

_log = logging.getLogger("samovar.serve")


class EmbeddingExecutor(Executor, Embedder, Counter, Protocol):
    """One that answers prompts, counts their tokens and embeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredWith:
    """What a peer is answered with."""

    hello: Hello
    make: Callable[[Locate], EmbeddingExecutor]
    """The executor for one peer, which has found the models itself."""
    tell: Callable[[str], Awaitable[dict[str, object]]]
    """What is told or done about the process itself. Raises `UsageError` for what there is not."""
    most_frame_bytes: int = 256 * 2**20
    is_over: anyio.Event | None = None
    """Once it is set, each peer is let go when all that it asked is answered."""


async def answer(stream: ByteStream, answering: AnsweredWith) -> None:
    """Answers one peer until it is gone, or says what cannot be read.

    The stream is closed when all that the run held is given back.
    """
    try:
        async with keeping_open() as keeps:
            await _Peer(stream, answering, keeps).serve()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError, SamovarError) as error:
        _log.info("a client is gone: %s", error)
    finally:
        with anyio.CancelScope(shield=True):
            await stream.aclose()


class _Peer:
    """One wire's other end. Mutable: what it asks, and what is unsent; `keeps` has its connection."""

    def __init__(self, stream: ByteStream, answering: AnsweredWith, keeps: KeepsOpen[Connection]) -> None:
        self._tasks: TaskGroup
        self._stream, self._answering, self._keeps = stream, answering, keeps
        self._reader = FrameReader(answering.most_frame_bytes)
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._has_unsent = anyio.Event()
        self._is_quiet = anyio.Event()
        self._asked: dict[int, anyio.CancelScope] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._run = ""
        self._executor = answering.make(self._locate)

    async def serve(self) -> None:
        """Until it is gone."""
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._write, name="writes to a client")
                self._tasks.start_soon(self._let_go, name="lets a client go")
                await self._read()
                self._tasks.cancel_scope.cancel()
        except ExceptionGroup as errors:
            raise alone(errors) from None

    async def _let_go(self) -> None:
        """When it is over, and nothing is asked or unsent any more."""
        if (is_over := self._answering.is_over) is not None:
            await is_over.wait()
            while self._asked or self._unsent_bytes:
                self._is_quiet = anyio.Event()
                await self._is_quiet.wait()
            self._tasks.cancel_scope.cancel()

    async def _locate(self, model: str, on_progress: OnFetchProgress) -> ModelSpec:
        if model not in self._specs:
            raise UsageError(f"The model {model!r} was not found by whoever asks.")
        return self._specs[model]

    # Bytes ------------------------------------------------------------------------------------------------

    def _send(self, frame: Frame) -> None:
        try:
            raw = encode(frame)
        except BadFrameError as error:
            number = getattr(frame, "number", 0)
            raw = encode(Failed.of(number, EngineError(f"The answer cannot be sent: {error}.")))
        self._unsent.append(raw)
        self._unsent_bytes += len(raw)
        self._has_unsent.set()
        if self._unsent_bytes > MOST_UNSENT_BYTES + len(raw):
            _log.warning("a client that reads nothing is let go")
            self._tasks.cancel_scope.cancel()

    async def _write(self) -> None:
        """Sends what there is, all that has come together at once."""
        while True:
            await self._has_unsent.wait()
            raw = b"".join(self._unsent)
            self._unsent.clear()
            self._has_unsent = anyio.Event()
            await self._stream.send(raw)
            self._unsent_bytes -= len(raw)
            if not self._asked:
                self._is_quiet.set()

    async def _frames(self) -> AsyncIterator[Frame]:
        magic = b""
        with anyio.fail_after(GREETING_S):
            while len(magic) < len(MAGIC):
                magic += await self._stream.receive(READ_BYTES)
        if not magic.startswith(MAGIC):
            raise BadFrameError("it does not begin as a wire does")
        data = magic[len(MAGIC) :]
        while True:
            for frame in self._reader.feed(data):
                yield frame
            data = await self._stream.receive(READ_BYTES)

    async def _read(self) -> None:
        """Takes frames until the peer is gone."""
        self._send(self._answering.hello)
        is_greeted = False
        try:
            async for frame in self._frames():
                if isinstance(frame, Hello):
                    self._run = frame.run
                    is_greeted = True
                elif not is_greeted:
                    raise BadFrameError("it did not say who it is")
                else:
                    self._take(frame)
        except (anyio.EndOfStream, TimeoutError):
            return
        except BadFrameError as error:
            _log.warning("a client that cannot be understood is let go: %s", error)

    # What is asked ----------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Cancel):
            if (scope := self._asked.get(frame.number)) is not None:
                scope.cancel()
            return
        if not isinstance(frame, Ask | Embed | Forget | Tell):
            raise BadFrameError(f"{type(frame).__name__} does not come from a client")
        if frame.number in self._asked or len(self._asked) >= MOST_ASKED:
            raise BadFrameError(f"number {frame.number} cannot be asked now")
        self._asked[frame.number] = anyio.CancelScope()
        self._tasks.start_soon(self._answer, frame, name=f"answers {type(frame).__name__}")

    async def _answer(self, frame: Ask | Embed | Forget | Tell) -> None:
        """Ends with exactly one frame, unless the peer is gone."""
        last: Frame = Failed.of(frame.number, EngineError("It was not wanted any more."))
        try:
            with self._asked[frame.number]:
                last = await self._answered(frame)
        except SamovarError as error:
            last = Failed.of(frame.number, error)
        except Exception as raised:  # handed on: what is wrong here ends the answer and not the daemon
            why = alone(raised)
            if not isinstance(why, SamovarError):
                _log.error("a prompt could not be answered", exc_info=raised)
                why = EngineError(f"The answer failed inside: {type(why).__name__}: {why}")
            last = Failed.of(frame.number, why)
        del self._asked[frame.number]
        self._send(last)

    async def _answered(self, frame: Ask | Embed | Forget | Tell) -> Frame:
        number = frame.number
        if isinstance(frame, Tell):
            return Confirmed(number=number, told=await self._answering.tell(frame.what))
        if isinstance(frame, Forget):
            for connection in self._keeps.all():
                await forget(connection, frame.session)
            return Confirmed(number=number)
        self._specs[frame.spec.reference] = frame.spec
        model = frame.spec.reference
        if isinstance(frame, Embed):
            made = await self._executor.embed(replace(frame.request, model=model, executor=None))
            return Embedded.of(number, made)
        request = replace(frame.request, model=model, executor=None, going_on=self._going_on(frame))
        if frame.counts:
            return Confirmed(number=number, told={"tokens": await self._executor.count(request)})
        kept = await self._keeps.opened("run", lambda: self._executor.open(self._run))

        def heard(event: PromptEvent) -> None:
            self._send(Happened(number=number, event=event))

        return FullReply(number=number, reply=await kept.asked(lambda: kept.it.ask(request, heard)))

    def _going_on(self, frame: Ask) -> GoingOn | None:
        if frame.keep_every_s is None:
            return None

        def keep(begun: Begun) -> None:
            self._send(Happened(number=frame.number, event=begun))

        return GoingOn(begun=frame.begun, keep=keep, every_s=frame.keep_every_s)
