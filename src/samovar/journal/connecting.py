"""Opens the journal's file: for the one thread that writes, and for those who only read.

Above: `writer.py`, `sqlite.py`. Below: SQLite, the schema. Each pragma has its reason beside it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samovar.errors import JournalError
from samovar.journal.mounts import is_over_network
from samovar.journal.schema import MIGRATIONS, migrate, version_of

BUSY_S = 10.0
"""How long one process waits for another's transaction, which takes milliseconds."""


def connect(file: Path) -> sqlite3.Connection:
    """A connection that writes; makes the file and its tables if need be. Raises `JournalError`."""
    try:
        if file.exists() and not file.is_file():
            raise JournalError(f"{file} is not a regular file. Name another place with --journal.")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(file)
        connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise reason(error, file) from error
    try:
        prepare(connection, file)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | sqlite3.Error):
            raise reason(error, file) from error
        raise
    return connection


def prepare(connection: Any, file: Path) -> None:
    """Makes a connection to the journal's file one that writes, with today's tables."""
    version_of(connection, str(file))  # before anything is changed in what may be another program's
    # Space of what is removed can be given back bit by bit; only a new file takes this.
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # One process at a time checkpoints, under a lock of our own: SQLite before 3.51.3 can lose pages
    # where two do (the WAL-reset bug), and the one of this Python may be older.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    # The log needs memory that all processes share, which they do not have over a network.
    wanted = "DELETE" if is_over_network(file.parent) else "WAL"
    if not _has_mode(connection, wanted):
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA foreign_keys = ON")
    # Pages are read from the file, never mapped: a mapped file that another process shortens is a crash.
    connection.execute("PRAGMA mmap_size = 0")
    migrate(connection, str(file))


def _has_mode(connection: Any, wanted: str) -> bool:
    """Gives the file a journal mode; False if it cannot have that.

    Of several that open a new file at once, SQLite refuses some here without having them wait for the others.
    """
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            mode = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until_s:
                raise
            connection.execute("BEGIN IMMEDIATE")  # which waits for them
            connection.execute("COMMIT")
        else:
            return bool(mode == wanted.lower())


def is_there(file: Path) -> bool:
    """A journal, or something else, is there. Raises `JournalError` if its folder cannot be looked at."""
    try:
        return file.exists()
    except OSError as error:
        raise reason(error, file) from error


def connect_to_read(file: Path, *, is_again: bool = False) -> sqlite3.Connection | None:
    """A connection that cannot write; None if nothing was kept there yet. Raises `JournalError`.

    `is_again`: one that writes has put right what it found.
    """
    if not is_there(file):
        return None
    if not file.is_file():
        raise JournalError(f"{file} is not a regular file. Name another place with --journal.")
    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise reason(error, file) from error
    try:
        version = version_of(connection, str(file))
        if version == len(MIGRATIONS):
            return connection
        if not version:
            connection.close()
            return None
    except sqlite3.OperationalError as error:
        connection.close()
        if is_again or not is_unfinished(error):
            raise reason(error, file) from error
    except (JournalError, sqlite3.Error) as error:
        connection.close()
        raise reason(error, file) from error
    else:
        connection.close()
    # Of an earlier version, or left in the midst of a transaction by a process that was killed: a connection
    # that writes brings it to today's schema, or undoes what was not finished.
    connect(file).close()
    return connect_to_read(file, is_again=True)


def is_unfinished(error: sqlite3.Error) -> bool:
    """A process was killed while it wrote, and a connection that only reads may not put that right."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection | None]:
    """The same while the body reads, in which what fails is a `JournalError` too."""
    connection = connect_to_read(file)
    try:
        yield connection
    except (OSError, sqlite3.Error) as error:
        raise reason(error, file) from error
    finally:
        if connection is not None:
            connection.close()


def reason(error: BaseException, file: Path) -> JournalError:
    """What went wrong with the file, for a person."""
    if isinstance(error, JournalError):
        return error
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or text
    way = next((way for words, way in _WAYS if words in text.lower()), "Name another place with --journal.")
    return JournalError(f"The journal {file} cannot be used: {text}. {way}")


_ELSEWHERE = "Name another place with --journal, or leave it out."
_WAYS = (
    ("i/o error", "Its disk or file system refused it; everything written before is kept."),
    ("unable to open", f"It, or its folder, may not be written to. {_ELSEWHERE}"),
    ("no space", "Make room on that disk; everything written before is kept."),
    ("full", "Make room on that disk; everything written before is kept."),
    ("locked", "Another process has locked it for too long; `samovar doctor` shows which."),
    ("readonly", f"Its folder may not be written to. {_ELSEWHERE}"),
    ("read-only", f"It may not be written to. {_ELSEWHERE}"),
    ("permission", f"Its folder may not be written to. {_ELSEWHERE}"),
    (
        "malformed",
        "The file is damaged. Move it away to get a new one; `sqlite3 FILE .recover` may help.",
    ),
    ("not a database", f"It is another kind of file. {_ELSEWHERE}"),
)
"""What to do, by words of what SQLite and the system say."""


def _make_private(file: Path) -> None:
    """The file is there, and for its user alone; SQLite gives its own files beside it the same rights."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    os.close(descriptor)
