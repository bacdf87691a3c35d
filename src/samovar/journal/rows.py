"""The table of rows: which run of the journal has done which row of a file that a workflow is run for.

Above: `sqlite.py`, `sqlite_run.py`. Below: SQLite. A row is found by digests, of what it is about and of all
that its result depends on, so that no list of rows is ever held or gone through.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from samovar.errors import RowTakenError
from samovar.generation import TokenCounts
from samovar.journal.row_key import KeptRow, RowKey
from samovar.journal.run_status import RunStatus, status_now

TABLE = """
CREATE TABLE row_run (
    run         INTEGER PRIMARY KEY REFERENCES run (number) ON DELETE CASCADE,
    work        TEXT NOT NULL,     -- digest of all that the row's result depends on
    subject     TEXT NOT NULL,     -- digest of the workflow's place and of what the row says
    result      TEXT               -- as JSON, without secrets; NULL: it has none
);
CREATE INDEX row_work ON row_run (work, run);
CREATE INDEX row_subject ON row_run (subject, run);
"""
_FOUND = (
    "SELECT run.id, status, owner, until_s, message, result, evaluated, reused, generated, reasoning "
    "FROM row_run JOIN run ON run.number = row_run.run WHERE "
)
_BY_WORK = f"{_FOUND} work = ? ORDER BY row_run.run DESC LIMIT 1"
_BY_SUBJECT = f"{_FOUND} subject = ? ORDER BY status = 'completed' DESC, row_run.run DESC LIMIT 1"


def begin_row(connection: Any, key: RowKey | None) -> None:
    """Before a run of this row begins. Raises `RowTakenError` if another one has done it, or may."""
    found = None if key is None else newest(connection, key)
    if found is not None and (found.status is RunStatus.COMPLETED or not found.status.is_over):
        raise RowTakenError(f"The row is already done by run {found.run}, or will be.")


def put_row(connection: Any, number: int, key: RowKey | None) -> None:
    """The run that has just begun is this row's."""
    if key is None:
        return
    connection.execute(
        "INSERT INTO row_run (run, work, subject) VALUES (?, ?, ?)", (number, key.work, key.subject)
    )


def end_row(connection: Any, number: int, result: str) -> None:
    """The run of a row has this result."""
    connection.execute("UPDATE row_run SET result = ? WHERE run = ?", (result, number))


def newest(connection: Any, key: RowKey) -> KeptRow | None:
    """The last run that began for this row, with everything as it is now."""
    return _kept(connection.execute(_BY_WORK, (key.work,)).fetchone())


def earlier(connection: Any, key: RowKey) -> KeptRow | None:
    """The last run that completed what the row is about, whatever the workflow was then; else the last."""
    return _kept(connection.execute(_BY_SUBJECT, (key.subject,)).fetchone())


def _kept(row: Sequence[Any] | None) -> KeptRow | None:
    if row is None:
        return None
    run, status, owner, until_s, message, result, *tokens = row
    evaluated, reused, generated, reasoning = tokens
    return KeptRow(
        run=run,
        status=status_now(status, owner, until_s, time.time()),
        until_s=until_s,
        message=message,
        result=result,
        tokens=TokenCounts(evaluated=evaluated, reused=reused, generated=generated, reasoning=reasoning),
    )
