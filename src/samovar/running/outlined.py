"""A run of which only the outline is kept: which states, when, for how long, with how many tokens.

Above: `keeping.py`, which makes these. Below: the journal's contract. No value, prompt, answer or message is
kept, so the run cannot continue in another process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from samovar.generation import Options
from samovar.journal.base import (
    ForkEnds,
    Intent,
    KeptEnd,
    KeptRun,
    KeptStep,
    KeptVisit,
    RunHead,
    RunStatus,
    VisitKey,
    VisitOutcome,
)


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


class Outlined:
    """See `base.KeptRun`."""

    def __init__(self, run: KeptRun) -> None:
        self.head: RunHead = run.head
        self.asked, self.driven_s = run.asked, run.driven_s
        self._run = run

    @property
    def kept(self) -> Sequence[KeptVisit]:
        return self._run.kept

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return self._run.recall(key)

    async def intend(self, intent: Intent) -> None:
        await self._run.intend(intent)

    async def leave(self, key: VisitKey, outcome: VisitOutcome, *, within: str | None = None) -> None:
        figures, error = outcome.figures, outcome.error
        if error is not None:
            error = replace(error, message="")
        if figures is not None:
            figures = replace(figures, options=Options(), reasoning="", chosen=())
        await self._run.leave(
            key,
            VisitOutcome(
                error=error,
                figures=figures,
                left_at=outcome.left_at,
                duration_s=outcome.duration_s,
                spent=outcome.spent,
                memory_bytes=outcome.memory_bytes,
                loads=outcome.loads,
            ),
            within=within,
        )

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        return self._run.fork_of(key)

    async def decide(self, fork: ForkEnds) -> None:
        await self._run.decide(fork)

    async def step(self, step: KeptStep) -> None:
        await self._run.step(step)

    async def end(self, status: RunStatus, message: str = "", ending: KeptEnd | None = None) -> None:
        await self._run.end(status)

    def key(self) -> bytes:
        return self._run.key()

    async def abandon(self, message: str) -> None:
        await self._run.abandon(message)
