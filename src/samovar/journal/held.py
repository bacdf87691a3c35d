"""Holds a run in the journal on disk: the lease of the process that drives it, and how it lets go.

Above: `sqlite_run.py`. Below: the writer. Each write of the run looks at the lease first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from samovar.errors import JournalError, LeaseLostError
from samovar.journal.base import RunHead, RunStatus
from samovar.journal.leases import LEASE_S
from samovar.journal.writer import Writer

log = logging.getLogger(__name__)


class HeldRun:
    """The part of `base.KeptRun` about who drives it. Mutable: whether it is over, and for how long it was
    driven since that was written last."""

    def __init__(self, writer: Writer, head: RunHead, number: int, lease: int) -> None:
        self.head = head
        self._writer, self._number, self._lease = writer, number, lease
        self.is_over = False
        self._counted_s = time.monotonic()

    def _rest(self) -> Callable[[Any], None]:
        """Writes what is not written yet, when the run is given back."""
        raise NotImplementedError

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

        rest = self._rest()

        def update(connection: Any) -> None:
            cursor = connection.execute(
                "UPDATE run SET owner = NULL, until_s = 0, status = ?, driven_s = driven_s + ? "
                "WHERE number = ? AND lease = ?",
                (RunStatus.INTERRUPTED, self._since_counted_s(), self._number, self._lease),
            )
            if cursor.rowcount:
                rest(connection)

        try:
            self._writer.write_now(update)
        except JournalError as error:
            log.warning("The lease of run %s is not given back: %s", self.head.id, error)

    def _since_counted_s(self) -> float:
        """How long the run was driven since this was asked before."""
        before_s, self._counted_s = self._counted_s, time.monotonic()
        return self._counted_s - before_s

    def _check(self, connection: Any) -> None:
        """Raises `LeaseLostError` if another process drives the run by now."""
        lease = connection.execute("SELECT lease FROM run WHERE number = ?", (self._number,)).fetchone()
        if lease is None or lease[0] != self._lease:
            raise LeaseLostError(
                f"Run {self.head.id} was taken over by another process (this one is {os.getpid()})."
            )
