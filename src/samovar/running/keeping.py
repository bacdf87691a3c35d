"""Where a run is kept while it is in progress, and what of it a later process needs to continue it.

Above: the runner, the doors. Below: the journal's contract.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from samovar.events import Ending, RunStarted
from samovar.journal.base import Journal, KeptRun, RowKey, RunHead, RunStatus
from samovar.running.ends import End
from samovar.running.frame import Frame
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.uncertain import Decisions
from samovar.values import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How a run is kept."""

    journal: Journal
    goes_on: RunHead | None = None
    """The run that continues; None: a new one begins."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the door was reported, for a later process."""
    uncertain: Decisions = field(default_factory=Decisions)
    """What becomes of visits that were interrupted and may not simply be done again."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files of the workflow and of all it runs, by their whole paths."""
    folder: Path = field(default_factory=Path.cwd)
    """Where the run was started."""
    row: RowKey | None = None
    """The row of a file that the run is for; None: it is for none."""


@asynccontextmanager
async def kept_run(
    keeping: Keeping | None, started: RunStarted, prepared: Prepared
) -> AsyncIterator[KeptRun | None]:
    """The run in its journal, from its start to its end; None if it is not kept. Raises `JournalError`."""
    if keeping is None:
        yield None
        return
    if keeping.goes_on is not None:
        async with keeping.journal.reopen(keeping.goes_on.id) as run:
            yield run
        return
    head = RunHead(
        id=started.run,
        workflow=started.workflow,
        path=None if started.path is None else started.path.absolute(),
        folder=str(keeping.folder),
        started_at=started.started_at,
        digests=keeping.digests,
        variables={name: one for name, one in prepared.variables.items() if name not in started.secrets},
        secrets=tuple(name for name in started.secrets if prepared.variables.get(name) is not None),
        options=keeping.options,
        row=keeping.row,
    )
    async with keeping.journal.begin(head) as run:
        yield run


async def end_run(journal: KeptRun, end: End, run: Run, frame: Frame) -> None:
    """The run's end goes into its journal; of a row also what it was for. Raises `JournalError`."""
    message = end.error.message if end.error else ""
    result = None
    if journal.head.row is not None and end.ending is Ending.COMPLETED:
        result = result_text(run, run.result_of(frame.variables))
    await journal.end(RunStatus(end.ending), message, result=result)


def result_text(run: Run, result: object) -> str:
    """What a run was for, as JSON on one line, without secrets."""
    return json.dumps(run.hidden.copy_value(plain(result)), ensure_ascii=False, separators=(",", ":"))
