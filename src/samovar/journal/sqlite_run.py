"""One run in the journal on disk, for the process that drives it.

Above: `sqlite.py`, which opens it. Below: the writer, texts. Each write looks at the lease first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from samovar.errors import LeaseLostError
from samovar.generation import TokenCounts
from samovar.journal.base import Intent, KeptVisit, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.codec import to_json
from samovar.journal.leases import LEASE_S
from samovar.journal.rows import end_row
from samovar.journal.texts import Texts
from samovar.journal.writer import Writer


class SqliteRun:
    """See `base.KeptRun`. Mutable: whether it is over."""

    def __init__(
        self,
        writer: Writer,
        texts: Texts,
        head: RunHead,
        number: int,
        lease: int,
        kept: Sequence[KeptVisit],
    ) -> None:
        self.head, self.kept = head, kept
        self._writer, self._texts = writer, texts
        self._number, self._lease = number, lease
        self._known = {one.intent.key: one for one in kept}
        self._is_over = False

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return self._known.get(key)

    async def intend(self, intent: Intent) -> None:
        key = intent.key

        def insert(connection: Any) -> None:
            self._check(connection)
            connection.execute(
                "INSERT INTO visit (run, number, path, line, nth, verb, entered_at, repeatable) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET outcome = NULL, text = NULL, "
                "entered_at = excluded.entered_at",
                (
                    self._number,
                    intent.number,
                    key.path,
                    key.line,
                    key.nth,
                    intent.verb,
                    intent.entered_at,
                    intent.is_repeatable,
                ),
            )

        await self._writer.write(insert, is_synced=not intent.is_repeatable)

    async def leave(self, key: VisitKey, outcome: VisitOutcome) -> None:
        text = to_json(outcome)
        tokens = (outcome.figures.tokens if outcome.figures else TokenCounts()) + outcome.spent

        def update(connection: Any) -> None:
            self._check(connection)
            inline, digest = self._texts.keep(connection, text)
            connection.execute(
                "UPDATE visit SET outcome = ?, text = ? WHERE run = ? AND path = ? AND line = ? AND nth = ?",
                (inline, digest, self._number, key.path, key.line, key.nth),
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

        await self._writer.write(update)

    async def end(self, status: RunStatus, message: str = "", *, result: str | None = None) -> None:
        now_s = time.time()

        def update(connection: Any) -> None:
            self._check(connection)
            if result is not None:
                end_row(connection, self._number, result)
            connection.execute(
                "UPDATE run SET status = ?, message = ?, ended_at = ?, touched_at = ?, owner = NULL, "
                "until_s = 0 WHERE number = ?",
                (status, message, now_s if status.is_over else None, now_s, self._number),
            )

        await self._writer.write(update)
        self._is_over = True

    async def renew(self) -> None:
        """The lease is good for another while. Raises `LeaseLostError`."""

        def update(connection: Any) -> None:
            if not self._is_over:
                self._check(connection)
                now_s = time.time()
                connection.execute(
                    "UPDATE run SET until_s = ?, touched_at = ? WHERE number = ?",
                    (now_s + LEASE_S, now_s, self._number),
                )

        await self._writer.write(update)

    def give_back(self) -> None:
        """Nobody drives the run any more, unless it is over."""
        if self._is_over:
            return

        def update(connection: Any) -> None:
            connection.execute(
                "UPDATE run SET owner = NULL, until_s = 0, status = ? WHERE number = ? AND lease = ?",
                (RunStatus.INTERRUPTED, self._number, self._lease),
            )

        self._writer.write_now(update)

    def _check(self, connection: Any) -> None:
        """Raises `LeaseLostError` if another process drives the run by now."""
        lease = connection.execute("SELECT lease FROM run WHERE number = ?", (self._number,)).fetchone()
        if lease is None or lease[0] != self._lease:
            raise LeaseLostError(
                f"Run {self.head.id} was taken over by another process (this one is {os.getpid()})."
            )
