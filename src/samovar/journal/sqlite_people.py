"""Questions to people, and wishes that a run ends, in the journal on disk.

Above: `sqlite.py`, `sqlite_run.py`. Below: the writer. A process that waits for an answer, or might be asked
to end its run, looks several times a second: SQLite does not report what another process has written, and
one look takes microseconds.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio

from samovar.errors import JournalError, NotFoundError
from samovar.journal.codec import from_json, to_json
from samovar.journal.connecting import connect_to_read, reading
from samovar.journal.people import KeptQuestion
from samovar.journal.run_status import RunStatus
from samovar.journal.summaries import CAN_GO_ON
from samovar.journal.visit_parts import VisitKey
from samovar.journal.writer import Writer

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S = 0.25
"""How long it takes at most until a process sees what another one has written for it."""
CANCEL = "cancel"
"""The wish that a run ends."""
_OPEN = (
    f"FROM question JOIN run ON run.number = question.run WHERE answer IS NULL AND {CAN_GO_ON} "
    "AND EXISTS (SELECT 1 FROM visit WHERE "
    "visit.run = question.run AND visit.path = question.path AND visit.line = question.line "
    "AND visit.nth = question.nth AND visit.outcome IS NULL AND visit.text IS NULL)"
)
_KEY = "run = ? AND path = ? AND line = ? AND nth = ?"


class Looking:
    """Looks into the journal while a process waits. Mutable: its connection, opened with the first look."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None

    async def until(self, look: Callable[[Any], T | None]) -> T:
        """What `look` gives, given a connection that cannot write, once it is not None."""
        while True:
            await anyio.sleep(LOOK_S)
            try:
                if self._connection is None:
                    self._connection = connect_to_read(self._file)
                found = None if self._connection is None else look(self._connection)
            except (JournalError, sqlite3.Error) as error:  # what is written next tells of what lasts
                log.debug("The journal cannot be looked into: %s", error)
                self.close()
                continue
            if found is not None:
                return found

    def close(self) -> None:
        """Gives the file back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class SqliteAsked:
    """See `people.AskedPeople`. Mutable: the answers that are not taken yet."""

    def __init__(
        self,
        writer: Writer,
        looking: Looking,
        number: int,
        check: Callable[[Any], None],
        answers: Mapping[VisitKey, str],
    ) -> None:
        """`check` raises if the process does not drive the run any more."""
        self._writer, self._looking, self._number, self._check = writer, looking, number, check
        self._answers = dict(answers)

    def was_answered(self, key: VisitKey) -> bool:
        return key in self._answers

    async def ask(self, question: KeptQuestion) -> str | None:
        if (answer := self._answers.pop(question.key, None)) is not None:
            return answer

        def insert(connection: Any) -> None:
            self._check(connection)
            connection.execute(
                "INSERT INTO question (run, path, line, nth, asked, number) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET asked = excluded.asked, answer = NULL, number = excluded.number",
                (*_of(self._number, question.key), to_json(question), self._numbered(connection, question)),
            )

        await self._writer.write(insert)
        return None

    def _numbered(self, connection: Any, question: KeptQuestion) -> int:
        """The number of a question: its own, if a process that goes on with the run asks it again."""
        row = connection.execute(
            f"SELECT asked, number FROM question WHERE {_KEY} AND answer IS NULL",
            _of(self._number, question.key),
        ).fetchone()
        if row is not None and from_json(row[0]).is_like(question):
            return int(row[1])
        [(last,)] = connection.execute(
            "SELECT coalesce(max(number), 0) FROM question WHERE run = ?", (self._number,)
        ).fetchall()
        return int(last) + 1

    async def answered(self, key: VisitKey) -> str:
        def look(connection: Any) -> str | None:
            row = connection.execute(
                f"SELECT answer FROM question WHERE {_KEY}", _of(self._number, key)
            ).fetchone()
            return None if row is None or row[0] is None else str(row[0])

        return await self._looking.until(look)

    async def cancelled(self) -> None:
        """Returns once somebody wants the run to end."""

        def look(connection: Any) -> bool | None:
            row = connection.execute("SELECT wish FROM run WHERE number = ?", (self._number,)).fetchone()
            return True if row is not None and row[0] == CANCEL else None

        await self._looking.until(look)


def answers_of(connection: Any, number: int) -> Mapping[VisitKey, str]:
    """The answers that a run has been given, by visit."""
    rows = connection.execute(
        "SELECT path, line, nth, answer FROM question WHERE run = ? AND answer IS NOT NULL", (number,)
    )
    return {VisitKey(path=path, line=line, nth=nth): answer for path, line, nth, answer in rows}


class SqlitePeople:
    """See `people.People`."""

    def __init__(self, file: Path, writer: Callable[[], Writer]) -> None:
        """`writer`: gives that of the journal, in a thread that may wait."""
        self._file, self._writer = file, writer

    def questions(self, run: str | None = None) -> Sequence[KeptQuestion]:
        of_run = "" if run is None else " AND run.id = ?"
        found = self._found(f"{_OPEN}{of_run}", () if run is None else (run,))
        return sorted(found, key=lambda one: one.asked_at)

    def asked(self, run: str) -> Sequence[KeptQuestion]:
        found = self._found("FROM question JOIN run ON run.number = question.run WHERE run.id = ?", (run,))
        return sorted(found, key=lambda one: one.number)

    def _found(self, where: str, values: Sequence[str]) -> Sequence[KeptQuestion]:
        with reading(self._file) as connection:
            if connection is None:
                return ()
            rows = connection.execute(f"SELECT asked, question.number {where}", values).fetchall()
        return [replace(from_json(asked), number=number) for asked, number in rows]

    def answer(self, question: KeptQuestion, text: str) -> bool:
        def update(connection: Any) -> bool:
            [row] = _rows(connection, question.run)
            is_open = connection.execute(
                f"SELECT 1 {_OPEN} AND question.run = ? AND question.number = ?", (row[0], question.number)
            ).fetchone()
            if is_open is None:
                return False
            connection.execute(
                f"UPDATE question SET answer = ? WHERE {_KEY}", (text, *_of(row[0], question.key))
            )
            return True

        return bool(self._writer().write_now(update, is_synced=True))

    def is_taken(self, question: KeptQuestion) -> bool:
        with reading(self._file) as connection:
            if connection is None:
                return False
            row = connection.execute(
                "SELECT 1 FROM visit WHERE run = (SELECT number FROM run WHERE id = ?) AND path = ? "
                "AND line = ? AND nth = ? AND (outcome IS NOT NULL OR text IS NOT NULL)",
                _of(question.run, question.key),
            ).fetchone()
        return row is not None

    def cancel(self, run: str) -> bool:
        def update(connection: Any) -> bool:
            [(number, status, owner, until_s)] = _rows(connection, run)
            now_s = time.time()
            if RunStatus(status).is_over:
                return True
            if owner is not None and until_s > now_s:
                connection.execute("UPDATE run SET wish = ? WHERE number = ?", (CANCEL, number))
                return False
            connection.execute(  # with another lease: a process that was stopped must not go on with it
                "UPDATE run SET status = 'cancelled', ended_at = ?, touched_at = ?, owner = NULL, "
                "until_s = 0, lease = lease + 1, message = ? WHERE number = ?",
                (now_s, now_s, CANCELLED, number),
            )
            return True

        return bool(self._writer().write_now(update))


CANCELLED = "It was cancelled by `samovar runs cancel`."
"""Why a run ended."""


def _rows(connection: Any, run: str) -> Iterable[tuple[int, str, str | None, float]]:
    rows = connection.execute(
        "SELECT number, status, owner, until_s FROM run WHERE id = ?", (run,)
    ).fetchall()
    if not rows:
        raise NotFoundError("run", run)
    found: Iterable[tuple[int, str, str | None, float]] = rows
    return found


def _of(run: int | str, key: VisitKey) -> tuple[int | str, str, str, int]:
    return run, key.path, key.line, key.nth
