"""Each model loaded once: lent, kept warm, evicted, closed, within a budget of bytes.

Above: `session.py` and `executors/local.py`, which can only borrow (`async with pool.lease(spec)`).
Below: the books in `ledger.py`, `room.py` and an engine. The pool knows no session, prompt or workflow.

`room.py` decides, in one synchronous method: who gets a lease, what is loaded, closed or resized. Tasks of
the pool's own group carry that out and ask it again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import anyio
from anyio.abc import TaskGroup

from samovar.engines.base import Engine, Model, ModelSpec, ModelStatistics, OnLoadProgress, WeightsKey
from samovar.errors import ClosedError
from samovar.generation import TokenCounts
from samovar.memory import resident_bytes
from samovar.models.cost import Cost
from samovar.serving.entries import ModelState, PoolEntry, Waiter
from samovar.serving.ledger import Ledger
from samovar.serving.reservations import Reservations
from samovar.serving.room import Room, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What one model was used for, over the pool's life; it outlives the model."""

    reference: str
    loads: int = 0
    load_s: float = 0.0
    """All loads together."""
    cost: Cost | None = None
    """As predicted for the last load, or for the arena that replaced its first one."""
    statistics: ModelStatistics | None = None
    """The newest there are; None before the first load has succeeded."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    """All loads together."""
    is_loaded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """The pool's books."""

    budget_bytes: int
    held_bytes: int
    """Predicted bytes of everything loaded, loading or closing."""
    leases: int
    waiting: int
    models: tuple[ModelUse, ...]
    ready_bytes: int | None
    """Resident bytes after the first generated token of the last model loaded; None before."""


