"""Who has the room that the budget allows: what is held, who waits for it, and who is next.

Above: `pool.py`, which says what happened and carries out what is decided. Below: the engine's predictions
and `refusals.py`. It does no I/O and starts no task.

One synchronous method, `decide`, makes every change: who gets a lease, what is loaded, closed, resized. In
order: leases that grow, since others wait for them; leases for models that are ready; loads that fit, and
what makes them fit; refusals of what never can; then idle models whose time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from enum import Enum, auto

from samovar.engines.base import Engine, ModelSpec, WeightsKey
from samovar.errors import BudgetError, SamovarError
from samovar.models.cost import Cost
from samovar.serving.entries import Failures, ModelState, PoolEntry, Waiter
from samovar.serving.refusals import refusal
from samovar.serving.reservations import Holding, Reservations

OVERTAKEN_MOST = 8
"""So many later requests may be lent a model while one waits for room; then it is due."""
OVERTAKEN_MOST_S = 10.0
"""A request is due when models that are lent have kept it from its room for so long."""
SHRINK_AFTER_S = 30.0
"""An arena that has grown goes back to its first size after so long without a lease."""
OTHERS_EACH_S = 1.0
"""While someone waits for what other processes hold, their files are read so often."""
OTHERS_MOST_S = 30.0
"""A request that only other processes' bytes keep from its room is refused after so long."""


class Verb(Enum):
    """What is to be done to an entry."""

    LOAD = auto()
    CLOSE = auto()
    RESIZE = auto()


Work = list[tuple[Verb, PoolEntry]]


