"""Assigns the memory of the budget: leases, loads, closes and resizes.

Above: `lifecycle.py`, which carries out what is decided. Below: the books in `ledger.py`, `eviction.py`,
`refusals.py`, the engine's predictions, and what other processes hold. It does no I/O and starts no task. One
synchronous method, `Room.decide`, makes each decision.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from enum import Enum, auto

from samovar.engines.base import Engine, ModelSpec, WeightsKey
from samovar.errors import BudgetError, SamovarError
from samovar.models.cost import Cost
from samovar.serving import eviction
from samovar.serving.entries import ModelState, PoolEntry, Waiter
from samovar.serving.ledger import Ledger, file_of
from samovar.serving.lines import Line, by_arrival
from samovar.serving.refusals import refusal
from samovar.serving.reservations import Holding, Reservations

OVERTAKEN_MOST_S = 10.0
"""A request is due when models that are lent have kept it from its room for this long."""
SHRINK_AFTER_S = 30.0
"""An arena that has grown goes back to its first size after this long without a lease."""
OTHERS_EACH_S = 1.0
"""While someone waits for what other processes hold, their files are read so often."""
OTHERS_MOST_S = 30.0
"""A request that only other processes' bytes keep from its room is refused after this long."""


class Verb(Enum):
    """What is to be done to an entry."""

    LOAD = auto()
    CLOSE = auto()
    RESIZE = auto()


Work = list[tuple[Verb, PoolEntry]]


