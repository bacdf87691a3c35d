"""The pool's books: users of memory, those who wait, and what happened to either.

Above: `room.py`, which decides by them, and `lifecycle.py` and `pool.py`, which say what happened. Below:
`entries.py`, `lines.py`, and `reservations.py` for what other processes are to know. It decides nothing, does
no I/O and starts no task.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Set
from dataclasses import replace

import anyio

from samovar.engines.base import WeightsKey
from samovar.errors import BudgetError
from samovar.models.cost import Cost
from samovar.serving.entries import Failures, ModelState, PoolEntry, Waiter
from samovar.serving.lines import Line
from samovar.serving.reservations import Holding


class Ledger:
    """All that a decision depends on. Mutable: changed by what happened, below, and by `Room.decide`."""

    def __init__(
        self, clock: Callable[[], float], wake: Callable[[anyio.Event, WeightsKey], None] | None = None
    ) -> None:
        """`wake`: sets the event of someone who waited for a model, now or soon; None sets it now."""
        self.clock, self._wake = clock, wake or (lambda event, key: event.set())
        self.entries: dict[WeightsKey, PoolEntry] = {}
        self.lines: dict[WeightsKey, Line] = {}
        """Who wants a lease, by model; an empty line is not kept."""
        self.growers: OrderedDict[Waiter, None] = OrderedDict()
        """Who has a lease and wants more context, first come first."""
        self._number = 0
        self.interests: dict[WeightsKey, int] = {}
        self.failures = Failures(clock)

    @property
    def held_bytes(self) -> int:
        return sum(entry.held_bytes for entry in self.entries.values())

    def bytes_ahead(self, key: WeightsKey, ahead: Set[WeightsKey]) -> int:
        """What the models `ahead` of `key`, which grow, hold: they need not give it back."""
        return sum(self.entries[one].held_bytes for one in ahead if one != key)

    def holding(self, key: WeightsKey | None = None, cost: Cost | None = None) -> Holding:
        """What is held, for others to know; with the model `key` at `cost` if that is given."""
        sizes = {one.key: (one.held_bytes, one.cost.mapped_weights_bytes) for one in self.entries.values()}
        if key is not None and cost is not None:
            sizes[key] = (cost.replacing_bytes, cost.mapped_weights_bytes)
        weights = {file_of(key): mapped_bytes for key, (_, mapped_bytes) in sizes.items()}
        held_bytes = sum(held_bytes for held_bytes, _ in sizes.values())
        return Holding(private_bytes=held_bytes - sum(weights.values()), weights=weights)

    def idle_s(self, entry: PoolEntry) -> float:
        return self.clock() - entry.idle_since_s

    def is_kept(self, entry: PoolEntry) -> bool:
        """Whether idleness alone does not close it."""
        return entry.key in self.interests

    # What happened -----------------------------------------------------------------------------------

    def give_back(self, entry: PoolEntry) -> bool:
        """A lease has ended. Whether anything is to be decided because of that: it was the last one."""
        entry.leases -= 1
        entry.idle_since_s = self.clock()
        return not entry.leases

    def come(self, waiter: Waiter) -> bool:
        """`waiter` wants a lease, or more context. Whether anything is to be decided because of that.

        It is not behind another who waits for the same model, nor while the arena is being replaced: what is
        decided then is decided for both.
        """
        self._number += 1
        waiter.number = self._number
        if waiter.grows:
            self.growers[waiter] = None
            return self.entries[waiter.key].next_cost is None
        line = self.lines.setdefault(waiter.key, Line(waiter.key))
        line.waiters[waiter] = None
        return line.first is waiter

    def leave(self, waiter: Waiter) -> bool:
        """`waiter` waits no longer. Whether anything is to be decided because of that.

        A load that nobody waits for is stopped.
        """
        line = self.lines.get(waiter.key)
        is_first = line is not None and line.first is waiter
        is_known = is_first or waiter in self.growers
        self._take_out(waiter)
        entry = self.entries.get(waiter.key)
        if entry is None or entry.state is not ModelState.LOADING:
            return is_known
        if waiter.key not in self.lines:
            entry.state = ModelState.CLOSING
            entry.scope.cancel()
        return waiter.key not in self.lines

    def _take_out(self, waiter: Waiter) -> None:
        self.growers.pop(waiter, None)
        line = self.lines.get(waiter.key)
        if line is not None:
            line.waiters.pop(waiter, None)
            if not line.waiters:
                del self.lines[waiter.key]

    def fail(self, waiter: Waiter, error: BaseException) -> None:
        """`waiter` cannot have what it wants."""
        self.answer(waiter, error=error)

    def load_ended(self, entry: PoolEntry, error: BaseException | None) -> None:
        """A load succeeded (then `entry.model` is there), failed with `error`, or was stopped."""
        if entry.model is not None:
            self.failures.forget(entry.key)
            if entry.state is ModelState.LOADING:
                entry.state = ModelState.READY
                entry.idle_since_s = self.clock()
            return
        del self.entries[entry.key]
        if error is None or entry.state is ModelState.CLOSING:
            return
        if not isinstance(error, BudgetError):
            self.failures.add(entry.key, error)
        for waiter in self.waiting_for(entry.key):
            self.fail(waiter, error)

    def resize_ended(self, entry: PoolEntry, error: BaseException | None, replaced: bool) -> None:
        """A resize succeeded, failed with `error` or was stopped; not `replaced`, the old arena is there."""
        wanted = entry.next_cost
        assert wanted is not None
        entry.next_cost = None
        if replaced:
            entry.cost = replace(wanted, carry_bytes=0)
            return
        if wanted.total_bytes < entry.cost.total_bytes:
            entry.first_cost = entry.cost  # it cannot shrink: it is not tried again
        elif error is not None:
            for grower in [one for one in self.growers if one.key == entry.key]:
                self.fail(grower, error)

    def closed(self, entry: PoolEntry) -> None:
        """A model has been freed."""
        del self.entries[entry.key]

    def is_wanted(self, key: WeightsKey) -> bool:
        """Whether these weights are here to stay or being loaded, or somebody waits for them."""
        entry = self.entries.get(key)
        return key in self.lines or (entry is not None and entry.state is not ModelState.CLOSING)

    def waiting_for(self, key: WeightsKey) -> list[Waiter]:
        """Who wants a lease of this model, first come first."""
        line = self.lines.get(key)
        return list(line.waiters) if line is not None else []

    def all_waiting(self) -> list[Waiter]:
        """All who want a lease or more context, in no order."""
        return [*self.growers, *(waiter for line in self.lines.values() for waiter in line.waiters)]

    @property
    def waiting(self) -> int:
        """How many want a lease or more context."""
        return len(self.growers) + sum(len(line.waiters) for line in self.lines.values())

    def answer(self, waiter: Waiter, error: BaseException | None = None) -> None:
        """`waiter` has what it wants, or gets `error` raised; it waits no longer."""
        self._take_out(waiter)
        waiter.error = error
        self._wake(waiter.done, waiter.key)

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        for key, entry in self.entries.items():
            assert entry.key == key
            assert entry.leases >= 0
            assert (entry.model is None) == (
                entry.state is ModelState.LOADING
            ) or entry.state is ModelState.CLOSING
            assert not entry.leases or entry.state is ModelState.READY
            assert entry.next_cost is None or entry.state is ModelState.READY
            if entry.model is not None and entry.state is ModelState.READY:
                entry.model.check()
        for key, line in self.lines.items():
            numbers = [waiter.number for waiter in line.waiters]
            assert numbers and numbers == sorted(numbers), "a line is empty or out of order"
            assert all(waiter.key == key and not waiter.done.is_set() for waiter in line.waiters)
        for grower in self.growers:
            assert self.entries[grower.key].leases, "someone grows what nobody has"


def file_of(key: WeightsKey) -> str:
    """The file of weights, as other processes know it."""
    return f"{key.path} {key.size_bytes} {key.modified_ns}"
