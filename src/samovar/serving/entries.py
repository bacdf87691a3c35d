"""The pool's records: users of memory, those who wait, and failed loads.

Above: `ledger.py`, which keeps them, `room.py`, which decides by them, `lifecycle.py`, `pool.py`. Below: the
engine's contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import anyio

from samovar.engines.base import Model, ModelSpec, OnLoadProgress, WeightsKey
from samovar.models.cost import Cost

CARRIED_CELL_BYTES = 64
"""Bytes of a cell's copy, beside keys and values: its position, and the token itself."""
BACK_OFF_S = 1.0
"""After a failed load the same error is given at once for this long; doubled by each further failure."""
BACK_OFF_MOST_S = 60.0


class ModelState(Enum):
    LOADING = auto()
    READY = auto()
    CLOSING = auto()
    """Being freed, or its load is being stopped. Anyone who wants it waits, and loads it again."""


@dataclass(slots=True, eq=False)
class PoolEntry:
    """One model that takes room. Changed by `Ledger`, `Room` and `Lifecycle`."""

    key: WeightsKey
    spec: ModelSpec
    """Specification from the request that loaded it."""
    cost: Cost
    """Cost of the arena it has."""
    first_cost: Cost
    """Cost of the arena it was loaded with, to which it goes back."""
    next_cost: Cost | None = None
    """Cost of the arena that is replacing the one it has."""
    state: ModelState = ModelState.LOADING
    model: Model | None = None
    """None until the load has succeeded."""
    leases: int = 0
    """A borrower who waits for more context has two."""
    idle_since_s: float = 0.0
    """On the pool's clock; meaningful while `leases` is 0."""
    has_generated: bool = False
    """A token has come from it since it was loaded."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Stops the load, or the wait for a resize."""

    @property
    def held_bytes(self) -> int:
        """While the arena is replaced, of the larger one, with copies of what was evaluated: the two arenas
        are not held together."""
        return max(self.cost.total_bytes, self.next_cost.replacing_bytes if self.next_cost else 0)

    def over_its_weights(self, spec: ModelSpec) -> ModelSpec:
        """A spec of the model for an arena over the weights as they are."""
        return replace(spec, repack=self.cost.repack, gpu_layers=self.cost.gpu_layers, replaces=self.cost)

    @property
    def carried_most_bytes(self) -> int:
        """What copies of all that its arena can hold take."""
        return self.cost.kv_bytes + CARRIED_CELL_BYTES * self.cost.context_tokens

    @property
    def lasting_bytes(self) -> int:
        """What it holds when all that is under way has ended."""
        if self.state is ModelState.CLOSING:
            return 0
        return (self.next_cost or self.cost).total_bytes

    @property
    def grown_bytes(self) -> int:
        """What shrinking it would give back."""
        return max(0, self.cost.total_bytes - self.first_cost.total_bytes)

    @property
    def is_idle(self) -> bool:
        return self.state is ModelState.READY and not self.leases and self.next_cost is None


@dataclass(slots=True, eq=False)
class Waiter:
    """Someone who wants a lease, or more context, or room for longer texts, for the lease he has."""

    key: WeightsKey
    """Key of the model it wants."""
    spec: ModelSpec
    on_progress: OnLoadProgress = lambda fraction: None
    """Called with the fraction loaded, 0 to 1."""
    grow_tokens: int = 0
    """Cells wanted by someone who has a lease; 0 for someone who wants one."""
    grow_embedding_tokens: int = 0
    """The longest text that someone who has a lease wants to embed; 0 for someone who does not."""
    most_tokens: int | None = None
    """Cells that an arena can have at most, or tokens that a text can; None if that is not known."""
    number: int = 0
    """In the order of coming; given by the ledger."""
    cost: Cost | None = None
    """Cost of the arena that a grower gets, once that is known."""
    done: anyio.Event = field(default_factory=anyio.Event)
    """Set when it has what it wants, or cannot have it."""
    entry: PoolEntry | None = None
    """The model it was lent; None before that, and for someone who wants more context."""
    error: BaseException | None = None
    """Why it cannot have what it wants; None if it can, or while it waits."""
    since_others_s: float | None = None
    """On the pool's clock: since when only other processes keep this one from its room."""

    @property
    def grows(self) -> bool:
        """It has a lease already."""
        return bool(self.grow_tokens or self.grow_embedding_tokens)

    def has_enough(self, cost: Cost) -> bool:
        """Whether a model that takes `cost` has what it wants to grow to."""
        return cost.context_tokens >= self.grow_tokens and cost.embedding_tokens >= self.grow_embedding_tokens

    def grown(self, cost: Cost) -> Iterator[ModelSpec]:
        """What the model would be then, which takes `cost` now: with the next power of two, else as asked."""
        asked = max(self.grow_tokens, self.grow_embedding_tokens)
        doubled = 1 << (asked - 1).bit_length()
        if self.most_tokens is not None:
            doubled = max(asked, min(doubled, self.most_tokens))
        for tokens in dict.fromkeys((doubled, asked)):
            if self.grow_tokens:
                yield replace(self.spec, context_tokens=tokens, embedding_tokens=cost.embedding_tokens)
            else:
                yield replace(self.spec, context_tokens=cost.context_tokens, embedding_tokens=tokens)


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException
    """What the load raised."""
    delay_s: float
    """How long the error is given instead of another load."""
    until_s: float
    """On the pool's clock: when it may be loaded again."""


class Failures:
    """The failed loads that are not tried again yet. Mutable state: the newest failure of each file."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[WeightsKey, _Failure] = {}

    def add(self, key: WeightsKey, error: BaseException) -> None:
        before = self._failures.get(key)
        delay_s = BACK_OFF_S if before is None else min(2 * before.delay_s, BACK_OFF_MOST_S)
        # A changed file has another key: what its old one did is forgotten.
        self._failures = {known: one for known, one in self._failures.items() if known.path != key.path}
        self._failures[key] = _Failure(error, delay_s, self._clock() + delay_s)

    def forget(self, key: WeightsKey) -> None:
        """A load succeeded."""
        self._failures.pop(key, None)

    def standing(self, key: WeightsKey) -> BaseException | None:
        """The error that is given instead of a load; None when it may be tried."""
        failure = self._failures.get(key)
        return failure.error if failure is not None and self._clock() < failure.until_s else None
