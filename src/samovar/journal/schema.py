"""The tables of the journal on disk, and how older ones become today's.

Above: `sqlite.py`. Below: SQLite. `PRAGMA user_version` is the number of the schema; each step of
`MIGRATIONS` leads to the next. A file of a later version is refused, and left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from samovar.errors import JournalError
from samovar.journal import begun_answers, rows

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
VERSION_2 = """
ALTER TABLE run ADD COLUMN path TEXT;       -- of the workflow's file, so that lists need no head
ALTER TABLE run ADD COLUMN folder TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN head_text TEXT;  -- where a long head is: the digest in the table text
UPDATE run SET path = json_extract(head, '$.path.is'), folder = json_extract(head, '$.folder');
CREATE INDEX visit_text ON visit (text) WHERE text IS NOT NULL;
CREATE INDEX run_head_text ON run (head_text) WHERE head_text IS NOT NULL;
"""
VERSION_3 = """
ALTER TABLE run ADD COLUMN ending TEXT;     -- what it ended with, as codec.py writes it
ALTER TABLE run ADD COLUMN ending_text TEXT;  -- where a long one is: the digest in the table text
CREATE INDEX visit_number ON visit (run, number);
CREATE TABLE step (
    number      INTEGER PRIMARY KEY,  -- in the order in which they were taken
    run         INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
    path        TEXT NOT NULL,        -- of the state that it leaves, with line and nth as in visit
    line        TEXT NOT NULL,
    nth         INTEGER NOT NULL,
    target      TEXT NOT NULL,        -- path of the state that it leads to; empty: the end
    label       TEXT NOT NULL,
    at          REAL NOT NULL,
    UNIQUE (run, path, line, nth, target)
);
CREATE TABLE used (
    run         INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
    digest      TEXT NOT NULL,        -- of a text that the run needs
    PRIMARY KEY (run, digest)
) WITHOUT ROWID;
CREATE INDEX used_digest ON used (digest);
INSERT OR IGNORE INTO used (run, digest) SELECT run, text FROM visit WHERE text IS NOT NULL;
INSERT OR IGNORE INTO used (run, digest) SELECT number, head_text FROM run WHERE head_text IS NOT NULL;
"""
VERSION_4 = """
ALTER TABLE run ADD COLUMN origin TEXT;    -- the id of the run that it takes outcomes from
ALTER TABLE visit ADD COLUMN inputs TEXT;  -- digest of what it was performed with; NULL: there is none
"""
VERSION_5 = """
ALTER TABLE run ADD COLUMN wish TEXT;         -- what somebody wants of the process that drives it
ALTER TABLE run ADD COLUMN driven_s REAL NOT NULL DEFAULT 0;  -- how long processes have driven it
CREATE TABLE question (
    run         INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
    path        TEXT NOT NULL,
    line        TEXT NOT NULL,
    nth         INTEGER NOT NULL,
    asked       TEXT NOT NULL,     -- the question, as codec.py writes it
    answer      TEXT,              -- NULL: nobody has answered
    PRIMARY KEY (run, path, line, nth)
) WITHOUT ROWID;
CREATE TABLE fork (
    run         INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
    path        TEXT NOT NULL,     -- of the visit that the branches began with
    line        TEXT NOT NULL,
    nth         INTEGER NOT NULL,
    ends        TEXT NOT NULL,     -- how its branches ended, where that depends on which was first
    PRIMARY KEY (run, path, line, nth)
) WITHOUT ROWID;
"""
VERSION_6 = """
CREATE TABLE body (                -- with rows of its own: in an index, one of 1 kB takes a page and a half
    digest      TEXT PRIMARY KEY,  -- SHA-256 of the text in UTF-8
    body        TEXT               -- NULL: it is in a file of that name beside the journal
);
INSERT INTO body (digest, body) SELECT digest, body FROM text;
DROP TABLE text;
ALTER TABLE body RENAME TO text;
"""
VERSION_8 = """
ALTER TABLE question ADD COLUMN number INTEGER NOT NULL DEFAULT 0;  -- in the run, as asked, from 1
UPDATE question SET number = (
    SELECT count(*) FROM question AS other JOIN visit AS before USING (run, path, line, nth)
    WHERE other.run = question.run AND before.number <= (
        SELECT visit.number FROM visit WHERE visit.run = question.run AND visit.path = question.path
        AND visit.line = question.line AND visit.nth = question.nth
    )
);
"""
APPLICATION = 0x53414D4F
"""`PRAGMA application_id` of a journal: "SAMO". A database of another program has another one, or none."""
MIGRATIONS: Sequence[str] = (
    VERSION_1,
    VERSION_2,
    VERSION_3,
    VERSION_4,
    VERSION_5,
    VERSION_6,
    rows.TABLE,
    VERSION_8,
    begun_answers.TABLE,
)
"""Each leads from the schema of its number, from 0 on, to the next."""


def version_of(connection: Any, place: str) -> int:
    """The number of a journal's schema; 0 for an empty file.

    Raises `JournalError` for a database that is not a journal, and for a journal of a later version.
    """
    found, application, tables = _marks(connection)
    if application != APPLICATION and (application, found, tables) != (0, 0, 0):
        raise JournalError(f"{place} is a database of another program. Name another place with --journal.")
    if found > len(MIGRATIONS):
        raise JournalError(
            f"{place} was written by a later version of Samovar (its schema is {found}, this version knows "
            f"{len(MIGRATIONS)}). Update Samovar, or name another place with --journal."
        )
    return found


def _marks(connection: Any) -> tuple[int, int, int]:
    """Schema, application and count of tables, all of one moment: another process may be making the file."""
    is_own = not connection.in_transaction
    if is_own:
        connection.execute("BEGIN")
    try:
        tables, found, application = (
            int(connection.execute(query).fetchone()[0])
            for query in (
                "SELECT count(*) FROM sqlite_master",
                "PRAGMA user_version",
                "PRAGMA application_id",
            )
        )
    finally:
        if is_own:
            connection.execute("COMMIT")
    return found, application, tables


def migrate(connection: Any, place: str) -> None:
    """Brings a journal to today's schema, in one transaction. Raises as `version_of` does."""
    if version_of(connection, place) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = version_of(connection, place)  # another process may have been quicker
        for step in MIGRATIONS[found:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """The statements of a script: `executescript` would commit before it begins."""
    found, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found
