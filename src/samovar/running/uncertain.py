"""What becomes of a visit that was begun, and of which nobody knows how far it came.

Above: `visiting.py`; doors, which ask before a run continues. Below: the journal's contract. What may be done
again is; for the rest somebody has to say: by an option, by answering a question, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from samovar.actions.base import Action, Outcome
from samovar.errors import InterruptedActionError
from samovar.journal.base import KeptVisit, VisitKey

Decision = Literal["redo", "skip", "fail"]
"""Do it again; continue as if it had succeeded, without a value; continue as if it had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What was decided of visits that may not simply be done again."""

    of_all: Decision | None = None

    def of(self, key: VisitKey) -> Decision:
        """Raises `InterruptedActionError` if nobody has decided."""
        if self.of_all is None:
            raise InterruptedActionError(
                f"{key} was interrupted, and nobody knows whether it was done. Say --redo, --skip or --fail."
            )
        return self.of_all


def undecided(kept: Iterable[KeptVisit]) -> list[KeptVisit]:
    """The visits that somebody must decide about before the run continues."""
    return [one for one in kept if one.outcome is None and not one.intent.is_repeatable]


def decided(kept: KeptVisit, decisions: Decisions, action: Action) -> Outcome | None:
    """What an interrupted visit leaves without being performed; None: it is performed (again).

    Raises `InterruptedActionError` where it counts as failed.
    """
    if kept.intent.is_repeatable:
        return None
    decision = decisions.of(kept.intent.key)
    if decision == "redo":
        return None
    if decision == "skip":
        return Outcome()
    raise InterruptedActionError(
        "It was interrupted, and nobody knows whether it was done.", place=action.place
    )
