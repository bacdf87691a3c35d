"""The line in which prompts wait for the worker: fair between clients, and bounded.

Above: the daemon. Below: the waist, and the worker at the other end of a wire. So many prompts are with the
worker at once; of those that wait, the next one is that of the client who has waited longest for a turn, so
that one with a thousand prompts does not keep the others from theirs. Mutable: who waits.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from samovar.errors import EngineLostError, RateLimitError
from samovar.executors.base import (
    Connection,
    EmbedRequest,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
    forget,
)
from samovar.generation import Embeddings
from samovar.serve.answering import EmbeddingExecutor

MOST_ACTIVE = 64
"""Prompts that are with the worker at once, whose engine batches them."""
MOST_WAITING = 1024
"""Prompts of one client that wait."""
RETRY_AFTER_S = 5.0


class WaitingLine:
    """Use as `async with line.turn(client)`."""

    def __init__(self, most_active: int = MOST_ACTIVE, most_waiting: int = MOST_WAITING) -> None:
        self._most_active, self._most_waiting = most_active, most_waiting
        self._waiting: OrderedDict[object, deque[anyio.Event]] = OrderedDict()
        """By client, the one whose turn is next at the beginning."""
        self.active = 0

    @property
    def waiting(self) -> int:
        """Prompts that wait now."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, client: object) -> AsyncIterator[None]:
        """Waits for a turn. Raises `RateLimitError` for a client with too many prompts that wait."""
        if self.active >= self._most_active:
            await self._wait(client)
        else:
            self.active += 1
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: object) -> None:
        own = self._waiting.setdefault(client, deque())
        if len(own) >= self._most_waiting:
            raise RateLimitError(
                f"{len(own)} prompts of this client wait already, {self.waiting} of all clients: this one "
                f"would be number {self.waiting + 1} in line. Ask again later.",
                executor="samovar serve",
                retry_after_s=RETRY_AFTER_S,
            )
        mine = anyio.Event()
        own.append(mine)
        try:
            await mine.wait()
        except BaseException:  # of a client who does not wait any more
            if mine.is_set():
                self._pass_on()
            else:
                own.remove(mine)
                if not own and self._waiting.get(client) is own:
                    del self._waiting[client]
            raise

    def _pass_on(self) -> None:
        """A turn is over: the next one has it."""
        if not self._waiting:
            self.active -= 1
            return
        client, own = self._waiting.popitem(last=False)
        own.popleft().set()
        if own:
            self._waiting[client] = own

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        assert 0 <= self.active <= self._most_active
        assert all(self._waiting.values()) and (not self._waiting or self.active == self._most_active)


class Queued:
    """See `executors.base.Executor`: one client's prompts, each in its turn."""

    def __init__(
        self, executor: EmbeddingExecutor, line: WaitingLine, why_lost: Callable[[], Awaitable[str]]
    ) -> None:
        """`why_lost`: says how the worker ended."""
        self.name = executor.name
        self._executor, self._line, self._why_lost = executor, line, why_lost

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Connection]:
        async with self._executor.open(run) as connection:
            yield _QueuedConnection(connection, self)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `base.Embedder`."""
        async with self.turn():
            return await self._executor.embed(request)

    async def count(self, request: PromptRequest) -> int:
        """See `base.Counter`."""
        async with self.turn():
            return await self._executor.count(request)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One turn of this client. Raises `EngineLostError` with how the worker ended, if it did."""
        async with self._line.turn(self):
            try:
                yield
            except EngineLostError:
                raise EngineLostError(await self._why_lost()) from None


class _QueuedConnection:
    def __init__(self, connection: Connection, queued: Queued) -> None:
        self._connection, self._queued = connection, queued

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        """See `base.Connection`."""
        async with self._queued.turn():
            return await self._connection.ask(request, on_event)

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        await forget(self._connection, session)
