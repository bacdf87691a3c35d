"""One run in the journal on disk, for the process that drives it.

Above: `sqlite.py`, which opens it. Below: the writer, texts. Each write looks at the lease first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from samovar.errors import JournalError, LeaseLostError
from samovar.generation import TokenCounts
from samovar.journal.base import (
    ForkEnds,
    Intent,
    KeptEnd,
    KeptStep,
    KeptVisit,
    RunHead,
    RunStatus,
    VisitKey,
    VisitOutcome,
)
from samovar.journal.codec import to_json
from samovar.journal.keys import key_beside
from samovar.journal.kill_points import KillPoint, reach, reach_within
from samovar.journal.leases import LEASE_S
from samovar.journal.opened import Opened
from samovar.journal.sqlite_people import Looking, SqliteAsked
from samovar.journal.texts import Texts, cut
from samovar.journal.writer import Writer

log = logging.getLogger(__name__)
MOST_STEPS = 200
"""Steps that wait for the next write."""


_GIVEN_UP = to_json(VisitOutcome(is_given_up=True))
_GIVE_UP = (
    "UPDATE visit SET outcome = ? WHERE run = ? AND outcome IS NULL AND text IS NULL "
    "AND path BETWEEN ? AND ? AND (? = '' OR line = ? OR line BETWEEN ? AND ?)"
)
"""Visits that have not ended, of paths that begin with a text, in some branches."""
_LAST = "\U0010ffff"


class SqliteRun:
    """See `base.KeptRun`. Mutable: whether it is over, how many visits there are, and what is not written
    yet: steps, and for how long it was driven."""

    def __init__(
        self, writer: Writer, texts: Texts, looking: Looking, head: RunHead, earlier: Opened
    ) -> None:
        self.head, self.kept = head, earlier.visits
        self.driven_s = earlier.driven_s
        self.asked = SqliteAsked(writer, looking, earlier.number, self._check, earlier.answers)
        self._writer, self._texts = writer, texts
        self._number, self._lease = earlier.number, earlier.lease
        self._known = {one.intent.key: one for one in earlier.visits}
        self._forks = earlier.forks
        self.is_over = False
        self._last = max((one.intent.number for one in earlier.visits), default=0)
        self._steps: list[KeptStep] = []
        self._counted_s = time.monotonic()

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return self._known.get(key)

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        return self._forks.get(key)

    async def intend(self, intent: Intent) -> None:
        key = intent.key
        if key not in self._known:  # in this process, the run's own numbers begin again from 1
            self._last += 1
        number = self._last

        steps = self._take_steps()

        def insert(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            connection.execute(
                "INSERT INTO visit (run, number, path, line, nth, verb, entered_at, repeatable) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET outcome = NULL, text = NULL, "
                "entered_at = excluded.entered_at",
                (
                    self._number,
                    number,
                    key.path,
                    key.line,
                    key.nth,
                    intent.verb,
                    intent.entered_at,
                    intent.is_repeatable,
                ),
            )

        reach(KillPoint.BEFORE_INTENT)
        await self._writer.write(insert, is_synced=not intent.is_repeatable)
        reach_within(key.path, key.line)

    async def leave(self, key: VisitKey, outcome: VisitOutcome, *, within: str | None = None) -> None:
        kept, steps = cut(outcome), self._take_steps()
        tokens = (outcome.figures.tokens if outcome.figures else TokenCounts()) + outcome.spent

        def update(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            self._texts.keep(connection, self._number, kept)
            connection.execute(
                "UPDATE visit SET outcome = ?, text = ?, inputs = ? WHERE run = ? AND path = ? AND line = ? "
                "AND nth = ?",
                (kept.inline, kept.digest, outcome.inputs or None, self._number, key.path, key.line, key.nth),
            )
            connection.execute(
                "UPDATE run SET visits = visits + 1, touched_at = ?, evaluated = evaluated + ?, "
                "reused = reused + ?, generated = generated + ?, reasoning = reasoning + ? WHERE number = ?",
                (
                    time.time(),
                    tokens.evaluated,
                    tokens.reused,
                    tokens.generated,
                    tokens.reasoning,
                    self._number,
                ),
            )
            if within is not None:
                for mark in "/[":
                    self._give_up(connection, within + mark, key.line)

        reach(KillPoint.BEFORE_OUTCOME)
        await self._writer.write(update)
        reach(KillPoint.AFTER_OUTCOME)

    async def decide(self, fork: ForkEnds) -> None:
        text, key, steps = to_json(fork), fork.key, self._take_steps()

        def insert(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            connection.execute(
                "INSERT OR REPLACE INTO fork (run, path, line, nth, ends) VALUES (?, ?, ?, ?, ?)",
                (self._number, key.path, key.line, key.nth, text),
            )
            for line in fork.lost:
                self._give_up(connection, fork.prefix, line)

        await self._writer.write(insert)

    def _give_up(self, connection: Any, begin: str, line: str) -> None:
        """What has not ended of visits whose paths begin so, in that branch and those within it."""
        lines = (line, line, line + "/", f"{line}/{_LAST}")
        connection.execute(_GIVE_UP, (_GIVEN_UP, self._number, begin, begin + _LAST, *lines))

    async def step(self, step: KeptStep) -> None:
        self._steps.append(step)
        if len(self._steps) < MOST_STEPS:
            return
        steps = self._take_steps()

        def insert(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)

        await self._writer.write(insert)

    async def end(self, status: RunStatus, message: str = "", ending: KeptEnd | None = None) -> None:
        now_s, steps = time.time(), self._take_steps()
        kept = None if ending is None else cut(ending)

        def update(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            if kept is not None:
                self._texts.keep(connection, self._number, kept)
            connection.execute(
                "UPDATE run SET status = ?, message = ?, ended_at = ?, touched_at = ?, owner = NULL, "
                "until_s = 0, wish = NULL, ending = ?, ending_text = ?, driven_s = driven_s + ? "
                "WHERE number = ?",
                (
                    status,
                    message,
                    now_s if status.is_over else None,
                    now_s,
                    kept.inline if kept else None,
                    kept.digest if kept else None,
                    self._since_counted_s(),
                    self._number,
                ),
            )

        reach(KillPoint.END)
        await self._writer.write(update)
        self.is_over = True

    def key(self) -> bytes:
        return key_beside(self._writer.file)

    async def abandon(self, message: str) -> None:
        now_s = time.time()

        def update(connection: Any) -> None:
            connection.execute(
                "UPDATE run SET status = ?, message = ?, touched_at = ?, owner = NULL, until_s = 0 "
                "WHERE number = ? AND lease = ?",
                (RunStatus.UNKEPT, message, now_s, self._number, self._lease),
            )

        await self._writer.write(update, is_synced=True)
        self.is_over = True

    async def renew(self) -> None:
        """The lease is good for another while. Raises `LeaseLostError`.

        If it cannot be written the next time may do; the lease decides, as for a process that was stopped.
        """

        def update(connection: Any) -> None:
            if not self.is_over:
                self._check(connection)
                now_s = time.time()
                connection.execute(
                    "UPDATE run SET until_s = ?, touched_at = ?, driven_s = driven_s + ? WHERE number = ?",
                    (now_s + LEASE_S, now_s, self._since_counted_s(), self._number),
                )

        try:
            await self._writer.write(update)
        except LeaseLostError:
            raise
        except JournalError as error:
            log.warning("The lease of run %s is not renewed: %s", self.head.id, error)

    def give_back(self) -> None:
        """Nobody drives the run any more, unless it is over. If that cannot be kept, its lease runs out."""
        if self.is_over:
            return

        steps = self._take_steps()

        def update(connection: Any) -> None:
            cursor = connection.execute(
                "UPDATE run SET owner = NULL, until_s = 0, status = ?, driven_s = driven_s + ? "
                "WHERE number = ? AND lease = ?",
                (RunStatus.INTERRUPTED, self._since_counted_s(), self._number, self._lease),
            )
            if cursor.rowcount:
                self._write_steps(connection, steps)

        try:
            self._writer.write_now(update)
        except JournalError as error:
            log.warning("The lease of run %s is not given back: %s", self.head.id, error)

    def _since_counted_s(self) -> float:
        """How long the run was driven since this was asked before."""
        before_s, self._counted_s = self._counted_s, time.monotonic()
        return self._counted_s - before_s

    def _take_steps(self) -> list[KeptStep]:
        taken, self._steps = self._steps, []
        return taken

    def _write_steps(self, connection: Any, steps: Sequence[KeptStep]) -> None:
        """A run that continues takes the same ones again: what is there stays."""
        for one in steps:
            source = one.source
            connection.execute(
                "INSERT OR IGNORE INTO step (run, path, line, nth, target, label, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._number, source.path, source.line, source.nth, one.target or "", one.label, one.at),
            )

    def _check(self, connection: Any) -> None:
        """Raises `LeaseLostError` if another process drives the run by now."""
        lease = connection.execute("SELECT lease FROM run WHERE number = ?", (self._number,)).fetchone()
        if lease is None or lease[0] != self._lease:
            raise LeaseLostError(
                f"Run {self.head.id} was taken over by another process (this one is {os.getpid()})."
            )
