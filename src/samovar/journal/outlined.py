"""What of a run is kept of which only the outline is: which states, when, for how long, with how many tokens.

Above: `sqlite_run.py`, `keeping.py`. Below: the contract. No value, prompt, answer or message is kept, so the
run cannot continue in another process.
"""

from __future__ import annotations

from dataclasses import replace

from samovar.generation import Options
from samovar.journal.base import RunHead, VisitOutcome


def outlined_head(head: RunHead) -> RunHead:
    """What is kept of a run's beginning."""
    return RunHead(
        id=head.id,
        workflow=head.workflow,
        path=head.path,
        folder=head.folder,
        started_at=head.started_at,
        digests=head.digests,
        is_outline=True,
    )


def outlined(outcome: VisitOutcome) -> VisitOutcome:
    """What is kept of how a visit ended."""
    figures, error = outcome.figures, outcome.error
    return VisitOutcome(
        error=None if error is None else replace(error, message=""),
        figures=None if figures is None else replace(figures, options=Options(), reasoning="", chosen=()),
        left_at=outcome.left_at,
        duration_s=outcome.duration_s,
        spent=outcome.spent,
        memory_bytes=outcome.memory_bytes,
        loads=outcome.loads,
    )