class Pool:
    """Use as `async with Pool(engine, …) as pool`; leaving it closes every model."""

    def __init__(
        self,
        engine: Engine,
        *,
        budget_bytes: int,
        keep_alive_s: float | None = 300.0,
        clock: Callable[[], float] = time.monotonic,
        reservations: Reservations | None = None,
    ) -> None:
        """`keep_alive_s`: idle models go after so long; None keeps them, 0 lets them go at once.

        `reservations`: what other processes hold; None counts this pool only. It is closed with the pool.
        """
        self._engine = engine
        self._reservations = reservations
        self._ledger = Ledger(clock)
        self._room = Room(
            engine,
            self._ledger,
            budget_bytes=budget_bytes,
            keep_alive_s=keep_alive_s,
            reservations=reservations,
        )
        # Mutable state, beside the ledger: the books of the past, and the tasks.
        self._uses: dict[WeightsKey, ModelUse] = {}
        self._ready_bytes: int | None = None
        self._closed = False
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._watch_time, name="pool: keep-alive")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        self._closed = True
        entries = self._ledger.entries
        with anyio.CancelScope(shield=True):
            for waiter in (*self._ledger.waiters, *self._ledger.growers):
                self._ledger.fail(waiter, ClosedError("The pool was closed."))
            for entry in entries.values():
                if entry.state is ModelState.LOADING or entry.next_cost is not None:
                    entry.scope.cancel()
            for entry in list(entries.values()):
                while entry.next_cost is not None:
                    await self._next_change()
                if entry.state is ModelState.READY:
                    await self._close(entry)
            while entries:
                await self._next_change()
            if self._reservations is not None:
                self._reservations.close()
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    # Borrowing ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(
        self, spec: ModelSpec, on_progress: OnLoadProgress = lambda fraction: None
    ) -> AsyncIterator[Model]:
        """The loaded model, for as long as the context lasts; it is loaded first if need be.

        Racing first uses wait for one load. Raises `BudgetError` when it can never fit, what the load
        raised (also shortly after it), what `on_progress` raised, and `ClosedError` after the pool was
        closed.
        """
        entry = await self._obtain(spec, on_progress)
        try:
            assert entry.model is not None
            yield entry.model
        finally:
            self._ledger.give_back(entry)
            self._act()

    async def _obtain(self, spec: ModelSpec, on_progress: OnLoadProgress) -> PoolEntry:
        if self._closed or self._tasks is None:
            raise ClosedError("The pool is not open.")
        waiter = Waiter(self._engine.key(spec), spec, on_progress)
        self._ledger.waiters.append(waiter)
        try:
            await self._wait(waiter)
        except BaseException:
            if waiter.entry is not None:  # granted and cancelled at the same moment
                self._ledger.give_back(waiter.entry)
                self._act()
            raise
        assert waiter.entry is not None
        return waiter.entry

    async def grow(self, model: Model, context_tokens: int, *, most_tokens: int | None = None) -> None:
        """Gives a model that the caller has borrowed an arena of at least `context_tokens` cells.

        It gets the next power of two, no more than `most_tokens`; where that does not fit, what was asked.
        Returns at once where the arena is large enough. Answers that run come to their end first, read or
        not. Cancelled, the arena may still grow. Raises `BudgetError` when it cannot fit beside what is
        pinned, grows already, or is held by other processes; `EngineError` when the engine has no room (the
        arena stays as it was); `ClosedError` when model or pool was closed.
        """
        entry = next((one for one in self._ledger.entries.values() if one.model is model), None)
        if self._closed or entry is None or entry.state is not ModelState.READY:
            raise ClosedError("The model is not the pool's, or was closed.")
        grower = Waiter(entry.key, entry.spec, grow_tokens=context_tokens, most_tokens=most_tokens)
        entry.leases += 1  # one of its own: the entry stays, whatever the caller does
        self._ledger.growers.append(grower)
        try:
            await self._wait(grower)
        finally:
            self._ledger.give_back(entry)
            self._act()

    async def _wait(self, waiter: Waiter) -> None:
        """Until it has what it waits for. Raises why it cannot have it."""
        self._act()
        try:
            await waiter.done.wait()
        except BaseException:
            self._ledger.leave(waiter)
            self._act()
            raise
        if waiter.error is not None:
            raise waiter.error.with_traceback(None)

    def interest(self, spec: ModelSpec) -> AbstractContextManager[None]:
        """While it lasts the model is not evicted for idleness, only when another needs the room."""
        return self._counted(self._ledger.interests, spec)

    def pin(self, spec: ModelSpec) -> AbstractContextManager[None]:
        """While it lasts the model, once loaded, is not evicted at all; it is not loaded by this."""
        return self._counted(self._ledger.pins, spec)

    @contextmanager
    def _counted(self, counts: dict[WeightsKey, int], spec: ModelSpec) -> Iterator[None]:
        key = self._engine.key(spec)
        counts[key] = counts.get(key, 0) + 1
        try:
            yield
        finally:
            counts[key] -= 1
            if not counts[key]:
                del counts[key]
            self._act()

    def has_generated(self, model: Model) -> None:
        """A token came from `model`; after its first, memory is what it will stay."""
        for entry in self._ledger.entries.values():
            if entry.model is model and not entry.has_generated:
                entry.has_generated = True
                self._ready_bytes = resident_bytes()

    # I/O, as decided ---------------------------------------------------------------------------------

    def _act(self) -> None:
        """Has it decided what is next, and starts that."""
        if self._closed or self._tasks is None:
            return
        for verb, entry in self._room.decide():
            match verb:
                case Verb.LOAD:
                    work = self._load
                case Verb.CLOSE:
                    work = self._close
                case Verb.RESIZE:
                    entry.scope = anyio.CancelScope()
                    work = self._resize
            self._tasks.start_soon(work, entry, name=f"pool: {entry.spec.reference}")
        self._announce()

    async def _load(self, entry: PoolEntry) -> None:
        started = time.monotonic()
        failure: BaseException | None = None
        # Shielded: a load ends by its own scope only, so that the entry is always taken out again.
        with anyio.CancelScope(shield=True), entry.scope:
            try:
                entry.model = await self._engine.load(entry.spec, entry.cost, self._teller(entry))
            except Exception as error:  # the edge of the engine: whoever waits is told, the pool goes on
                failure = error
        self._ledger.load_ended(entry, failure)
        if entry.model is not None and (entry.state is ModelState.CLOSING or self._closed):
            await self._close(entry)
        elif entry.model is not None:
            use = self._uses.get(entry.key, ModelUse(reference=entry.spec.reference))
            self._uses[entry.key] = replace(
                use, loads=use.loads + 1, load_s=use.load_s + time.monotonic() - started, cost=entry.cost
            )
        self._act()
        self._announce()

    def _teller(self, entry: PoolEntry) -> OnLoadProgress:
        """Tells everyone who waits how far the load is; whoever cannot hear it, waits no longer."""

        def tell(fraction: float) -> None:
            for waiter in self._ledger.waiting_for(entry.key):
                try:
                    waiter.on_progress(fraction)
                except Exception as error:  # the caller's callback: its exception comes out of its lease
                    self._ledger.fail(waiter, error)
                    self._ledger.leave(waiter)
                    self._act()

        return tell

    async def _resize(self, entry: PoolEntry) -> None:
        assert entry.model is not None and entry.next_cost is not None
        failure: BaseException | None = None
        is_replaced = False
        # Shielded for the same reason; the engine shields the replacement itself from the scope.
        with anyio.CancelScope(shield=True), entry.scope:
            try:
                await entry.model.resize(entry.next_cost)
                is_replaced = True
            except Exception as error:  # the edge of the engine: whoever wanted it is told
                failure = error
        self._ledger.resize_ended(entry, failure, is_replaced)
        if entry.key in self._uses:
            self._uses[entry.key] = replace(self._uses[entry.key], cost=entry.cost)
        self._act()
        self._announce()

    async def _close(self, entry: PoolEntry) -> None:
        entry.state = ModelState.CLOSING
        with anyio.CancelScope(shield=True):
            if entry.model is not None:
                self._remember(entry)
                await entry.model.close()
        self._ledger.closed(entry)
        self._act()
        self._announce()

    def _remember(self, entry: PoolEntry) -> None:
        """A model that goes leaves its figures."""
        assert entry.model is not None
        statistics = entry.model.statistics()
        use = self._uses.get(entry.key)
        if use is not None:
            self._uses[entry.key] = replace(use, statistics=statistics, tokens=use.tokens + statistics.tokens)

    async def _watch_time(self) -> None:
        """Has it decided anew when time alone changes what is decided."""
        while True:
            with anyio.move_on_after(self._room.next_s()):
                await self._next_change()
                continue
            self._act()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _next_change(self) -> None:
        await self._changed.wait()

    # Books -------------------------------------------------------------------------------------------

    @property
    def budget_bytes(self) -> int:
        return self._room.budget_bytes

    @property
    def held_bytes(self) -> int:
        """Predicted bytes of everything loaded, loading or closing."""
        return self._ledger.held_bytes

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            budget_bytes=self.budget_bytes,
            held_bytes=self.held_bytes,
            leases=sum(entry.leases for entry in self._ledger.entries.values()),
            waiting=len(self._ledger.waiters) + len(self._ledger.growers),
            models=tuple(self._current(key, use) for key, use in self._uses.items()),
            ready_bytes=self._ready_bytes,
        )

    def _current(self, key: WeightsKey, use: ModelUse) -> ModelUse:
        entry = self._ledger.entries.get(key)
        if entry is None or entry.model is None or entry.state is not ModelState.READY:
            return use
        statistics = entry.model.statistics()
        return replace(use, statistics=statistics, tokens=use.tokens + statistics.tokens, is_loaded=True)

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        self._room.check()
