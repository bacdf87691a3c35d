"""Puts what the log of the journal has into its file: one process at a time, and never beside a reset.

Above: `writer.py`. Below: SQLite, a lock on a file of its own. SQLite 3.7.0 to 3.51.2 can lose pages if two
connections checkpoint while a third one starts the log again. So no connection checkpoints by itself, and
this does under a lock that all processes share, with TRUNCATE, which keeps every writer out meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samovar.journal.kill_points import KillPoint, reach

CHECKPOINT_BYTES = 4_000_000
"""The log is put into the file when it is this long."""


class Checkpointer:
    """Checkpointer of one process. Mutable: how long the log was when it was last looked at."""

    def __init__(self, file: Path) -> None:
        self._log = file.with_name(file.name + "-wal")
        self._lock = file.with_name(file.name + "-checkpoint")

    def look(self, connection: Any, *, at_end: bool = False) -> None:
        """Checkpoints if the log is long, or at the end of the process; not if another process does."""
        try:
            length = self._log.stat().st_size
        except OSError:
            return
        if length < CHECKPOINT_BYTES and not (at_end and length):
            return
        with self._locked() as is_ours:
            if is_ours:
                reach(KillPoint.CHECKPOINT, soon=True)
                with contextlib.suppress(sqlite3.OperationalError):  # somebody reads: the next time then
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        try:
            import fcntl
        except ImportError:  # Windows: the file cannot be opened by two for writing at once
            yield False
            return
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield False
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)