class Room:
    """Decides by the ledger, and changes it. Mutable itself: what was read of other processes."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        *,
        budget_bytes: int,
        keep_alive_s: float | None,
        reservations: Reservations | None,
    ) -> None:
        self._engine, self._ledger, self._keep_alive_s = engine, ledger, keep_alive_s
        self.budget_bytes = budget_bytes
        self._reservations = reservations
        self._others: Holding | None = None
        """Read when it is needed first, again for each decision."""
        self._looks_again = False

    def _others_bytes(self, key: WeightsKey, cost: Cost | None = None) -> int:
        """What other processes hold beside the models that are here and the one that is to come.

        What is mapped of a file is in memory once. Without a `cost`, all that is to come is taken as mapped.
        """
        if self._reservations is None:
            return 0
        if self._others is None:
            self._others = self._reservations.others()
        own = dict(self._ledger.holding().weights)
        own[file_of(key)] = self.budget_bytes if cost is None else cost.mapped_weights_bytes
        return self._others.beside(own)

    def _limit_bytes(self, key: WeightsKey, cost: Cost | None = None) -> int:
        """What of the budget this process may have now, when it loads this model or has it grow."""
        return max(0, self.budget_bytes - self._others_bytes(key, cost))

    def decide(self) -> Work:
        """Makes every decision there is, for the state as it is. Returns the I/O to be done."""
        work: Work = []
        self._others = None
        self._looks_again = False
        if self._reservations is not None:
            self._reservations.give_back(self._ledger.holding())
        # 1. Leases that grow come first, since others wait for them.
        self._grow(work)
        # 2. Models that are ready are lent.
        self._lend()
        # 3. What fits is loaded, what makes it fit is closed or shrunk, and what never can is refused.
        self._load(work)
        # 4. Idle models whose time is over are closed; arenas that grew go back to their first size.
        for entry in list(self._ledger.entries.values()):
            if self._is_over(entry):
                self._evict(entry, work)
            elif entry.is_idle and entry.grown_bytes and self._ledger.idle_s(entry) >= SHRINK_AFTER_S:
                self._shrink(entry, work)
        others_bytes = 0 if self._others is None else self._others.beside(self._ledger.holding().weights)
        self._engine.leave(max(0, self.budget_bytes - others_bytes - self._ledger.held_bytes))
        return work

    def next_s(self) -> float | None:
        """Seconds until time alone changes a decision; None while only an event can."""
        ends = [OTHERS_EACH_S] if self._looks_again else []
        for entry in self._ledger.entries.values():
            if entry.is_idle:
                if self._keep_alive_s is not None and not self._ledger.is_kept(entry):
                    ends.append(self._keep_alive_s - self._ledger.idle_s(entry))
                if entry.grown_bytes:
                    ends.append(SHRINK_AFTER_S - self._ledger.idle_s(entry))
        return max(0.0, min(ends)) if ends else None

    def _grow(self, work: Work) -> None:
        """Arenas for those who need larger ones. Nobody waits for one who waits longer for him."""
        ahead: set[WeightsKey] = set()
        for grower in list(self._ledger.growers):
            entry = self._ledger.entries[grower.key]
            if entry.next_cost is None and grower.has_enough(entry.cost):
                self._ledger.answer(grower)
                continue
            if entry.next_cost is None:
                grower.cost = self._grown_cost(grower, entry, ahead)
                if grower.cost is None:
                    continue
                cost = self._carrying(entry, grower.cost)
                if self._make_room(grower.key, cost, work):
                    entry.next_cost = cost
                    work.append((Verb.RESIZE, entry))
            ahead.add(grower.key)

    def _grown_cost(self, grower: Waiter, entry: PoolEntry, ahead: set[WeightsKey]) -> Cost | None:
        """What the model takes that a grower wants: the next power of two, else as asked; None if refused."""
        problem: SamovarError | None = None
        for spec in map(entry.over_its_weights, grower.grown(entry.cost)):
            try:
                cost = self._engine.predict(spec)
            except SamovarError as error:
                problem = error
                continue
            free_bytes = self._limit_bytes(entry.key, cost) - self._ledger.bytes_ahead(entry.key, ahead)
            if cost.total_bytes <= free_bytes:
                return cost
            problem = self._refusal(entry.key, spec, cost, ahead)
        assert problem is not None
        self._ledger.fail(grower, problem)
        return None

    def _carrying(self, entry: PoolEntry, cost: Cost) -> Cost:
        """`cost` with room for what is carried over, as far as that is free."""
        beside_bytes = self._ledger.held_bytes - entry.held_bytes + cost.fixed_bytes
        free_bytes = self._limit_bytes(entry.key, cost) - beside_bytes
        return replace(cost, carry_bytes=max(0, min(entry.carried_most_bytes, free_bytes)))

    def _lend(self) -> None:
        """Leases for models that are ready, unless they must go for someone who is due."""
        must_go: set[WeightsKey] = set()
        for grower in self._ledger.growers:
            must_go |= self._must_go(grower)
        passed: list[Line] = []
        for line in by_arrival(self._ledger.lines.values()):
            entry = self._ledger.entries.get(line.key)
            if entry is not None and entry.state is ModelState.LOADING:
                continue
            if entry is not None and entry.state is ModelState.READY and line.key not in must_go:
                waiter = line.first
                entry.leases += 1
                waiter.entry = entry
                self._ledger.answer(waiter)
                for earlier in passed:
                    if earlier.overtake(waiter.number):
                        must_go |= self._must_go(earlier)
            else:
                passed.append(line)
                if self._is_due(line):
                    must_go |= self._must_go(line)

    def _is_due(self, line: Line) -> bool:
        if line.first.since_others_s is not None:
            return False  # nothing of ours would help it
        since_s = line.kept_since_s
        kept_too_long = since_s is not None and self._ledger.clock() >= since_s + OVERTAKEN_MOST_S
        return line.is_overtaken or kept_too_long

    def _must_go(self, one: Line | Waiter) -> set[WeightsKey]:
        return eviction.must_go(self._ledger, one.key, one.cost, self._limit_bytes(one.key, one.cost))

    def _load(self, work: Work) -> None:
        """Loads that fit, in order; past one who is due nobody is given room."""
        is_stopped = False
        for line in by_arrival(self._ledger.lines.values()):
            entry = self._ledger.entries.get(line.key)
            if entry is not None and entry.state is not ModelState.CLOSING:
                continue
            if entry is None and not self._admit(line):
                continue  # its first was refused, and the next has its turn
            if entry is None and not is_stopped:
                assert line.cost is not None
                if self._make_room(line.key, line.cost, work):
                    entry = PoolEntry(line.key, line.first.spec, line.cost, line.cost)
                    self._ledger.entries[line.key] = entry
                    work.append((Verb.LOAD, entry))
                    continue
            if line.kept_since_s is None and self._must_go(line):
                line.kept_since_s = self._ledger.clock()
            is_stopped = is_stopped or self._is_due(line)

    def _admit(self, line: Line) -> bool:
        """Whether the model can be loaded once there is room; otherwise the first gets the reason."""
        waiter = line.first
        failure = self._ledger.failures.standing(waiter.key)
        if failure is not None:
            self._ledger.fail(waiter, failure)
            return False
        try:
            cost = line.cost = self._first_cost(waiter)
        except SamovarError as error:
            self._ledger.fail(waiter, error)
            return False
        free_bytes = self._limit_bytes(waiter.key, cost)
        if cost.total_bytes <= free_bytes:
            waiter.since_others_s = None
            return True
        if cost.total_bytes <= self.budget_bytes:
            self._looks_again = True
            if waiter.since_others_s is None:
                waiter.since_others_s = self._ledger.clock()
            if self._ledger.clock() < waiter.since_others_s + OTHERS_MOST_S:
                return True
        self._ledger.fail(waiter, self._refusal(waiter.key, waiter.spec, cost))
        return False

    def _first_cost(self, waiter: Waiter) -> Cost:
        """The cost of the load that fits best. Mapped pages of others only help if it is mapped here."""
        free_bytes = self._limit_bytes(waiter.key)
        cost = self._engine.predict(waiter.spec, free_bytes=free_bytes)
        if waiter.spec.repack is None and cost.total_bytes > self._limit_bytes(waiter.key, cost):
            return self._engine.predict(replace(waiter.spec, repack=False), free_bytes=free_bytes)
        return cost

    def _refusal(
        self, key: WeightsKey, spec: ModelSpec, cost: Cost, ahead: Set[WeightsKey] = frozenset()
    ) -> BudgetError:
        return refusal(
            self._engine,
            spec,
            cost,
            budget_bytes=self.budget_bytes,
            growing_bytes=self._ledger.bytes_ahead(key, ahead),
            others_bytes=self._others_bytes(key, cost),
        )

    def _make_room(self, key: WeightsKey, cost: Cost, work: Work) -> bool:
        """Whether the model may take `cost` now. If not, starts what frees it, if idle models can."""
        own = self._ledger.entries.get(key)
        needed_bytes = cost.replacing_bytes - (own.held_bytes if own else 0)
        limit_bytes = self._limit_bytes(key, cost)
        # What waits for the disk is in the way for a moment only: nothing is closed or refused for it.
        beside_bytes = self._engine.beside_bytes()
        if self._ledger.held_bytes + needed_bytes + beside_bytes <= limit_bytes:
            held = self._ledger.holding(key, cost)
            if self._reservations is None or self._reservations.take(held, self.budget_bytes):
                return True
            self._looks_again = True  # another process was faster
            return False
        self._looks_again = self._looks_again or limit_bytes - beside_bytes < self.budget_bytes
        missing_bytes = needed_bytes - limit_bytes
        missing_bytes += sum(entry.lasting_bytes for entry in self._ledger.entries.values())
        shrunk, closed = eviction.idle_that_free(self._ledger, missing_bytes)
        for entry in shrunk:
            self._shrink(entry, work)
        for entry in closed:
            self._evict(entry, work)
        return False

    def _evict(self, entry: PoolEntry, work: Work) -> None:
        entry.state = ModelState.CLOSING
        work.append((Verb.CLOSE, entry))

    def _shrink(self, entry: PoolEntry, work: Work) -> None:
        entry.next_cost = entry.first_cost
        work.append((Verb.RESIZE, entry))

    def _is_over(self, entry: PoolEntry) -> bool:
        if not entry.is_idle or self._ledger.is_kept(entry) or self._keep_alive_s is None:
            return False
        return self._ledger.idle_s(entry) >= self._keep_alive_s

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        ledger = self._ledger
        assert ledger.held_bytes <= self.budget_bytes, (ledger.held_bytes, self.budget_bytes)
        ledger.check()
        ready = {key for key, entry in ledger.entries.items() if entry.state is ModelState.READY}
        if not ledger.growers and ledger.lines.keys() <= ready:
            assert not ledger.lines, "a ready model is not lent"
        assert not ledger.lines or ledger.entries or self._looks_again, (
            "someone waits while nothing is loaded"
        )
