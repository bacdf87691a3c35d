"""Looks at the journal's file as it is, for a check-up: its size, whether it is damaged, who uses it.

Above: `samovar doctor`. Below: SQLite, by a connection that cannot write. Nothing is made, moved to a new
schema or repaired.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.errors import JournalError
from samovar.journal.connecting import is_unfinished, reason
from samovar.journal.schema import MIGRATIONS, version_of

CHECK_S = 3.0
"""After this long the check for damage is broken off."""
BUSY_S = 1.0
"""How long another process's lock is waited for."""
STEPS = 100_000
"""Of SQLite's machine, between two looks at the clock."""
KNOWN_SCHEMA = len(MIGRATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLook:
    """What was found."""

    size_bytes: int
    """With its log and its long values, in the files beside it."""
    schema: int
    """The number of its schema; 0: an empty file."""
    runs: int
    driven: tuple[str, ...]
    """The runs that a process drives now."""
    damage: str | None
    """What SQLite says of it; None: it is whole, as far as a quick check sees."""
    is_checked: bool = True
    """False: the check took too long."""


def look(file: Path, *, check_s: float = CHECK_S) -> JournalLook:
    """Raises `JournalError` for a file that cannot be read, or is not a journal that this version knows."""
    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)) as connection:
            return _look(connection, file, check_s)
    except sqlite3.OperationalError as error:
        if is_unfinished(error):
            raise JournalError(
                f"The journal {file} was being written when a process was killed. The next command that uses "
                "it, such as `samovar runs`, puts that right."
            ) from error
        raise reason(error, file) from error
    except (OSError, sqlite3.Error) as error:
        raise reason(error, file) from error


def _look(connection: Any, file: Path, check_s: float) -> JournalLook:
    schema = version_of(connection, str(file))
    runs, driven = 0, []
    if schema:
        runs = int(connection.execute("SELECT count(*) FROM run").fetchone()[0])
        query = "SELECT id FROM run WHERE owner IS NOT NULL AND until_s > ?"
        driven = [str(row[0]) for row in connection.execute(query, (time.time(),))]
    damage, is_checked = _damage(connection, check_s)
    return JournalLook(
        size_bytes=sum(_sizes(file)),
        schema=schema,
        runs=runs,
        driven=tuple(driven),
        damage=damage,
        is_checked=is_checked,
    )


def _damage(connection: Any, check_s: float) -> tuple[str | None, bool]:
    """What a quick check says, and whether it came to its end."""
    until = time.monotonic() + check_s
    connection.set_progress_handler(lambda: time.monotonic() >= until, STEPS)
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None, False
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return (None if said == "ok" else said), True


def _sizes(file: Path) -> Iterator[int]:
    beside = [file.with_name(file.name + end) for end in ("", "-wal", "-shm", "-journal")]
    with suppress(OSError):
        beside += file.with_name(file.name + ".values").iterdir()
    for one in beside:
        with suppress(OSError):
            yield one.stat().st_size


def users_of(file: Path) -> list[str]:
    """The other processes of this user that have the file open, for a person: `python (4711)`."""
    import psutil

    whole, found = os.path.realpath(file), []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(one.path == whole for one in process.open_files()):
                found.append(f"{process.info['name']} ({process.pid})")
    return found
