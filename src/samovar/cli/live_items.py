"""The live lines of lists: one line for each list, whatever its items do.

Above: `live.py`. Below: the events. With `-v` the visits of items have lines of their own too. Mutable: which
lists are gone through, how far they have come, and what their prompts have cost.
"""

from __future__ import annotations

from typing import NamedTuple

from samovar.errors.counting import counted
from samovar.errors.durations import about
from samovar.events import AttemptFailed, Event, ItemsProgressed, StateEntered, StateLeft, VisitStatus, Warned
from samovar.generation import TokenCounts


class WholeList(NamedTuple):
    """What came of a list in all."""

    tokens: TokenCounts | None
    """What the prompts of its items have cost; None: it has none."""
    counts: str
    """`12 of 48 items, 1 failed`"""


class ItemLines:
    """What belongs to which list."""

    def __init__(self, verbose: int) -> None:
        self._shows_all = verbose > 0
        self._lists: dict[str, int] = {}
        """By the path of a state that goes through a list: its visit."""
        self._list_of: dict[int, int] = {}
        """By the visit of an item: that of the outermost list around it."""
        self._progress: dict[int, ItemsProgressed] = {}
        self._began_s: dict[int, float] = {}
        self._tokens: dict[int, TokenCounts] = {}
        self._warned: set[tuple[int, str]] = set()
        """What was warned of: of the items of one list, the same once."""

    def see(self, event: Event) -> None:
        """Takes in what happened, before it is shown."""
        if isinstance(event, StateEntered):
            if (around := self._around(event.path)) is not None:
                self._list_of[event.visit] = around
            elif event.verb == "for each":
                self._lists[event.path] = event.visit
                self._began_s[event.visit] = event.time_s
        elif isinstance(event, ItemsProgressed):
            self._progress[event.visit] = event
        elif isinstance(event, AttemptFailed | StateLeft) and event.visit in self._list_of:
            whole, cost = self._list_of[event.visit], event.figures
            if cost is not None:
                self._tokens[whole] = self._tokens.get(whole, TokenCounts()) + cost.tokens

    def forget(self, event: StateLeft) -> None:
        """A visit is over, and was shown."""
        self._list_of.pop(event.visit, None)
        if self._lists.get(event.path) == event.visit:
            del self._lists[event.path]
        for kept in (self._progress, self._began_s, self._tokens):
            kept.pop(event.visit, None)

    def repeats(self, event: Event) -> bool:
        """Whether the event warns of what was said of another item of the list already."""
        if self._shows_all or not isinstance(event, Warned) or event.visit not in self._list_of:
            return False
        key = (self._list_of[event.visit], event.message)
        is_known = key in self._warned
        self._warned.add(key)
        return is_known

    def hides(self, visit: int | None) -> bool:
        """Whether what the visit does is part of its list's line."""
        return not self._shows_all and visit in self._list_of

    def hides_end(self, event: StateLeft) -> bool:
        """The same for how it ended: a failure is shown."""
        return self.hides(event.visit) and event.status is not VisitStatus.FAILURE

    def whole(self, visit: int) -> WholeList | None:
        """What came of a list in all; None: the visit is not of one."""
        at = self._progress.get(visit)
        return None if at is None else WholeList(self._tokens.get(visit), _counts(at))

    def progress(self, visit: int, elapsed_s: float) -> tuple[float, str] | None:
        """How much of a list is done, from 0 to 1, and that in words; None: the visit is not of a list."""
        if (at := self._progress.get(visit)) is None:
            return None
        parts = [f"{at.done} of {at.total}"]
        parts += [f"{at.running} running"] if at.running else []
        parts += [f"{at.failed} failed"] if at.failed else []
        if 0 < at.done < at.total:
            took_s = at.time_s - self._began_s.get(visit, at.time_s)
            left_s = max(0.0, took_s / at.done * at.total - max(elapsed_s, took_s))
            parts.append(f"{about(left_s)} left")
        return at.done / max(at.total, 1), ", ".join(parts)

    def _around(self, path: str) -> int | None:
        at = path.find("[")
        while at > 0:
            if (visit := self._lists.get(path[:at])) is not None:
                return visit
            at = path.find("[", at + 1)
        return None


def _counts(at: ItemsProgressed) -> str:
    return f"{at.done} of {counted(at.total, 'item')}" + (f", {at.failed} failed" if at.failed else "")
