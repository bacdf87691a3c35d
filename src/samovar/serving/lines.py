"""The queues for leases, one for each model, so that a decision only looks at the first of each.

Above: `ledger.py`, which keeps the lines, and `room.py`, which decides by them. Below: `entries.py`. Anyone
who is first in a line has waited longest for its model and was overtaken most, so a decision about it is one
about all behind it: the work grows with the models that are waited for, and not with those who wait.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from samovar.engines.base import WeightsKey
from samovar.models.cost import Cost
from samovar.serving.entries import Waiter

OVERTAKEN_MOST = 8
"""One that waits for room is due when this many later requests were lent a model meanwhile."""


@dataclass(slots=True, eq=False)
class Line:
    """All who wait for a lease of one model. Changed by `Ledger`, and by `Room.decide`."""

    key: WeightsKey
    waiters: OrderedDict[Waiter, None] = field(default_factory=OrderedDict)
    """First come first; anyone is found and taken out in the same short time."""
    cost: Cost | None = None
    """Cost of the load or arena to be made for them, once it is known."""
    kept_since_s: float | None = None
    """On the pool's clock: since when lent models keep it from its room; None while none does."""
    _overtakers: list[int] = field(default_factory=list)
    """A heap: the numbers of the latest requests that were lent a model past this line."""

    @property
    def first(self) -> Waiter:
        """Anyone who has waited longest. There is one: an empty line is not kept."""
        return next(iter(self.waiters))

    @property
    def is_overtaken(self) -> bool:
        """Whether its first was overtaken as often as may be."""
        return len(self._overtakers) == OVERTAKEN_MOST and self._overtakers[0] > self.first.number

    def overtake(self, number: int) -> bool:
        """The later request `number` was lent a model. Whether that made the first due."""
        was_overtaken = self.is_overtaken
        if len(self._overtakers) < OVERTAKEN_MOST:
            heapq.heappush(self._overtakers, number)
        else:
            heapq.heappushpop(self._overtakers, number)
        return self.is_overtaken and not was_overtaken


def by_arrival(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, in the order in which those who are first in them came.

    If the first is taken out of a line while that is looked at, the line has its turn again for the next one.
    """
    turns = [(line.first.number, line) for line in lines]  # numbers differ, so that lines are not compared
    heapq.heapify(turns)
    while turns:
        number, line = heapq.heappop(turns)
        yield line
        if line.waiters and line.first.number != number:
            heapq.heappush(turns, (line.first.number, line))
