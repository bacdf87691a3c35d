"""The tables of the journal on disk, and how older ones become today's.

Above: `sqlite.py`. Below: SQLite. `PRAGMA user_version` is the number of the schema; each step of
`MIGRATIONS` leads to the next. A file of a later version is refused, and left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from samovar.errors import JournalError

VERSION_1 = """
CREATE TABLE run (
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    workflow    TEXT NOT NULL,
    status      TEXT NOT NULL,
    message     TEXT NOT NULL DEFAULT '',
    started_at  REAL NOT NULL,
    touched_at  REAL NOT NULL,
    ended_at    REAL,
    head        TEXT NOT NULL,     -- what it begins with, as codec.py writes it
    visits      INTEGER NOT NULL DEFAULT 0,
    evaluated   INTEGER NOT NULL DEFAULT 0,
    reused      INTEGER NOT NULL DEFAULT 0,
    generated   INTEGER NOT NULL DEFAULT 0,
    reasoning   INTEGER NOT NULL DEFAULT 0,
    owner       TEXT,              -- who holds the lease; NULL: nobody
    lease       INTEGER NOT NULL DEFAULT 0,  -- how often it was taken
    until_s     REAL NOT NULL DEFAULT 0
);
CREATE INDEX run_started ON run (started_at);
CREATE TABLE visit (
    run         INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    path        TEXT NOT NULL,
    line        TEXT NOT NULL,
    nth         INTEGER NOT NULL,
    verb        TEXT,
    entered_at  REAL NOT NULL,
    repeatable  INTEGER NOT NULL,
    outcome     TEXT,              -- as codec.py writes it; NULL: it has none, or `text` has it
    text        TEXT,              -- where a long outcome is: the digest in the table text
    PRIMARY KEY (run, path, line, nth)
) WITHOUT ROWID;
CREATE TABLE text (
    digest      TEXT PRIMARY KEY,  -- SHA-256 of the text in UTF-8
    body        TEXT               -- NULL: it is in a file of that name beside the journal
) WITHOUT ROWID;
"""
MIGRATIONS: Sequence[str] = (VERSION_1,)
"""Each leads from the schema of its number, from 0 on, to the next."""


def migrate(connection: Any, place: str) -> None:
    """Brings a journal to today's schema, in one transaction. Raises `JournalError` for a later one."""
    found = _version(connection)
    if found == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)  # another process may have been quicker
        if found > len(MIGRATIONS):
            raise too_new(place, found)
        for step in MIGRATIONS[found:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def too_new(place: str, found: int) -> JournalError:
    """What is said of a journal of a later version."""
    return JournalError(
        f"{place} was written by a later version of Samovar (its schema is {found}, this version knows "
        f"{len(MIGRATIONS)}). Update Samovar, or name another place with --journal."
    )


def _version(connection: Any) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """The statements of a script: `executescript` would commit before it begins."""
    found, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found
