"""The life of models in the pool: loads, resizes and closes them as `room.py` decides.

Above: `pool.py`. Below: the books in `ledger.py`, `room.py`, and an engine. Each piece of work is a task of
the pool's own group, shielded, so that what it was for is always written into the books. It knows no
borrower.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from samovar.engines.base import Engine, ModelStatistics, OnLoadProgress, WeightsKey
from samovar.errors import ClosedError
from samovar.generation import TokenCounts
from samovar.models.cost import Cost
from samovar.serving.entries import ModelState, PoolEntry
from samovar.serving.ledger import Ledger
from samovar.serving.room import Room, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What one model was used for, over the pool's life; it outlives the model."""

    reference: str
    """As anyone who had it loaded first calls it."""
    loads: int = 0
    """How many succeeded."""
    load_s: float = 0.0
    """All loads together."""
    cost: Cost | None = None
    """As predicted for the last load, or for the arena that replaced its first one."""
    statistics: ModelStatistics | None = None
    """The newest there are; None before the first load has succeeded."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    """All loads together."""


class Lifecycle:
    """Mutable: the tasks, the event of the next change, and what the models were used for."""

    def __init__(self, engine: Engine, ledger: Ledger, room: Room) -> None:
        self._engine, self._ledger, self._room = engine, ledger, room
        self._uses: dict[WeightsKey, ModelUse] = {}
        self._closed = False
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None

    @property
    def is_open(self) -> bool:
        """Begun, and not closed yet."""
        return self._tasks is not None and not self._closed

    async def begin(self) -> None:
        """Opens the group of tasks; `end` closes it, in the same task."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._watch_time, name="pool: keep-alive")

    async def close_models(self) -> None:
        """Refuses all who wait, and closes every model; nothing is loaded any more."""
        self._closed = True
        entries = self._ledger.entries
        with anyio.CancelScope(shield=True):
            for waiter in self._ledger.all_waiting():
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

    async def end(self) -> None:
        """Ends the tasks; there are no models any more."""
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    def act(self) -> None:
        """Has the room decide what is next, and starts that."""
        if self._tasks is None or self._closed:
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
            except Exception as error:  # the edge of the engine: anyone who waits gets it, the pool continues
                failure = error
        self._ledger.load_ended(entry, failure)
        if entry.model is not None and (entry.state is ModelState.CLOSING or self._closed):
            await self._close(entry)
        elif entry.model is not None:
            use = self._uses.get(entry.key, ModelUse(reference=entry.spec.reference))
            self._uses[entry.key] = replace(
                use, loads=use.loads + 1, load_s=use.load_s + time.monotonic() - started, cost=entry.cost
            )
        self.act()
        self._announce()

    def _teller(self, entry: PoolEntry) -> OnLoadProgress:
        """Reports to everyone who waits how far the load is; who fails to take it waits no longer."""

        def tell(fraction: float) -> None:
            for waiter in self._ledger.waiting_for(entry.key):
                try:
                    waiter.on_progress(fraction)
                except Exception as error:  # the caller's callback: its exception comes out of its lease
                    if self._ledger.leave(waiter):
                        self.act()
                    self._ledger.fail(waiter, error)

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
            except Exception as error:  # the edge of the engine: anyone who wanted it gets it
                failure = error
        self._ledger.resize_ended(entry, failure, is_replaced)
        if entry.key in self._uses:
            self._uses[entry.key] = replace(self._uses[entry.key], cost=entry.cost)
        self.act()
        self._announce()

    async def _close(self, entry: PoolEntry) -> None:
        entry.state = ModelState.CLOSING
        with anyio.CancelScope(shield=True):
            if entry.model is not None:
                self._remember(entry)
                await entry.model.close()
        self._ledger.closed(entry)
        self.act()
        self._announce()

    def _remember(self, entry: PoolEntry) -> None:
        """A model that goes leaves its figures."""
        assert entry.model is not None
        statistics = entry.model.statistics()
        use = self._uses.get(entry.key)
        if use is not None:
            self._uses[entry.key] = replace(use, statistics=statistics, tokens=use.tokens + statistics.tokens)

    async def _watch_time(self) -> None:
        """Has the room decide again when time alone changes what it decides."""
        while True:
            with anyio.move_on_after(self._room.next_s()):
                await self._next_change()
                continue
            self.act()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _next_change(self) -> None:
        await self._changed.wait()

    def uses(self) -> tuple[ModelUse, ...]:
        """What each model was used for, those that are loaded up to now."""
        return tuple(self._current(key, use) for key, use in self._uses.items())

    def _current(self, key: WeightsKey, use: ModelUse) -> ModelUse:
        entry = self._ledger.entries.get(key)
        if entry is None or entry.model is None or entry.state is not ModelState.READY:
            return use
        statistics = entry.model.statistics()
        return replace(use, statistics=statistics, tokens=use.tokens + statistics.tokens)
