"""Each model loaded once: lent, kept warm, evicted, closed, within a budget of bytes.

Above: `session.py` and `executors/local.py`, which can only borrow (`async with`). Below:
the books in `ledger.py`; `room.py` decides, in one synchronous method, who gets a lease and what is loaded,
closed or resized; `lifecycle.py` carries that out. The pool knows no session, prompt or workflow.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Self

from samovar.engines.base import Engine, Model, ModelSpec, OnLoadProgress, WeightsKey
from samovar.errors import ClosedError
from samovar.memory import resident_bytes
from samovar.serving.collecting import Collecting
from samovar.serving.entries import ModelState, PoolEntry, Waiter
from samovar.serving.ledger import Ledger
from samovar.serving.lifecycle import Lifecycle, ModelUse
from samovar.serving.reservations import Reservations
from samovar.serving.room import Room
from samovar.serving.waking import Waking


@dataclass(slots=True, eq=False)
class Loan:
    """A model that was borrowed. Mutable: whether it was given back."""

    model: Model
    _give_back: Callable[[], None]
    _is_over: bool = False

    def end(self) -> None:
        """Gives the model back before the context of the loan ends. Safe to call twice."""
        if not self._is_over:
            self._is_over = True
            self._give_back()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """The pool's books."""

    budget_bytes: int
    """What all models together may hold."""
    held_bytes: int
    """Predicted bytes of everything loaded, loading or closing."""
    leases: int
    """Now; a borrower who waits for more context has two."""
    waiting: int
    """Requests for a model, or for more context, that have no answer yet."""
    models: tuple[ModelUse, ...]
    """All that were loaded, those closed since included."""
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
        """`keep_alive_s`: idle models go after this long; None keeps them, 0 lets them go at once.

        `reservations`: what other processes hold; None counts this pool only. It is closed with the pool.
        """
        self._engine = engine
        self._reservations = reservations
        self._ledger = Ledger(clock, Waking().wake)
        self._room = Room(
            engine,
            self._ledger,
            budget_bytes=budget_bytes,
            keep_alive_s=keep_alive_s,
            reservations=reservations,
        )
        self._lifecycle = Lifecycle(engine, self._ledger, self._room)
        self._collecting = Collecting()
        self._keys: dict[ModelSpec, WeightsKey] = {}
        """The weights that the latest requested specs meant."""
        self._ready_bytes: int | None = None

    async def __aenter__(self) -> Self:
        await self._lifecycle.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lifecycle.close_models()
        if self._reservations is not None:
            self._reservations.close()
        await self._lifecycle.end()

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
        async with self.loan(spec, on_progress) as loan:
            yield loan.model

    @asynccontextmanager
    async def loan(
        self, spec: ModelSpec, on_progress: OnLoadProgress = lambda fraction: None
    ) -> AsyncIterator[Loan]:
        """As `lease`, for someone who may have done with the model before the context ends (`Loan.end`)."""
        with self._collecting.turn():
            entry = await self._obtain(spec, on_progress)
            assert entry.model is not None
            loan = Loan(entry.model, lambda: self._give_back(entry))
            try:
                yield loan
            finally:
                loan.end()

    def _give_back(self, entry: PoolEntry) -> None:
        if self._ledger.give_back(entry):
            self._lifecycle.act()

    async def _obtain(self, spec: ModelSpec, on_progress: OnLoadProgress) -> PoolEntry:
        if not self._lifecycle.is_open:
            raise ClosedError("The pool is not open.")
        waiter = Waiter(self._key(spec), spec, on_progress)
        try:
            await self._wait(waiter)
        except BaseException:  # also when cancelled, perhaps at the moment it was granted
            if waiter.entry is not None:
                self._give_back(waiter.entry)
            raise
        assert waiter.entry is not None
        return waiter.entry

    def _key(self, spec: ModelSpec) -> WeightsKey:
        """The weights it means: without a look at the file if they are here, or are waited for already."""
        known = self._keys.get(spec)
        if known is not None and self._ledger.is_wanted(known):
            return known
        self._keys = {other: key for other, key in self._keys.items() if self._ledger.is_wanted(key)}
        self._keys[spec] = key = self._engine.key(spec)
        return key

    async def grow(self, model: Model, context_tokens: int, *, most_tokens: int | None = None) -> None:
        """Gives a model that the caller has borrowed an arena of at least `context_tokens` cells.

        It gets the next power of two, no more than `most_tokens`; if that does not fit, what was asked.
        Returns at once if the arena is large enough. Answers that run end first, read or not. Cancelled,
        the arena may still grow. Raises `BudgetError` when it cannot fit beside what grows already or is held
        by other processes; `EngineError` when the engine has no room (the arena stays as it was);
        `ClosedError` when model or pool was closed.
        """
        await self._grow(model, context_tokens=context_tokens, most_tokens=most_tokens)

    async def grow_embedding(self, model: Model, tokens: int, *, most_tokens: int | None = None) -> None:
        """As `grow`, with room to embed texts of `tokens`; running answers continue meanwhile."""
        await self._grow(model, embedding_tokens=tokens, most_tokens=most_tokens)

    async def _grow(
        self, model: Model, *, context_tokens: int = 0, embedding_tokens: int = 0, most_tokens: int | None
    ) -> None:
        entry = next((one for one in self._ledger.entries.values() if one.model is model), None)
        if not self._lifecycle.is_open or entry is None or entry.state is not ModelState.READY:
            raise ClosedError("The model is not the pool's, or was closed.")
        grower = Waiter(
            entry.key,
            entry.spec,
            grow_tokens=context_tokens,
            grow_embedding_tokens=embedding_tokens,
            most_tokens=most_tokens,
        )
        entry.leases += 1  # one of its own: the entry stays, whatever the caller does
        try:
            await self._wait(grower)
        finally:
            self._give_back(entry)

    async def _wait(self, waiter: Waiter) -> None:
        """Until it has what it waits for. Raises why it cannot have it."""
        if self._ledger.come(waiter):
            self._lifecycle.act()
        try:
            await waiter.done.wait()
        except BaseException:  # also when cancelled: nobody waits any more
            if self._ledger.leave(waiter):
                self._lifecycle.act()
            raise
        if waiter.error is not None:
            raise waiter.error.with_traceback(None)

    @contextmanager
    def interest(self, spec: ModelSpec) -> Iterator[None]:
        """While it lasts the model is not evicted for idleness, only when another needs the room."""
        key, interests = self._key(spec), self._ledger.interests
        interests[key] = interests.get(key, 0) + 1
        try:
            yield
        finally:
            interests[key] -= 1
            if not interests[key]:
                del interests[key]
            self._lifecycle.act()

    def has_generated(self, model: Model) -> None:
        """A token came from `model`; after its first, memory is what it will stay."""
        for entry in self._ledger.entries.values():
            if entry.model is model and not entry.has_generated:
                entry.has_generated = True
                self._ready_bytes = resident_bytes()

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
            waiting=self._ledger.waiting,
            models=self._lifecycle.uses(),
            ready_bytes=self._ready_bytes,
        )

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        self._room.check()
