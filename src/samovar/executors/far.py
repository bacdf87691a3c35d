"""An executor at the other end of a wire: each run has one, and what it holds there ends with it.

Above: `daemon.py`, whose wires lead to a daemon; the daemon itself, whose wires lead to its worker. Below:
`wire.py`. Models are found here, and only where they are and how they are to be loaded is sent. After a wire
broke, the next prompt opens another one, and what its conversation has said is told again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from samovar.background import beside
from samovar.engines.base import ModelSpec
from samovar.errors import EngineLostError, SamovarError
from samovar.executors.base import EmbedRequest, OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.frames import Ask, BadFrameError, Confirmed, Embed, Embedded, Forget, Frame, FullReply
from samovar.executors.table import Locate
from samovar.executors.wire import Connect, Wire, lost
from samovar.generation import Begun, Embeddings, Message, ModelFetching, PromptEvent
from samovar.serving.conversation import say


class FarExecutor:
    """See `executors.base.Executor`: whoever is at the other end of the wire answers."""

    def __init__(self, connect: Connect, locate: Locate, *, default_model: str, name: str = "local") -> None:
        """`locate` finds models here: only where they are and how they are to be loaded is sent."""
        self.name = name
        self._connect, self._locate, self._default_model = connect, locate, default_model

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `base.Embedder`."""
        spec = await self._locate(request.model or self._default_model, lambda done_bytes, total_bytes: None)
        spec = replace(spec, path=spec.path.absolute())
        async with self.wire() as wire:
            frame = await wire.ask(
                lambda number: Embed(number=number, request=request, spec=spec), lambda event: None
            )
        if not isinstance(frame, Embedded):
            raise lost("it did not give vectors")
        try:
            return frame.embeddings()
        except BadFrameError as error:
            raise lost(str(error)) from None

    async def count(self, request: PromptRequest) -> int:
        """See `base.Counter`."""
        spec = await self._locate(request.model or self._default_model, lambda done_bytes, total_bytes: None)
        spec = replace(spec, path=spec.path.absolute())
        sent = replace(request, model=spec.reference, executor=None, permits=None, going_on=None)
        async with self.wire() as wire:
            ask = partial(Ask, request=sent, spec=spec, counts=True)
            frame = await wire.ask(ask, lambda event: None)
        if not isinstance(frame, Confirmed):
            raise lost("it did not count")
        return int(frame.told["tokens"])

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """One wire, for as long as the body."""
        wire, _ = await Wire.greeted(await self._connect())
        async with beside(listens=wire.listen):
            yield wire

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[FarConnection]:
        connection = FarConnection(self._connect, self._locate, self._default_model, run)
        async with beside(keeps_wires=connection.keep):
            try:
                yield connection
            finally:
                await connection.close()


@dataclass(slots=True)
class _Said:
    """A named conversation. Changed by each answer in it."""

    messages: tuple[Message, ...] = ()
    wires: set[Wire] = field(default_factory=set)
    """Where it is known: at the other end of these."""


class FarConnection:
    """One run's access. Mutable: the wire that is open, and what the named conversations have said."""

    def __init__(self, connect: Connect, locate: Locate, default_model: str, run: str) -> None:
        self._connect, self._locate, self._default_model = connect, locate, default_model
        self._run = run
        self._tasks: TaskGroup | None = None
        self._is_kept = anyio.Event()
        self._wire: Wire | None = None
        self.is_alone = False
        """Nobody is there any more: no wire could be opened."""
        self._opening = anyio.Lock()
        self._said: dict[str, _Said] = {}
        self._turns: dict[str, anyio.Lock] = {}
        """By conversation: those who ask in it wait for each other."""

    async def keep(self) -> None:
        """Listens to the wires that are opened, until the run ends."""
        async with anyio.create_task_group() as self._tasks:
            self._is_kept.set()
            await anyio.sleep_forever()

    async def _open_wire(self) -> Wire:
        async with self._opening:
            if self._wire is None or self._wire.lost is not None:
                await self._is_kept.wait()
                assert self._tasks is not None
                try:
                    wire, _ = await Wire.greeted(await self._connect(), self._run)
                except EngineLostError:
                    self.is_alone = True
                    raise
                self._tasks.start_soon(wire.listen, name="listens to a wire")
                self._wire = wire
            return self._wire

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        """See `base.Connection`."""
        model = request.model or self._default_model

        def told(done_bytes: int, total_bytes: int | None) -> None:
            on_event(ModelFetching(model=model, done_bytes=done_bytes, total_bytes=total_bytes))

        spec = await self._locate(model, told)
        spec = replace(spec, path=spec.path.absolute())
        sent = replace(request, model=spec.reference, executor=None, permits=None, going_on=None)
        async with AsyncExitStack() as stack:
            if request.session is not None:
                await stack.enter_async_context(self._turns.setdefault(request.session, anyio.Lock()))
            wire, frame = await self._asked(request, sent, spec, on_event)
            if not isinstance(frame, FullReply):
                raise lost("it did not give an answer")
            self._note(request, frame.reply, wire)
        return frame.reply

    async def _asked(
        self, request: PromptRequest, sent: PromptRequest, spec: ModelSpec, on_event: OnPromptEvent
    ) -> tuple[Wire, Frame]:
        """Asked once more if the wire was gone before anything was heard: it was closed between prompts."""
        has_heard = False

        def heard(event: PromptEvent) -> None:
            nonlocal has_heard
            has_heard = True
            on_event(event)

        lasts = request.going_on
        ask = partial(Ask, spec=spec)
        if lasts is not None:
            ask = partial(ask, begun=lasts.begun, keep_every_s=lasts.every_s)
        before = self._wire
        while True:
            wire = await self._open_wire()
            told = replace(sent, history=self.missing(request, wire))
            try:
                keep = lasts.keep if lasts else _forgotten
                return wire, await wire.ask(partial(ask, request=told), heard, keep)
            except EngineLostError:
                if has_heard or wire is not before or wire.lost is None:
                    raise
                before = None

    def missing(self, request: PromptRequest, wire: Wire | None = None) -> tuple[Message, ...]:
        """What the peer is told again of the conversation that goes on or is copied; None: another peer."""
        said = self._said.get(str(request.session if request.fork is None else request.fork))
        if said is None or wire in said.wires:
            return request.history
        return said.messages

    def _note(self, request: PromptRequest, reply: PromptReply, wire: Wire) -> None:
        if request.session is None:
            return
        begun = self._said.get(request.session if request.fork is None else request.fork)
        before = request.history if begun is None else begun.messages
        secret = any(one.secret for one in (*before, *request.messages))
        if reply.parts:
            answer = Message.of_parts("assistant", reply.parts)
        else:
            answer = Message(role="assistant", content=reply.text)
        both = (*say(before, request.messages), replace(answer, secret=secret, calls=reply.calls))
        self._said[request.session] = _Said(messages=both, wires={wire})
        if request.fork is not None and begun is not None:
            begun.wires.add(wire)

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        async with self._turns.setdefault(session, anyio.Lock()):
            self._said.pop(session, None)
            if self._wire is not None and self._wire.lost is None:
                with suppress(SamovarError):
                    await self._wire.ask(
                        lambda number: Forget(number=number, session=session), lambda event: None
                    )
        self._turns.pop(session, None)

    async def close(self) -> None:
        """Waits until the peer has given back what the run held."""
        if self._wire is not None:
            await self._wire.end()


def _forgotten(begun: Begun) -> None:
    """Nobody keeps it."""
