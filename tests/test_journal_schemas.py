"""A journal of every older schema becomes one of today's, with all that was in it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from samovar.journal.base import RunStatus, VisitKey, VisitOutcome
from samovar.journal.codec import to_json
from samovar.journal.people import KeptQuestion
from samovar.journal.schema import APPLICATION, MIGRATIONS
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.writer import Writer
from tests.journal_schemas import OLDER

LONG = "x" * 5_000
HEAD = (
    '{"$":"RunHead","id":"r1","workflow":"w","path":{"$":"path","is":"/p/w.md"},"folder":"/p",'
    '"started_at":5.0,"variables":{"n":1}}'
)
FILLED = """
INSERT INTO run (id, workflow, status, message, started_at, touched_at, head, visits, evaluated, lease)
    VALUES ('r1', 'w', 'interrupted', 'why', 5.0, 9.0, :head, 2, 7, 3);
INSERT INTO visit VALUES (1, 1, 'A', '', 1, 'set', 6.0, 1, :short, NULL);
INSERT INTO visit VALUES (1, 2, 'B', 'Left', 1, 'shell', 7.0, 0, NULL, :digest);
INSERT INTO visit VALUES (1, 3, 'C', '', 2, 'shell', 8.0, 0, NULL, NULL);
INSERT INTO text VALUES (:digest, :long);
"""
"""What a journal of the first schema had in it."""


def make(file: Path, scripts: Sequence[str]) -> None:
    """A journal as an earlier version left it: made with the first schema, and brought to a later one."""
    long = to_json(VisitOutcome(value=LONG))
    values = {
        "head": HEAD,
        "short": to_json(VisitOutcome(value="short", sets={"a": 1})),
        "long": long,
        "digest": hashlib.sha256(long.encode()).hexdigest(),
    }
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(scripts[0])
    for statement in FILLED.strip().split(";\n"):
        connection.execute(statement.rstrip(";"), values)
    for script in scripts[1:]:
        connection.executescript(script)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(scripts)}")
    connection.close()


def tables(file: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    return sorted(rows)


def test_what_was_released_as_a_schema_never_changes() -> None:
    assert tuple(MIGRATIONS[: len(OLDER)]) == OLDER


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
@pytest.mark.parametrize("reads", [False, True])
def test_an_older_journal_is_brought_to_today_with_all_that_was_in_it(
    tmp_path: Path, version: int, reads: bool
) -> None:
    file = tmp_path / "j.db"
    make(file, (*OLDER, *MIGRATIONS[len(OLDER) :])[:version])
    if not reads:
        Writer(file).close()
    journal = SqliteJournal(file)
    [run] = journal.runs()
    assert (run.id, run.status, run.message) == ("r1", RunStatus.INTERRUPTED, "why")
    assert (run.path, run.folder, run.visits, run.tokens.evaluated) == (Path("/p/w.md"), "/p", 2, 7)
    assert journal.head("r1").variables == {"n": 1}
    visits = {str(one.intent.key): one for one in journal.visits("r1")}
    assert list(visits) == ["A", "B in branch Left", "C (visit 2)"]
    assert [one.outcome and one.outcome.value for one in visits.values()] == ["short", LONG, None]
    assert [one.intent.is_repeatable for one in visits.values()] == [True, False, False]
    Writer(tmp_path / "new.db").close()
    assert tables(file) == tables(tmp_path / "new.db")


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "j.db"
    make(file, OLDER)
    before = tables(file)
    broken = "CREATE TABLE another (x);\nCREATE TABLE run (y);\n"
    monkeypatch.setattr("samovar.journal.schema.MIGRATIONS", (*OLDER, broken))
    with pytest.raises(Exception, match="already exists"):
        Writer(file)
    assert tables(file) == before
    monkeypatch.undo()
    Writer(file).close()
    assert len(list(SqliteJournal(file).visits("r1"))) == 3


def test_questions_of_an_older_journal_get_numbers_in_the_order_of_their_visits(tmp_path: Path) -> None:
    file = tmp_path / "j.db"
    make(file, MIGRATIONS[:7])
    connection = sqlite3.connect(file)
    for path, line, nth in (("A", "", 1), ("B", "Left", 1), ("C", "", 2)):
        key = VisitKey(path=path, line=line, nth=nth)
        asked = to_json(KeptQuestion(run="r1", key=key, kind="approve", parts=((path, False),), asked_at=1.0))
        # What an earlier version wrote has no number in it.
        old = json.dumps({name: one for name, one in json.loads(asked).items() if name != "number"})
        connection.execute("INSERT INTO question VALUES (1, ?, ?, ?, ?, NULL)", (path, line, nth, old))
    connection.commit()
    connection.close()
    Writer(file).close()
    journal = SqliteJournal(file)
    assert [(one.number, one.text) for one in journal.people.asked("r1")] == [(1, "A"), (2, "B"), (3, "C")]
    journal.close()
