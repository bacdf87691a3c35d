"""Each model loaded once: lent, kept warm, evicted, closed, within a budget of bytes.

Above: `session.py` and `executors/local.py`, which can only borrow (`async with pool.lease(spec)`).
Below: an engine. The pool knows no session, prompt or workflow.

One synchronous method, `_decide`, makes every change: who gets a lease, what is loaded, what is closed.
It returns the I/O to be done, and tasks of the pool's own group carry that out and call it again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from samovar.engines.base import Engine, Model, ModelSpec, ModelStatistics, OnLoadProgress, WeightsKey
from samovar.errors import BudgetError, ClosedError, SamovarError
from samovar.generation import TokenCounts
from samovar.memory import in_words, resident_bytes
from samovar.models.cost import Cost


class _State(Enum):
    LOADING = auto()
    READY = auto()
    CLOSING = auto()
    """Being freed, or its load is being stopped. Whoever wants it waits, and loads it again."""


@dataclass(slots=True, eq=False)
class _Entry:
    """One model that takes room. Changed by `_decide` and by the tasks that carry out its I/O."""

    key: WeightsKey
    spec: ModelSpec
    cost: Cost
    state: _State = _State.LOADING
    model: Model | None = None
    leases: int = 0
    idle_since_s: float = 0.0
    """On the pool's clock; meaningful while `leases` is 0."""
    has_generated: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Stops the load."""


_Work = list[tuple[Callable[[_Entry], Coroutine[Any, Any, None]], _Entry]]


@dataclass(slots=True, eq=False)
class _Waiter:
    """Someone who wants a lease."""

    key: WeightsKey
    spec: ModelSpec
    on_progress: OnLoadProgress
    done: anyio.Event = field(default_factory=anyio.Event)
    entry: _Entry | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What one model was used for, over the pool's life; it outlives the model."""

    reference: str
    loads: int = 0
    load_s: float = 0.0
    """All loads together."""
    cost: Cost | None = None
    """As predicted for the last load."""
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
    ) -> None:
        """`keep_alive_s`: idle models go after so long; None keeps them, 0 lets them go at once."""
        self._engine = engine
        self.budget_bytes = budget_bytes
        self._keep_alive_s = keep_alive_s
        self._clock = clock
        # Mutable state: what takes room, who waits (in order), who has an interest. See `_decide`.
        self._entries: dict[WeightsKey, _Entry] = {}
        self._waiters: list[_Waiter] = []
        self._interests: dict[WeightsKey, int] = {}
        self._uses: dict[WeightsKey, ModelUse] = {}
        self._ready_bytes: int | None = None
        self._closed = False
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._expire, name="pool: keep-alive")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        self._closed = True
        with anyio.CancelScope(shield=True):
            for waiter in list(self._waiters):
                self._fail(waiter, ClosedError("The pool was closed."))
            for entry in list(self._entries.values()):
                if entry.state is _State.LOADING:
                    entry.scope.cancel()
                elif entry.state is _State.READY:
                    await self._close(entry)
            while self._entries:
                await self._next_change()
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    # Borrowing ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(
        self, spec: ModelSpec, on_progress: OnLoadProgress = lambda fraction: None
    ) -> AsyncIterator[Model]:
        """The loaded model, for as long as the context lasts; it is loaded first if need be.

        Racing first uses wait for one load. Raises `BudgetError` when it can never fit, what the load
        raised, what `on_progress` raised, and `ClosedError` after the pool was closed.
        """
        entry = await self._obtain(spec, on_progress)
        try:
            assert entry.model is not None
            yield entry.model
        finally:
            entry.leases -= 1
            entry.idle_since_s = self._clock()
            self._act()

    async def _obtain(self, spec: ModelSpec, on_progress: OnLoadProgress) -> _Entry:
        if self._closed or self._tasks is None:
            raise ClosedError("The pool is not open.")
        key = self._engine.key(spec)
        waiter = _Waiter(key, spec, on_progress)
        self._waiters.append(waiter)
        self._act()
        try:
            await waiter.done.wait()
        except BaseException:
            if waiter.entry is not None:  # granted and cancelled at the same moment
                waiter.entry.leases -= 1
                waiter.entry.idle_since_s = self._clock()
            self._leave(waiter)
            raise
        if waiter.error is not None:
            raise waiter.error
        assert waiter.entry is not None
        return waiter.entry

    def _leave(self, waiter: _Waiter) -> None:
        """`waiter` waits no longer; a load that nobody waits for is stopped."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        entry = self._entries.get(waiter.key)
        if entry and entry.state is _State.LOADING and not self._waiting_for(entry.key):
            entry.state = _State.CLOSING
            entry.scope.cancel()
        self._act()

    @contextmanager
    def interest(self, spec: ModelSpec) -> Iterator[None]:
        """While it lasts the model is not evicted for idleness, only when another needs the room."""
        key = self._engine.key(spec)
        self._interests[key] = self._interests.get(key, 0) + 1
        try:
            yield
        finally:
            self._interests[key] -= 1
            if not self._interests[key]:
                del self._interests[key]
            self._act()

    def has_generated(self, model: Model) -> None:
        """A token came from `model`; after its first, memory is what it will stay."""
        for entry in self._entries.values():
            if entry.model is model and not entry.has_generated:
                entry.has_generated = True
                self._ready_bytes = resident_bytes()

    # Deciding ----------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Decides, and starts what was decided."""
        if self._closed or self._tasks is None:
            return
        for work, entry in self._decide():
            self._tasks.start_soon(work, entry, name=f"pool: {entry.spec.reference}")
        self._announce()

    def _decide(self) -> _Work:
        """Every decision there is, for the state as it stands. Returns the I/O to be done.

        In order: leases for models that are ready, loads that fit, evictions that make them fit, refusals
        of what never can; then idle models whose time is over.
        """
        work: _Work = []
        for waiter in list(self._waiters):
            entry = self._entries.get(waiter.key)
            if entry is None:
                entry = self._make_room(waiter, work)
                if entry is None:
                    continue
            if entry.state is _State.READY:
                entry.leases += 1
                waiter.entry = entry
                self._waiters.remove(waiter)
                waiter.done.set()
        for entry in list(self._entries.values()):
            if self._is_over(entry):
                self._evict(entry, work)
        return work

    def _make_room(self, waiter: _Waiter, work: _Work) -> _Entry | None:
        """Starts the load a waiter needs, or the evictions it needs first, or refuses it."""
        try:
            cost = self._engine.predict(waiter.spec, free_bytes=self.budget_bytes)
        except SamovarError as error:
            self._fail(waiter, error)
            return None
        if cost.total_bytes > self.budget_bytes:
            self._fail(waiter, self._too_large(waiter.spec, cost))
            return None
        idle = sorted(
            (entry for entry in self._entries.values() if entry.state is _State.READY and not entry.leases),
            key=lambda entry: (entry.key in self._interests, entry.idle_since_s),
        )
        closing_bytes = sum(e.cost.total_bytes for e in self._entries.values() if e.state is _State.CLOSING)
        missing_bytes = self.held_bytes + cost.total_bytes - self.budget_bytes
        if missing_bytes <= 0:
            entry = _Entry(waiter.key, waiter.spec, cost)
            self._entries[waiter.key] = entry
            work.append((self._load, entry))
            return entry
        missing_bytes -= closing_bytes
        if missing_bytes <= sum(entry.cost.total_bytes for entry in idle):
            for entry in idle:
                if missing_bytes <= 0:
                    break
                missing_bytes -= entry.cost.total_bytes
                self._evict(entry, work)
        return None

    def _evict(self, entry: _Entry, work: _Work) -> None:
        entry.state = _State.CLOSING
        work.append((self._close, entry))

    def _is_over(self, entry: _Entry) -> bool:
        if entry.state is not _State.READY or entry.leases or entry.key in self._interests:
            return False
        return self._keep_alive_s is not None and self._clock() >= entry.idle_since_s + self._keep_alive_s

    def _too_large(self, spec: ModelSpec, cost: Cost) -> BudgetError:
        return BudgetError(
            f"{spec.reference} needs {in_words(cost.total_bytes)} (weights {in_words(cost.weights_bytes)}, "
            f"KV for {cost.context_tokens} tokens {in_words(cost.kv_bytes)}, compute "
            f"{in_words(cost.compute_bytes)}) but the memory budget is {in_words(self.budget_bytes)}. "
            "Give it a smaller context (--context), a larger budget (--budget), or take a smaller model.",
            needed_bytes=cost.total_bytes,
            budget_bytes=self.budget_bytes,
        )

    def _fail(self, waiter: _Waiter, error: BaseException) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        waiter.error = error
        waiter.done.set()

    def _waiting_for(self, key: WeightsKey) -> list[_Waiter]:
        return [waiter for waiter in self._waiters if waiter.key == key]

    # I/O, as decided ---------------------------------------------------------------------------------

    async def _load(self, entry: _Entry) -> None:
        started = time.monotonic()
        failure: BaseException | None = None
        # Shielded: a load ends by its own scope only, so that the entry is always taken out again.
        with anyio.CancelScope(shield=True), entry.scope:
            try:
                entry.model = await self._engine.load(entry.spec, entry.cost, self._teller(entry))
            except Exception as error:  # the edge of the engine: whoever waits is told, the pool goes on
                failure = error
        if entry.model is None:
            del self._entries[entry.key]
            if failure is not None:
                for waiter in self._waiting_for(entry.key):
                    self._fail(waiter, failure)
        elif entry.state is _State.CLOSING or self._closed:
            await self._close(entry)
        else:
            entry.state = _State.READY
            entry.idle_since_s = self._clock()
            use = self._uses.get(entry.key, ModelUse(reference=entry.spec.reference))
            self._uses[entry.key] = replace(
                use, loads=use.loads + 1, load_s=use.load_s + time.monotonic() - started, cost=entry.cost
            )
        self._act()
        self._announce()

    def _teller(self, entry: _Entry) -> OnLoadProgress:
        """Tells everyone who waits how far the load is; whoever cannot hear it, waits no longer."""

        def tell(fraction: float) -> None:
            for waiter in self._waiting_for(entry.key):
                try:
                    waiter.on_progress(fraction)
                except Exception as error:  # the caller's callback: its exception comes out of its lease
                    self._fail(waiter, error)
                    self._leave(waiter)

        return tell

    async def _close(self, entry: _Entry) -> None:
        entry.state = _State.CLOSING
        with anyio.CancelScope(shield=True):
            if entry.model is not None:
                self._remember(entry)
                await entry.model.close()
        del self._entries[entry.key]
        self._act()
        self._announce()

    def _remember(self, entry: _Entry) -> None:
        """A model that goes leaves its figures."""
        assert entry.model is not None
        statistics = entry.model.statistics()
        use = self._uses.get(entry.key)
        if use is not None:
            self._uses[entry.key] = replace(use, statistics=statistics, tokens=use.tokens + statistics.tokens)

    async def _expire(self) -> None:
        """Wakes the decision when the next idle model's time is over."""
        while True:
            ends = [
                entry.idle_since_s + self._keep_alive_s - self._clock()
                for entry in self._entries.values()
                if self._keep_alive_s is not None and entry.state is _State.READY and not entry.leases
                if entry.key not in self._interests
            ]
            with anyio.move_on_after(max(0.0, min(ends)) if ends else None):
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
    def held_bytes(self) -> int:
        """Predicted bytes of everything loaded, loading or closing."""
        return sum(entry.cost.total_bytes for entry in self._entries.values())

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            budget_bytes=self.budget_bytes,
            held_bytes=self.held_bytes,
            leases=sum(entry.leases for entry in self._entries.values()),
            waiting=len(self._waiters),
            models=tuple(self._current(key, use) for key, use in self._uses.items()),
            ready_bytes=self._ready_bytes,
        )

    def _current(self, key: WeightsKey, use: ModelUse) -> ModelUse:
        entry = self._entries.get(key)
        if entry is None or entry.model is None or entry.state is not _State.READY:
            return use
        statistics = entry.model.statistics()
        return replace(use, statistics=statistics, tokens=use.tokens + statistics.tokens, is_loaded=True)

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        assert self.held_bytes <= self.budget_bytes, (self.held_bytes, self.budget_bytes)
        for key, entry in self._entries.items():
            assert entry.key == key
            assert entry.leases >= 0
            assert (entry.model is None) == (entry.state is _State.LOADING) or entry.state is _State.CLOSING
            assert not entry.leases or entry.state is _State.READY
            if entry.model is not None and entry.state is _State.READY:
                entry.model.check()
        for waiter in self._waiters:
            ready = self._entries.get(waiter.key)
            assert ready is None or ready.state is not _State.READY, "someone waits for a model that is ready"
            assert self._entries, "someone waits while nothing is loaded"
