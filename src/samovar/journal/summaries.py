"""Lines of a list of runs, as the table of runs has them: no visit is read for them.

Above: `sqlite.py`. Below: the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samovar.generation import TokenCounts
from samovar.journal.base import RunSummary
from samovar.journal.run_status import GO_ON, status_now

SUMMARY = (
    "SELECT id, workflow, status, started_at, touched_at, ended_at, visits, evaluated, reused, generated, "
    "reasoning, message, path, folder, owner, until_s, origin FROM run"
)
CAN_GO_ON = f"run.status IN ({', '.join(map(repr, map(str, GO_ON)))})"
"""Of a row: the run is not over."""


def summary_of(row: Sequence[Any], now_s: float) -> RunSummary:
    """The line of a list that a row is."""
    return RunSummary(
        id=row[0],
        workflow=row[1],
        path=None if row[12] is None else Path(row[12]),
        folder=row[13],
        status=status_now(row[2], row[14], row[15], now_s),
        started_at=row[3],
        touched_at=row[4],
        ended_at=row[5],
        visits=row[6],
        tokens=TokenCounts(evaluated=row[7], reused=row[8], generated=row[9], reasoning=row[10]),
        message=row[11],
        owner=row[14] or "",
        until_s=row[15],
        origin=row[16],
    )
