"""The value of an evaluated prefix: one rule for cells, for copies of states, and for copies on disk.

Above: whatever keeps prefixes and has to give some up: `prefixes/` and `snapshots.py`. Below: nothing. Pure:
ages, costs and sizes come in, numbers to be compared go out.

Worth is the uses that are to be expected soon, times the seconds that each saves, by the bytes it takes: cost
and size as in GreedyDual-Size-Frequency (Cherkasova, 1998), uses over age as in hyperbolic caching
(Blankstein et al., 2017), and old uses fade (LRFU, Lee et al., 2001). Ages are in fillings: 1 is when as much
was put in since as there is room for; so the rule is the same in any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ONCE = 0.1
"""Uses to expect of a single request, by nobody who may continue from it."""
CLAIM = 0.05
"""… and of each conversation that may continue from it: those that do have uses to show for it."""
YOUNG = 0.02
"""In fillings: what was used less long ago is not worth more for that."""
HALF_LIFE = 4.0
"""In fillings: after this long a use counts half."""
RESTORING = 0.05
"""What is on disk too costs this much of evaluating it to have it back."""
HOLDING_STEPS = 800
"""Evaluating a token takes as long as one more idle cell takes of this many decode steps."""
MARGIN = 2.0
"""A copy is written if it saves this many times what writing and reading it takes: it may never be read."""


@dataclass(slots=True)
class Uses:
    """How often something was of use, and when. Mutable: `use`."""

    last: float
    """When it was last of use, in fillings."""
    again: float = 0.0
    """Its uses after the first; each counts less the older it is."""

    def use(self, now: float) -> None:
        """It was of use once more."""
        self.again = 1 + self._faded(now)
        self.last = now

    def likely(self, now: float, claims: int = 0) -> float:
        """How many uses are likely to come for those that came before, and for those who may continue from
        it: this many `claims`."""
        return self._faded(now) + CLAIM * claims

    def rate(self, now: float, claims: int = 0) -> float:
        """The uses to expect, by how long they have been waited for."""
        return (ONCE + self.likely(now, claims)) / (YOUNG + max(0.0, now - self.last))

    def _faded(self, now: float) -> float:
        return self.again * math.exp2((self.last - now) / HALF_LIFE)


def worth(rate: float, saves: float, size: float) -> float:
    """`saves`: what evaluating it again takes; `size`: the room it takes. Any units, the same for all."""
    return rate * saves / max(size, 1e-9)


@dataclass(slots=True)
class Returns:
    """How much of a first request was requested again. Mutable; old counts fade."""

    filling: int
    """Tokens that there is room for. At first as if a quarter of it had come again."""
    again: float = 0.0
    never: float = 0.0
    """Tokens that were given up before they were."""

    @property
    def share(self) -> float:
        """From 0 to 1."""
        prior = max(1, self.filling / 4)
        return (prior + self.again) / (prior + self.again + self.never)

    def count(self, *, again: int = 0, never: int = 0) -> None:
        """This many tokens came again, or were given up before they did."""
        self.again, self.never = self.again + again, self.never + never
        if self.again + self.never > 2 * self.filling:
            self.again, self.never = self.again / 2, self.never / 2


def is_dear(likely: float, held_steps: int, *, returns: float = 1.0, is_saved: bool = False) -> bool:
    """Whether holding an idle cell since its last use has cost more than evaluating it again would.

    As with skis that one rents until the rent has reached their price: never twice the least possible cost
    (Karlin et al., 1988). `returns`: the share of first requests that come again.
    """
    return held_steps > (returns + likely) * HOLDING_STEPS * (RESTORING if is_saved else 1)


def pays(evaluate_s: float | None, write_s: float, read_s: float) -> bool:
    """Whether a copy of what is likely to come again should be written. `evaluate_s` None: not measured."""
    return evaluate_s is None or evaluate_s > MARGIN * (write_s + read_s)
