"""How a run is in the journal.

Above: the journal's contract, which hands it on. Below: nothing.
"""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """How a run is in the journal."""

    RUNNING = "running"
    """A process drives it."""
    INTERRUPTED = "interrupted"
    """It did not end, and nobody drives it."""
    WAITING = "waiting"
    """It waits for a person's answer, and nobody drives it."""
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    LIMITED = "limited"
    STUCK = "stuck"
    CANCELLED = "cancelled"
    UNKEPT = "unkept"
    """It went on, but could not be kept any more: nobody knows how it ended, and it cannot continue."""

    @property
    def is_over(self) -> bool:
        """It cannot continue."""
        return self not in GO_ON


GO_ON = (RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.WAITING)
"""Those of runs that can continue, or are driven."""


def status_now(kept: str, owner: str | None, until_s: float, now_s: float) -> RunStatus:
    """How a run is whose row says this. One whose lease has run out is not driven, whatever its row says."""
    status = RunStatus(kept)
    is_left = status is RunStatus.RUNNING and (owner is None or until_s <= now_s)
    return RunStatus.INTERRUPTED if is_left else status
