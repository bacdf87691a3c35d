"""The ends of a fork's branches so far, and whether to cancel those that are still running.

Above: `loop.py`, which drives the branches. Below: the ends of branches. Mutable: `note` makes every change.
It knows no task: anyone who asks it cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

from samovar.events import Ending
from samovar.journal.base import ForkEnds, VisitKey
from samovar.running.branches import BranchEnd
from samovar.running.ends import End


class Arrivals:
    """The branches of one fork while they are in progress."""

    def __init__(self, branches: Sequence[str], needed: int, kept: ForkEnds | None = None) -> None:
        """`needed`: as many have to reach the join; at most all of them.

        `kept`: how they have ended in an earlier process, which decides.
        """
        self._kept = kept
        self.ends = dict.fromkeys(branches, BranchEnd.CANCELLED)
        """By first state. What has not ended counts as cancelled."""
        self.end: End | None = None
        """How the fork ended if too few branches can reach the join; None: it has not, or they did."""
        self._ended_by: str | None = None
        self._going_on, self._missing = len(branches), needed

    @property
    def is_enough(self) -> bool:
        """All the branches that are needed have reached the join."""
        return self._missing <= 0

    def note(self, branch: str, end: End) -> bool:
        """A branch has ended. Gives whether the others are to be cancelled.

        What ends later, before it could be cancelled, counts as cancelled. A failure ends the fork if the
        branches that continue are too few without this one; being stuck always does.
        """
        if self._kept is not None:
            self.ends[branch] = BranchEnd(self._kept.ends[branch])
            if branch == self._kept.ended_by:
                self.end = end
            return False
        if self.is_enough or self.end is not None:
            return True
        self._going_on -= 1
        if end.ending is Ending.COMPLETED:
            self.ends[branch] = BranchEnd.CAME
            self._missing -= 1
            return self.is_enough
        self.ends[branch] = BranchEnd.FAILED
        if end.ending is not Ending.FAILED or self._going_on < self._missing:
            self.end, self._ended_by = end, branch
        return self.end is not None

    def was_lost(self, branch: str) -> bool:
        """An earlier process has cancelled it."""
        kept = self._kept
        return kept is not None and kept.ends.get(branch) == BranchEnd.CANCELLED.value

    @property
    def all_came(self) -> bool:
        """The same would come of them in any order."""
        return all(end is BranchEnd.CAME for end in self.ends.values())

    def kept(self, key: VisitKey, prefix: str) -> ForkEnds:
        """How they ended, for a journal. `prefix`: of the paths of their states."""
        ends = {branch: end.value for branch, end in self.ends.items()}
        return ForkEnds(key=key, prefix=prefix, ends=ends, ended_by=self._ended_by)

    @property
    def came(self) -> tuple[str, ...]:
        """The branches that reached the join, in the order of the file."""
        return tuple(first for first, end in self.ends.items() if end is BranchEnd.CAME)
