"""Deletes old runs from a journal, in small steps between its writes, so that nobody waits for it.

Above: `sqlite.py`, which asks for it when a run begins. Below: the texts. However old it is, a run stays that
waits for a person or is driven by a process, and one that another takes outcomes from which can continue.
Space in the file is used again, and not given back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from samovar.journal.base import RunStatus
from samovar.journal.summaries import CAN_GO_ON
from samovar.journal.texts import Texts

STEP_ROWS = 500
"""Deleted in one transaction: a few milliseconds."""
STEP_PAGES = 1_000
"""Given back in one transaction."""
DAY_S = 86_400.0
_IS_NEEDED_BY_NONE = f"id NOT IN (SELECT origin FROM run WHERE origin IS NOT NULL AND {CAN_GO_ON})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much a journal keeps."""

    days: float = 30.0
    most_bytes: int = 1_000_000_000
    """Of the file, and of the values in files beside it."""


class Pruner:
    """One pruning of a journal. Mutable: how large the files beside are, as far as it knows."""

    def __init__(self, texts: Texts, retention: Retention) -> None:
        self._texts, self._retention = texts, retention
        self._beside_bytes: int | None = None

    def step(self, connection: Any) -> bool:
        """Deletes a little, within a transaction. Returns False when nothing more has to go."""
        run = self._old(connection)
        if run is None and self._is_large(connection):
            run = self._oldest(connection)
        if run is None:
            self._texts.sweep(connection)
            return False
        delete(connection, self._texts, run)
        return True

    def _old(self, connection: Any) -> int | None:
        before_s = time.time() - self._retention.days * DAY_S
        return _first(connection, "touched_at < ?", before_s)

    def _oldest(self, connection: Any) -> int | None:
        return _first(connection, "?", True)

    def _is_large(self, connection: Any) -> bool:
        if self._beside_bytes is None:
            self._beside_bytes = self._texts.beside_bytes()
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        is_large = (pages - free) * size + self._beside_bytes > self._retention.most_bytes
        if is_large:
            self._beside_bytes = None  # what is deleted now may be files
        return is_large


def _first(connection: Any, where: str, value: object) -> int | None:
    """The run that has been left alone for longest, of those that may be deleted."""
    row = connection.execute(
        f"SELECT number FROM run WHERE {where} AND status != ? AND (status != ? OR until_s < ?) "
        f"AND {_IS_NEEDED_BY_NONE} ORDER BY touched_at LIMIT 1",
        (value, RunStatus.WAITING, RunStatus.RUNNING, time.time() - DAY_S),
    ).fetchone()
    return None if row is None else int(row[0])


def delete(connection: Any, texts: Texts, run: int) -> bool:
    """Deletes a run by its number, or a part of one with many visits. Returns whether all of it is gone."""
    for table, columns in (("visit", ("path", "line", "nth")), ("step", ("number",))):
        where = " AND ".join(f"{name} = ?" for name in ("run", *columns))
        found = connection.execute(
            f"SELECT run, {', '.join(columns)} FROM {table} WHERE run = ? LIMIT ?", (run, STEP_ROWS)
        ).fetchall()
        connection.executemany(f"DELETE FROM {table} WHERE {where}", found)
        if len(found) == STEP_ROWS:
            return _left(connection, run)
    used = connection.execute(
        "SELECT run, digest FROM used WHERE run = ? LIMIT ?", (run, STEP_ROWS)
    ).fetchall()
    connection.executemany("DELETE FROM used WHERE run = ? AND digest = ?", used)
    texts.drop_unused(connection, [digest for _, digest in used])
    if len(used) == STEP_ROWS:
        return _left(connection, run)
    connection.execute("DELETE FROM run WHERE number = ?", (run,))
    return True


def _left(connection: Any, run: int) -> bool:
    """What is left of a run is not one that could continue."""
    connection.execute("UPDATE run SET status = ? WHERE number = ?", (RunStatus.UNKEPT, run))
    return False


def delete_unused(connection: Any, *, texts: Texts, run: str) -> bool | None:
    """The same for one that is named by its id.

    Returns None if it is driven, waits, is needed by one that can continue, or is not there.
    """
    row = connection.execute(
        "SELECT number FROM run WHERE id = ? AND status != ? AND (owner IS NULL OR until_s < ?) "
        f"AND {_IS_NEEDED_BY_NONE}",
        (run, RunStatus.WAITING, time.time()),
    ).fetchone()
    return None if row is None else delete(connection, texts, row[0])


def give_space_back(connection: Any) -> bool:
    """Gives a little of the file's unused space back to the system. Returns False when there is no more."""
    before = _free_pages(connection)
    connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
    return 0 < _free_pages(connection) < before


def _free_pages(connection: Any) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
