"""What the journal on disk has of a run when a process takes it.

Above: `sqlite.py`, `sqlite_run.py`. Below: the tables, what persons said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samovar.generation import Begun
from samovar.journal.base import ForkEnds, KeptVisit, VisitKey
from samovar.journal.begun_answers import begun_of
from samovar.journal.codec import from_json
from samovar.journal.sqlite_people import answers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the journal has of a run when it is opened."""

    number: int
    """Of its row."""
    lease: int
    visits: Sequence[KeptVisit] = ()
    answers: Mapping[VisitKey, str] = field(default_factory=dict)
    forks: Mapping[VisitKey, ForkEnds] = field(default_factory=dict)
    begun: Mapping[VisitKey, Sequence[Begun]] = field(default_factory=dict)
    """Answers in progress."""
    driven_s: float = 0.0


def opened(connection: Any, number: int, lease: int, visits: Sequence[KeptVisit]) -> Opened:
    """What is there of a run besides its visits."""
    [driven_s] = connection.execute("SELECT driven_s FROM run WHERE number = ?", (number,)).fetchone()
    return Opened(
        number=number,
        lease=lease,
        visits=visits,
        answers=answers_of(connection, number),
        forks={fork.key: fork for fork in forks_of(connection, number)},
        begun=begun_of(connection, number),
        driven_s=driven_s,
    )


def forks_of(connection: Any, number: int) -> list[ForkEnds]:
    """How the forks of a run have ended."""
    rows = connection.execute("SELECT ends FROM fork WHERE run = ?", (number,))
    return [from_json(row[0]) for row in rows]
