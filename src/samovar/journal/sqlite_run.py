"""One run in the journal on disk, for the process that drives it.

Above: `sqlite.py`, which opens it. Below: `held.py`, which holds its lease; the writer, texts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from samovar.generation import Begun, TokenCounts
from samovar.journal import begun_answers
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
from samovar.journal.held import HeldRun
from samovar.journal.keys import key_beside
from samovar.journal.kill_points import KillPoint, reach, reach_within
from samovar.journal.outlined import outlined
from samovar.journal.rows import end_row
from samovar.journal.sqlite_opened import Opened
from samovar.journal.sqlite_people import Looking, SqliteAsked
from samovar.journal.texts import Texts, cut
from samovar.journal.writer import Writer

MOST_STEPS = 200
"""Steps that wait for the next write."""


_GIVEN_UP = to_json(VisitOutcome(is_given_up=True))
_GIVE_UP = (
    "UPDATE visit SET outcome = ? WHERE run = ? AND outcome IS NULL AND text IS NULL "
    "AND path BETWEEN ? AND ? AND (? = '' OR line = ? OR line BETWEEN ? AND ?)"
)
"""Visits that have not ended, of paths that begin with a text, in some branches."""
_LAST = "\U0010ffff"


class SqliteRun(HeldRun):
    """See `base.KeptRun`. Mutable: how many visits there are, and the steps that are not written yet."""

    def __init__(
        self, writer: Writer, texts: Texts, looking: Looking, head: RunHead, earlier: Opened
    ) -> None:
        super().__init__(writer, head, earlier.number, earlier.lease)
        self.kept = earlier.visits
        self.driven_s = earlier.driven_s
        self.asked = SqliteAsked(writer, looking, earlier.number, self._check, earlier.answers)
        self._texts = texts
        self._known = {one.intent.key: one for one in earlier.visits if not one.is_at_cancel}
        self._forks, self._begun = earlier.forks, earlier.begun
        self._last = max((one.intent.number for one in earlier.visits), default=0)
        self._steps: list[KeptStep] = []

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return self._known.get(key)

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        return self._forks.get(key)

    def begun(self, key: VisitKey) -> Sequence[Begun]:
        return self._begun.get(key, ())

    def keep_begun(self, key: VisitKey, prompt: int, begun: Begun) -> None:
        def put(connection: Any) -> None:
            self._check(connection)
            begun_answers.put(connection, self._number, key, prompt, begun)

        self._writer.post(put)

    async def intend(self, intent: Intent) -> None:
        key, known = intent.key, self._known.get(intent.key)
        if known is None:  # in this process, the run's own numbers begin again from 1
            self._last += 1
        number = self._last if known is None else known.intent.number
        steps = self._take_steps()

        def insert(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            connection.execute(
                "INSERT INTO visit (run, number, path, line, nth, verb, entered_at, repeatable) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET outcome = NULL, text = NULL, "
                "number = excluded.number, entered_at = excluded.entered_at",
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
        kept = cut(outlined(outcome) if self.head.is_outline else outcome)
        steps = self._take_steps()
        tokens = (outcome.figures.tokens if outcome.figures else TokenCounts()) + outcome.spent

        def update(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            self._texts.keep(connection, self._number, kept)
            begun_answers.drop(connection, self._number, key)
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
        if self.head.is_outline:
            message, ending = "", None
        of_row = self.head.row is not None  # whose result is kept beside the row
        result = ending.result if ending is not None and of_row else None
        kept = None if ending is None else cut(replace(ending, result=None) if of_row else ending)

        def update(connection: Any) -> None:
            self._check(connection)
            self._write_steps(connection, steps)
            if kept is not None:
                self._texts.keep(connection, self._number, kept)
            if status.is_over and status is not RunStatus.CANCELLED:  # which can continue all the same
                begun_answers.drop_all(connection, self._number)
            if result is not None:
                end_row(connection, self._number, result)
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

    def _rest(self) -> Callable[[Any], None]:
        steps = self._take_steps()
        return lambda connection: self._write_steps(connection, steps)

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
