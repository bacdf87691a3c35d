"""The one thread of a process that writes the journal: anyone who writes waits until it is kept.

Above: `sqlite.py`. Below: SQLite, the file of the checkpointer's lock. Writes that wait together are one
transaction. Why each pragma is as it is is beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from samovar.background import caller_here
from samovar.errors import JournalError, SamovarError
from samovar.journal.checkpointing import Checkpointer
from samovar.journal.connecting import connect, reason

log = logging.getLogger(__name__)
MOST_TOGETHER = 256
"""Writes of one transaction."""
REST_S = 0.1
"""How long a writer that is closed goes on with what nobody waits for."""
Write = Callable[[Any], Any]
"""Given the connection, within a transaction."""


class Done(Protocol):
    """Hears how a write ended, on the writer's thread."""

    def __call__(self, result: object, error: BaseException | None) -> None: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    write: Write
    is_synced: bool
    done: Done
    is_told: bool = field(default=False)

    def tell(self, result: object, error: BaseException | None) -> None:
        if not self.is_told:
            self.is_told = True
            self.done(result, error)


_NOTHING = _Waiting(lambda connection: None, False, lambda result, error: None)


class Writer:
    """One thread with one connection. Closed, it has written all it was given."""

    def __init__(
        self,
        file: Path,
        *,
        connect: Callable[[Path], Any] = connect,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """`connect` gives what is written to. Raises `JournalError` if the journal cannot be opened."""
        self.file, self._connect = file, connect
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._later: deque[_Waiting] = deque()
        """What is done when nobody waits."""
        self._checkpointer = checkpointer or Checkpointer(file)
        self._opened: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._is_closed = self._has_no_log = False
        try:
            self._thread.start()
        except RuntimeError as error:
            raise JournalError(f"The journal {file} cannot be used: {error}.") from error
        if (refused := self._opened.get()) is not None:
            self._thread.join()
            raise refused

    async def write(self, write: Write, *, is_synced: bool = False) -> Any:
        """What `write` gives, once it is kept. `is_synced`: it survives a loss of power too."""
        call = caller_here()
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(result: object, error: BaseException | None) -> None:
            if waiting.cancelled():
                return
            if error is None:
                waiting.set_result(result)
            else:
                waiting.set_exception(error)

        self._put(_Waiting(write, is_synced, lambda result, error: call(lambda: settle(result, error))))
        return await waiting

    def write_now(self, write: Write, *, is_synced: bool = False) -> Any:
        """As `write`, for a thread that may wait."""
        told: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()
        self._put(_Waiting(write, is_synced, lambda result, error: told.put((result, error))))
        result, error = told.get()
        if error is not None:
            raise error
        return result

    def post(self, write: Write) -> None:
        """Has something written that nobody waits for. If it cannot be, whoever writes next is told why."""

        def settle(result: object, error: BaseException | None) -> None:
            if error is not None:
                log.debug("%s", error)

        with contextlib.suppress(JournalError):  # it is closed
            self._put(_Waiting(write, False, settle))

    def when_idle(self, step: Callable[[Any], bool]) -> None:
        """Has a step done when nobody waits for a write, in its own transaction, until it gives False.

        If it fails it is given up. Once the writer is closed, what is left is done for a moment more.
        """

        def again(result: object, error: BaseException | None) -> None:
            if error is not None:
                log.warning("%s", error)
            elif result:
                self._later.append(waiting)

        waiting = _Waiting(step, False, again)
        self._put(waiting, idle=True)

    def _put(self, waiting: _Waiting, *, idle: bool = False) -> None:
        if self._is_closed:
            raise JournalError("The journal is closed.")
        if idle:
            self._later.append(waiting)
            self._waiting.put(_NOTHING)  # wakes the thread
        else:
            self._waiting.put(waiting)

    def close(self) -> None:
        """Returns when all is written, and the thread has ended."""
        if not self._is_closed:
            self._is_closed = True
            self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            connection = self._connect(self.file)
        except BaseException as error:  # handed on: to anyone who opens the journal
            self._opened.put(error)
            return
        self._has_no_log = connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal"
        self._opened.put(None)
        try:
            while (together := self._next()) is not None:
                self._write_all(connection, together)
                self._checkpointer.look(connection)
            self._rest(connection)
            self._checkpointer.look(connection, at_end=True)
        finally:
            connection.close()

    def _next(self) -> list[_Waiting] | None:
        """What waits, at least one; None: nothing will."""
        together: list[_Waiting] = []
        while len(together) < MOST_TOGETHER:
            try:
                one = self._waiting.get(block=not together and not self._later)
            except queue.Empty:
                return together or [self._idle_step()]
            if one is None:
                if not together:
                    return None
                self._waiting.put(None)
                break
            if one is not _NOTHING:
                together.append(one)
        return together

    def _idle_step(self) -> _Waiting:
        one = self._later.popleft()
        one.is_told = False
        return one

    def _rest(self, connection: Any) -> None:
        """What was to be done when nobody waits, for a moment."""
        until_s = time.monotonic() + REST_S
        while self._later and time.monotonic() < until_s:
            self._write_all(connection, [self._idle_step()])

    def _write_all(self, connection: Any, together: list[_Waiting]) -> None:
        results: list[tuple[_Waiting, object]] = []
        is_synced = self._has_no_log or any(one.is_synced for one in together)
        at = together[0]
        try:
            with _transaction(connection, is_synced=is_synced):
                for at in together:
                    try:
                        results.append((at, at.write(connection)))
                    except SamovarError as error:  # its own, before it wrote: the others are written
                        at.tell(None, error)
        except (sqlite3.Error, OSError, JournalError) as error:  # handed on: to each that waits
            for one in together:
                one.tell(None, reason(error, self.file))
        except BaseException as error:  # a defect of one of them, told as it is: the others have none
            at.tell(None, error)
            if others := [one for one in together if not one.is_told]:
                self._write_all(connection, others)
        else:
            for one, result in results:
                one.tell(result, None)


@contextlib.contextmanager
def _transaction(connection: Any, *, is_synced: bool) -> Iterator[None]:
    # FULL syncs the log at this commit; NORMAL leaves that to the system, and loses nothing but with the
    # machine's power. Without a log, each commit has to be synced: the file itself is written over.
    connection.execute(f"PRAGMA synchronous = {'FULL' if is_synced else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            connection.execute("ROLLBACK")
        raise