class Room:
    """See the module. The pool's mutable state is here and nowhere else."""

    def __init__(
        self,
        engine: Engine,
        *,
        budget_bytes: int,
        keep_alive_s: float | None,
        clock: Callable[[], float],
        reservations: Reservations | None,
    ) -> None:
        self._engine, self._keep_alive_s, self._clock = engine, keep_alive_s, clock
        self.budget_bytes = budget_bytes
        self.entries: dict[WeightsKey, PoolEntry] = {}
        self.waiters: list[Waiter] = []
        """Who wants a lease, first come first."""
        self.growers: list[Waiter] = []
        """Who has a lease and wants more context, first come first."""
        self.interests: dict[WeightsKey, int] = {}
        self.pins: dict[WeightsKey, int] = {}
        self._failures = Failures(clock)
        self._reservations = reservations
        self._others: Holding | None = None
        """Read when it is needed first, anew for each decision."""
        self._looks_again = False

    @property
    def held_bytes(self) -> int:
        return sum(entry.held_bytes for entry in self.entries.values())

    def _others_bytes(self, key: WeightsKey) -> int:
        """What other processes hold beside the models that are here and the one that is to come."""
        if self._reservations is None:
            return 0
        if self._others is None:
            self._others = self._reservations.others()
        return self._others.beside({_file(one) for one in (key, *self.entries)})

    def _limit_bytes(self, key: WeightsKey) -> int:
        """What of the budget this process may have now, when it loads this model or has it grow."""
        return max(0, self.budget_bytes - self._others_bytes(key))

    def _holding(self, key: WeightsKey | None = None, cost: Cost | None = None) -> Holding:
        """What is held, for others to know; with the model `key` at `cost` if that is given."""
        sizes = {one.key: (one.held_bytes, one.cost.weights_bytes) for one in self.entries.values()}
        if key is not None and cost is not None:
            sizes[key] = (cost.total_bytes, cost.weights_bytes)
        weights = {_file(key): weights_bytes for key, (_, weights_bytes) in sizes.items()}
        held_bytes = sum(held_bytes for held_bytes, _ in sizes.values())
        return Holding(private_bytes=held_bytes - sum(weights.values()), weights=weights)

    # What happened -----------------------------------------------------------------------------------

    def give_back(self, entry: PoolEntry) -> None:
        """A lease has ended."""
        entry.leases -= 1
        entry.idle_since_s = self._clock()

    def leave(self, waiter: Waiter) -> None:
        """`waiter` waits no longer; a load that nobody waits for is stopped."""
        for line in (self.waiters, self.growers):
            if waiter in line:
                line.remove(waiter)
        entry = self.entries.get(waiter.key)
        if entry and entry.state is ModelState.LOADING and not self.waiting_for(entry.key):
            entry.state = ModelState.CLOSING
            entry.scope.cancel()

    def fail(self, waiter: Waiter, error: BaseException) -> None:
        self._answer(waiter, error=error)

    def load_ended(self, entry: PoolEntry, error: BaseException | None) -> None:
        """A load succeeded (then `entry.model` is there), failed with `error`, or was stopped."""
        if entry.model is not None:
            self._failures.forget(entry.key)
            if entry.state is ModelState.LOADING:
                entry.state = ModelState.READY
                entry.idle_since_s = self._clock()
            return
        del self.entries[entry.key]
        if error is None or entry.state is ModelState.CLOSING:
            return
        if not isinstance(error, BudgetError):
            self._failures.add(entry.key, error)
        for waiter in self.waiting_for(entry.key):
            self.fail(waiter, error)

    def resize_ended(self, entry: PoolEntry, error: BaseException | None, replaced: bool) -> None:
        """A resize succeeded, failed with `error` or was stopped; not `replaced`, the old arena is there."""
        wanted = entry.next_cost
        assert wanted is not None
        entry.next_cost = None
        if replaced:
            entry.cost = wanted
            return
        if wanted.context_tokens < entry.cost.context_tokens:
            entry.first_cost = entry.cost  # it cannot shrink: it is not tried again
        elif error is not None:
            for grower in [one for one in self.growers if one.key == entry.key]:
                self.fail(grower, error)

    def closed(self, entry: PoolEntry) -> None:
        del self.entries[entry.key]

    def waiting_for(self, key: WeightsKey) -> list[Waiter]:
        return [waiter for waiter in self.waiters if waiter.key == key]

    def _answer(self, waiter: Waiter, error: BaseException | None = None) -> None:
        for line in (self.waiters, self.growers):
            if waiter in line:
                line.remove(waiter)
        waiter.error = error
        waiter.done.set()

    # Deciding ----------------------------------------------------------------------------------------

    def decide(self) -> Work:
        """Every decision there is, for the state as it stands. Returns the I/O to be done."""
        work: Work = []
        self._others = None
        self._looks_again = False
        if self._reservations is not None:
            self._reservations.give_back(self._holding())
        self._grow(work)
        self._lend()
        self._load(work)
        for entry in list(self.entries.values()):
            if self._is_over(entry):
                self._evict(entry, work)
            elif entry.is_idle and entry.grown_bytes and self._idle_s(entry) >= SHRINK_AFTER_S:
                self._shrink(entry, work)
        return work

    def next_s(self) -> float | None:
        """Seconds until time alone changes a decision; None while only an event can."""
        ends = [OTHERS_EACH_S] if self._looks_again else []
        for entry in self.entries.values():
            if entry.is_idle:
                if self._keep_alive_s is not None and not self._is_kept(entry):
                    ends.append(self._keep_alive_s - self._idle_s(entry))
                if entry.grown_bytes:
                    ends.append(SHRINK_AFTER_S - self._idle_s(entry))
        return max(0.0, min(ends)) if ends else None

    def _grow(self, work: Work) -> None:
        """Arenas for those who need larger ones. Nobody waits for one who waits longer for him."""
        ahead: set[WeightsKey] = set()
        for grower in list(self.growers):
            entry = self.entries[grower.key]
            if entry.next_cost is None and entry.cost.context_tokens >= grower.grow_tokens:
                self._answer(grower)
                continue
            if entry.next_cost is None:
                grower.cost = self._grown_cost(grower, entry, ahead)
                if grower.cost is None:
                    continue
                if self._make_room(grower.key, grower.cost, work):
                    entry.next_cost = grower.cost
                    work.append((Verb.RESIZE, entry))
            ahead.add(grower.key)

    def _grown_cost(self, grower: Waiter, entry: PoolEntry, ahead: set[WeightsKey]) -> Cost | None:
        """Of the arena for a grower: of the next power of two, or else what is asked; None if refused."""
        doubled = 1 << (grower.grow_tokens - 1).bit_length()
        if grower.most_tokens is not None:
            doubled = max(grower.grow_tokens, min(doubled, grower.most_tokens))
        problem: SamovarError | None = None
        for tokens in dict.fromkeys((doubled, grower.grow_tokens)):
            spec = replace(entry.spec, context_tokens=tokens)
            try:
                cost = self._engine.predict(spec)
            except SamovarError as error:
                problem = error
                continue
            if cost.total_bytes <= self._limit_bytes(entry.key) - self._fixed_bytes(entry.key, ahead):
                return cost
            problem = self._refusal(entry.key, spec, cost, ahead)
        assert problem is not None
        self.fail(grower, problem)
        return None

    def _lend(self) -> None:
        """Leases for models that are ready, unless they must go for someone who is due."""
        must_go: set[WeightsKey] = set()
        for grower in self.growers:
            must_go |= self._must_go(grower)
        passed: list[Waiter] = []
        for waiter in list(self.waiters):
            entry = self.entries.get(waiter.key)
            if entry is not None and entry.state is ModelState.LOADING:
                continue
            if entry is not None and entry.state is ModelState.READY and waiter.key not in must_go:
                entry.leases += 1
                waiter.entry = entry
                self._answer(waiter)
                for earlier in passed:
                    earlier.overtaken += 1
                    if earlier.overtaken == OVERTAKEN_MOST:
                        must_go |= self._must_go(earlier)
            else:
                passed.append(waiter)
                if self._is_due(waiter):
                    must_go |= self._must_go(waiter)

    def _is_due(self, waiter: Waiter) -> bool:
        if waiter.since_others_s is not None:
            return False  # nothing of ours would help it
        if waiter.overtaken >= OVERTAKEN_MOST:
            return True
        return waiter.kept_since_s is not None and self._clock() >= waiter.kept_since_s + OVERTAKEN_MOST_S

    def _must_go(self, waiter: Waiter) -> set[WeightsKey]:
        """The models that make the room for `waiter`, idle ones first; empty where that is not enough."""
        if waiter.cost is None:
            return set()
        others = [entry for key, entry in self.entries.items() if key != waiter.key]
        missing_bytes = waiter.cost.total_bytes - self._limit_bytes(waiter.key)
        missing_bytes += sum(entry.lasting_bytes for entry in others)
        found: set[WeightsKey] = set()
        for entry in sorted(others, key=lambda entry: not entry.is_idle):
            if missing_bytes > 0 and entry.key not in self.pins and entry.lasting_bytes:
                missing_bytes -= entry.lasting_bytes
                found.add(entry.key)
        return found if missing_bytes <= 0 else set()

    def _load(self, work: Work) -> None:
        """Loads that fit, in order; past one who is due nobody is given room."""
        seen: dict[WeightsKey, Waiter] = {}
        is_stopped = False
        for waiter in list(self.waiters):
            entry = self.entries.get(waiter.key)
            if entry is not None and entry.state is not ModelState.CLOSING:
                continue
            first = seen.setdefault(waiter.key, waiter)
            if first is not waiter:
                waiter.cost, waiter.kept_since_s = first.cost, waiter.kept_since_s or first.kept_since_s
                continue
            if entry is None and not self._admit(waiter):
                del seen[waiter.key]
                continue
            if entry is None and not is_stopped:
                assert waiter.cost is not None
                if self._make_room(waiter.key, waiter.cost, work):
                    entry = PoolEntry(waiter.key, waiter.spec, waiter.cost, waiter.cost)
                    self.entries[waiter.key] = entry
                    work.append((Verb.LOAD, entry))
                    continue
            if waiter.kept_since_s is None and self._must_go(waiter):
                waiter.kept_since_s = self._clock()
            is_stopped = is_stopped or self._is_due(waiter)

    def _admit(self, waiter: Waiter) -> bool:
        """Whether the model can be loaded once there is room; otherwise the waiter is told why not."""
        failure = self._failures.standing(waiter.key)
        if failure is not None:
            self.fail(waiter, failure)
            return False
        free_bytes = self._limit_bytes(waiter.key) - self._fixed_bytes(waiter.key)
        try:
            cost = self._engine.predict(waiter.spec, free_bytes=max(0, free_bytes))
        except SamovarError as error:
            self.fail(waiter, error)
            return False
        waiter.cost = cost
        if cost.total_bytes <= free_bytes:
            waiter.since_others_s = None
            return True
        if cost.total_bytes <= self.budget_bytes - self._fixed_bytes(waiter.key):
            self._looks_again = True
            if waiter.since_others_s is None:
                waiter.since_others_s = self._clock()
            if self._clock() < waiter.since_others_s + OTHERS_MOST_S:
                return True
        self.fail(waiter, self._refusal(waiter.key, waiter.spec, cost))
        return False

    def _fixed_bytes(self, key: WeightsKey, ahead: Set[WeightsKey] = frozenset()) -> int:
        """What others hold and need not give back: the pinned ones, and those `ahead` of a grower."""
        fixed = 0
        for entry in self.entries.values():
            if entry.key == key or entry.state is ModelState.CLOSING:
                continue
            if entry.key in ahead:
                fixed += entry.held_bytes
            elif entry.key in self.pins:
                fixed += min(entry.lasting_bytes, entry.first_cost.total_bytes)
        return fixed

    def _refusal(
        self, key: WeightsKey, spec: ModelSpec, cost: Cost, ahead: Set[WeightsKey] = frozenset()
    ) -> BudgetError:
        pinned = [
            one.spec.reference for one in self.entries.values() if one.key in self.pins and one.key != key
        ]
        return refusal(
            self._engine,
            spec,
            cost,
            budget_bytes=self.budget_bytes,
            fixed_bytes=self._fixed_bytes(key, ahead),
            others_bytes=self._others_bytes(key),
            pinned=pinned,
        )

    def _make_room(self, key: WeightsKey, cost: Cost, work: Work) -> bool:
        """Whether the model may take `cost` now. Where not, starts what frees it, if idle models can."""
        own = self.entries.get(key)
        needed_bytes = cost.total_bytes - (own.held_bytes if own else 0)
        limit_bytes = self._limit_bytes(key)
        if self.held_bytes + needed_bytes <= limit_bytes:
            held = self._holding(key, cost)
            if self._reservations is None or self._reservations.take(held, self.budget_bytes):
                return True
            self._looks_again = True  # another process was faster
            return False
        self._looks_again = self._looks_again or limit_bytes < self.budget_bytes
        missing_bytes = needed_bytes - limit_bytes
        missing_bytes += sum(entry.lasting_bytes for entry in self.entries.values())
        idle = sorted(
            (entry for entry in self.entries.values() if entry.is_idle),
            key=lambda entry: (entry.key in self.interests, entry.idle_since_s),
        )
        evicted = [entry for entry in idle if entry.key not in self.pins]
        shrunk = [entry for entry in idle if entry.grown_bytes]
        if missing_bytes > sum(entry.grown_bytes for entry in shrunk):
            shrunk = [entry for entry in shrunk if entry.key in self.pins]
            if missing_bytes > sum(e.grown_bytes for e in shrunk) + sum(e.held_bytes for e in evicted):
                return False
        else:
            evicted = []
        for entry in shrunk:
            if missing_bytes > 0:
                missing_bytes -= entry.grown_bytes
                self._shrink(entry, work)
        for entry in evicted:
            if missing_bytes > 0:
                missing_bytes -= entry.held_bytes
                self._evict(entry, work)
        return False

    def _evict(self, entry: PoolEntry, work: Work) -> None:
        entry.state = ModelState.CLOSING
        work.append((Verb.CLOSE, entry))

    def _shrink(self, entry: PoolEntry, work: Work) -> None:
        entry.next_cost = entry.first_cost
        work.append((Verb.RESIZE, entry))

    def _idle_s(self, entry: PoolEntry) -> float:
        return self._clock() - entry.idle_since_s

    def _is_kept(self, entry: PoolEntry) -> bool:
        return entry.key in self.interests or entry.key in self.pins

    def _is_over(self, entry: PoolEntry) -> bool:
        if not entry.is_idle or self._is_kept(entry) or self._keep_alive_s is None:
            return False
        return self._idle_s(entry) >= self._keep_alive_s

    def check(self) -> None:
        """Raises AssertionError when the books do not balance. Safe at any time."""
        assert self.held_bytes <= self.budget_bytes, (self.held_bytes, self.budget_bytes)
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
        for grower in self.growers:
            assert self.entries[grower.key].leases, "someone grows what nobody has"
        kept = {waiter.key for waiter in self.waiters} - {
            key for key, entry in self.entries.items() if entry.state is ModelState.READY
        }
        for waiter in self.waiters:
            ready = self.entries.get(waiter.key)
            held_back = kept or self.growers
            assert ready is None or ready.state is not ModelState.READY or held_back, (
                "a ready model is not lent"
            )
            assert self.entries or self._looks_again, "someone waits while nothing is loaded"


def _file(key: WeightsKey) -> str:
    """The file of weights, as other processes know it."""
    return f"{key.path} {key.size_bytes} {key.modified_ns}"
