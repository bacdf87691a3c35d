"""The journal on disk: one SQLite file for all runs of a user, or where `--journal` says.

Above: `app.py`, which makes it; the doors. Below: `writer.py`, which has the only thread that writes;
`texts.py`, which keeps long outcomes once. Readers have connections of their own that cannot write.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from samovar.background import beside
from samovar.errors import CalledOffError, JournalError, LeaseError, NotFoundError
from samovar.errors.durations import lasting
from samovar.journal.base import (
    ForkEnds,
    Intent,
    KeptEnd,
    KeptStep,
    KeptVisit,
    RunHead,
    RunStatus,
    RunSummary,
    VisitKey,
)
from samovar.journal.connecting import is_there, reading
from samovar.journal.late_writer import LateWriter
from samovar.journal.leases import LEASE_S, owner, renew_always
from samovar.journal.proofs import Proofs
from samovar.journal.pruning import Pruner, Retention, delete_unused, give_space_back
from samovar.journal.row_key import KeptRow, RowKey
from samovar.journal.rows import begin_row, earlier, newest, put_row
from samovar.journal.sqlite_opened import Opened, forks_of, opened
from samovar.journal.sqlite_people import CANCELLED, Looking, SqlitePeople
from samovar.journal.sqlite_run import SqliteRun
from samovar.journal.summaries import SUMMARY, summary_of
from samovar.journal.texts import Texts, cut
from samovar.journal.writer import Writer

_VISITS = (
    "SELECT path, line, nth, number, verb, entered_at, repeatable, outcome, text FROM visit "
    "WHERE run = (SELECT number FROM run WHERE id = ?) "
    "AND (number > ? OR number IN (SELECT value FROM json_each(?))) ORDER BY number, path"
)
_STEPS = (
    "SELECT path, line, nth, target, label, at FROM step "
    "WHERE run = (SELECT number FROM run WHERE id = ?) ORDER BY number"
)


class SqliteJournal:
    """See `base.Journal`. Opens its file with the first run that is kept; mutable in that alone."""

    def __init__(
        self,
        file: Path,
        *,
        retention: Retention | None = None,
        open_writer: Callable[[Path], Writer] = Writer,
    ) -> None:
        """`retention`: how much is kept; None: everything. `open_writer` makes what writes."""
        self.file, self._retention = file, retention
        self._texts = Texts(file.with_name(file.name + ".values"))
        self._late = LateWriter(file, open_writer)
        self._looking = Looking(file)
        self.people = SqlitePeople(file, self._late.now)
        proofs = Proofs(file)
        self.proof, self.is_proved = proofs.of, proofs.is_of

    @property
    def is_there(self) -> bool:
        """Something was kept in it. Raises `JournalError` if its folder cannot be looked at."""
        return is_there(self.file)

    def close(self) -> None:
        """All is written, and the file is given back."""
        self._looking.close()
        self._late.close()

    @asynccontextmanager
    async def begin(self, head: RunHead) -> AsyncIterator[SqliteRun]:
        """See `base.Journal`."""
        writer, who, now_s, kept = await self._late.get(), owner(), time.time(), cut(head)

        def insert(connection: Any) -> int:
            begin_row(connection, head.row)
            connection.execute(
                "INSERT INTO run (id, workflow, status, started_at, touched_at, head, head_text, path, "
                "folder, owner, lease, until_s, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
                (
                    head.id,
                    head.workflow,
                    RunStatus.RUNNING,
                    head.started_at,
                    now_s,
                    kept.inline or "",
                    kept.digest,
                    None if head.path is None else str(head.path),
                    head.folder,
                    who,
                    now_s + LEASE_S,
                    head.origin.run if head.origin else None,
                ),
            )
            number = int(connection.execute("SELECT last_insert_rowid()").fetchone()[0])
            put_row(connection, number, head.row)
            self._texts.keep(connection, number, kept)
            return number

        with anyio.CancelScope(shield=True):  # once it is written, somebody must give it back
            number = await writer.write(insert)
        if self._retention is not None:
            writer.when_idle(Pruner(self._texts, self._retention).step)
        new = Opened(number=number, lease=1)
        async with self._driven(SqliteRun(writer, self._texts, self._looking, head, new)) as run:
            yield run

    @asynccontextmanager
    async def reopen(self, run: str) -> AsyncIterator[SqliteRun]:
        """See `base.Journal`."""
        writer, who = await self._late.get(), owner()

        def take(connection: Any) -> tuple[int, int]:
            now_s = time.time()
            found = connection.execute(
                "SELECT number, lease, owner, until_s, status FROM run WHERE id = ?", (run,)
            ).fetchone()
            if found is None:
                raise NotFoundError("run", run)
            number, lease, holder, until_s, status = found
            if status == RunStatus.UNKEPT:
                raise JournalError(f"Run {run} went on without being kept: nobody knows what it did then.")
            if holder is not None and until_s > now_s:
                raise LeaseError(
                    f"Run {run} is driven by another process ({holder}). It can be taken over in "
                    f"{lasting(until_s - now_s)} if that process has ended.",
                    until_s=until_s,
                )
            connection.execute(
                "UPDATE run SET owner = ?, lease = ?, until_s = ?, status = ?, touched_at = ?, message = '', "
                "ended_at = NULL, wish = NULL WHERE number = ?",
                (who, lease + 1, now_s + LEASE_S, RunStatus.RUNNING, now_s, number),
            )
            return number, lease + 1

        with anyio.CancelScope(shield=True):
            number, lease = await writer.write(take, is_synced=True)
        head, kept = self.head(run), self._earlier(run, number, lease)
        async with self._driven(SqliteRun(writer, self._texts, self._looking, head, kept)) as driven:
            yield driven

    def _earlier(self, run: str, number: int, lease: int) -> Opened:
        """What is there of a run, for the process that has just taken it."""
        visits = tuple(self.visits(run))
        with self._reading(run) as connection:
            return opened(connection, number, lease, visits)

    def remove(self, runs: Sequence[str]) -> Sequence[str]:
        """See `base.Journal`."""
        if not self.file.exists():
            return ()
        writer, removed = self._late.now(), []
        for run in runs:
            is_gone: bool | None = False
            while is_gone is False:
                is_gone = writer.write_now(partial(delete_unused, texts=self._texts, run=run))
            if is_gone:
                removed.append(run)
        writer.write_now(self._texts.sweep)
        while writer.write_now(give_space_back):
            pass
        return removed

    @asynccontextmanager
    async def _driven(self, run: SqliteRun) -> AsyncIterator[SqliteRun]:
        async def call_off() -> None:
            await run.asked.cancelled()
            if not run.is_over:
                raise CalledOffError(CANCELLED)

        try:
            async with beside(lease=partial(renew_always, run.renew), wish=call_off):
                yield run
        except CalledOffError:
            with anyio.CancelScope(shield=True):
                await run.end(RunStatus.CANCELLED, CANCELLED)
            raise
        finally:
            run.give_back()

    async def of_row(self, key: RowKey) -> KeptRow | None:
        """See `base.Journal`."""
        return await (await self._late.get()).write(partial(newest, key=key))  # type: ignore[no-any-return]

    async def before_row(self, key: RowKey) -> KeptRow | None:
        """See `base.Journal`."""
        return await (await self._late.get()).write(partial(earlier, key=key))  # type: ignore[no-any-return]

    # Reading.

    def runs(self, *, most: int | None = None) -> Iterator[RunSummary]:
        """See `base.Journal`."""
        with reading(self.file) as connection:
            if connection is None:
                return
            rows = connection.execute(
                f"{SUMMARY} ORDER BY started_at DESC, number DESC LIMIT ?", (-1 if most is None else most,)
            ).fetchall()
        now_s = time.time()
        for row in rows:
            yield summary_of(row, now_s)

    def summary(self, run: str) -> RunSummary:
        """See `base.Journal`."""
        with self._reading(run) as connection:
            return summary_of(connection.execute(f"{SUMMARY} WHERE id = ?", (run,)).fetchone(), time.time())

    def newest(self, workflow: Path) -> RunSummary | None:
        """See `base.Journal`."""
        with reading(self.file) as connection:
            if connection is None:
                return None
            row = connection.execute(
                f"{SUMMARY} WHERE path = ? ORDER BY started_at DESC, number DESC LIMIT 1", (str(workflow),)
            ).fetchone()
        return None if row is None else summary_of(row, time.time())

    def head(self, run: str) -> RunHead:
        """See `base.Journal`."""
        with self._reading(run) as connection:
            row = connection.execute("SELECT head, head_text FROM run WHERE id = ?", (run,)).fetchone()
            head = self._texts.value(connection, *row)
        if not isinstance(head, RunHead):
            raise JournalError(f"The beginning of run {run} cannot be read.")
        return head

    def visits(self, run: str, *, after: int = 0, also: Sequence[int] = ()) -> Iterator[KeptVisit]:
        """See `base.Journal`."""
        with self._reading(run) as connection:
            for row in connection.execute(_VISITS, (run, after, json.dumps(also))):
                yield self._visit(connection, row)

    def forks(self, run: str) -> Iterator[ForkEnds]:
        """See `base.Journal`."""
        with self._reading(run) as connection:
            [number] = connection.execute("SELECT number FROM run WHERE id = ?", (run,)).fetchone()
            yield from forks_of(connection, number)

    def steps(self, run: str) -> Iterator[KeptStep]:
        """See `base.Journal`."""
        with self._reading(run) as connection:
            for path, line, nth, target, label, at in connection.execute(_STEPS, (run,)):
                source = VisitKey(path=path, line=line, nth=nth)
                yield KeptStep(source=source, target=target or None, label=label, at=at)

    def ending(self, run: str) -> KeptEnd | None:
        """See `base.Journal`."""
        with self._reading(run) as connection:
            row = connection.execute("SELECT ending, ending_text FROM run WHERE id = ?", (run,)).fetchone()
            end = self._texts.value(connection, *row)
        return end if isinstance(end, KeptEnd) else None

    @contextmanager
    def _reading(self, run: str) -> Iterator[Any]:
        """A connection that cannot write. Raises `NotFoundError` if there is no such run."""
        with reading(self.file) as connection:
            if connection is None:
                raise NotFoundError("run", run)
            if connection.execute("SELECT 1 FROM run WHERE id = ?", (run,)).fetchone() is None:
                raise NotFoundError("run", run, (one.id for one in self.runs(most=200)))
            yield connection

    def _visit(self, connection: Any, row: Sequence[Any]) -> KeptVisit:
        path, line, nth, number, verb, entered_at, repeatable, outcome, digest = row
        intent = Intent(
            key=VisitKey(path=path, line=line, nth=nth),
            number=number,
            verb=verb,
            entered_at=entered_at,
            is_repeatable=bool(repeatable),
        )
        return KeptVisit(intent=intent, outcome=self._texts.value(connection, outcome, digest))
