"""Copies of evaluated prefixes on disk, so that another process only evaluates the new part.

Above: `app.py`, which has the folder; an engine, which offers copies and asks for them. Below:
`snapshot_file.py`, `snapshot_folder.py`. Copies are written by one thread. Whatever is wrong with a file or
the disk, a prefix is only evaluated again.

The folder is its owner's alone (0700, files 0600), like everything else that person's processes trust.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
import time
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samovar.models.snapshot_file import (
    SUFFIX,
    Snapshot,
    content_of,
    name_of,
    read_snapshot,
    verified_state,
    write_snapshot,
)
from samovar.models.snapshot_folder import (
    SEEN,
    UNMEASURED_S_PER_BYTE,
    SnapshotFolder,
    entries_of,
    read_seen,
    write_seen,
)

log = logging.getLogger("samovar.models.snapshots")

QUEUE_BYTES = 256 << 20
"""Copies that wait for the disk; with more, none are taken."""
PIECE_BYTES = QUEUE_BYTES // 8
"""A long prefix is copied in pieces of this size, so that none is too long for the queue."""
CLOSING_S = 2.0
"""Closing waits this long for copies to be written; the rest is evaluated again some day."""
JOINING_S = 0.5
"""… and this long at least for the writer to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A file to be written."""

    path: Path
    blob: bytearray
    """A state, or digests; it must not change any more."""
    snapshot: Snapshot | None = None
    """None: it is digests."""
    digest: bytes = b""
    """Digest of the fingerprint's name."""
    is_removal: bool = False
    """It is to be deleted."""


class Snapshots:
    """All copies in one folder, at most `limit_bytes`; those worth least (`worth.py`) go first.

    Mutable, under its lock: what waits for the disk, whether it still takes anything, and how fast it is.
    """

    def __init__(self, folder: Path, limit_bytes: int, *, limit_days: float = 14.0) -> None:
        """`limit_days`: a copy that was not used for this long is deleted."""
        self.folder = SnapshotFolder(folder, limit_bytes, limit_days)
        self._lock = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._queued_bytes = 0
        self.most_queued_bytes = QUEUE_BYTES
        """At most this much waits for the disk; anyone who promises memory makes it less."""
        self._write_s_per_byte: float | None = None
        self._is_open = limit_bytes > 0
        self._thread: threading.Thread | None = None

    def of(self, name: str) -> ModelSnapshots:
        """The copies of one fingerprint."""
        reason = self.folder.distrust()
        if self._is_open and reason:
            log.warning("Prefixes are not kept in %s: %s.", self.folder.path, reason)
            self._is_open = False
        if not reason:
            self.folder.sweep()
        return ModelSnapshots(self, name)

    # What the decode loop calls: nothing here waits for the disk --------------------------------------

    def is_open(self, size_bytes: int) -> bool:
        """Whether `offer` would take a copy of this many bytes now."""
        with self._lock:
            fits = self._queued_bytes + size_bytes <= self.most_queued_bytes
            return self._is_open and fits and size_bytes <= self.folder.limit_bytes

    @property
    def queued_bytes(self) -> int:
        """What waits for the disk."""
        return self._queued_bytes

    def offer(self, job: _Job) -> bool:
        """Has it written soon; False when it is not taken."""
        with self._lock:
            if not self.is_open(len(job.blob)):
                return False
            self._queue.append(job)
            self._queued_bytes += len(job.blob)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="samovar snapshots", daemon=True)
                self._thread.start()
            self._lock.notify_all()
            return True

    def waiting(self, snapshot: Snapshot) -> bytearray | None:
        """A copy that is still to be written."""
        with self._lock:
            return next((job.blob for job in self._queue if job.snapshot is snapshot), None)

    def write_s(self, size_bytes: int) -> float:
        """What writing this much takes, by the best that was seen: that others use the disk too will pass."""
        with self._lock:
            measured = self._write_s_per_byte
        return size_bytes * (UNMEASURED_S_PER_BYTE if measured is None else measured)

    # The thread that writes -----------------------------------------------------------------------------

    def _write_all(self) -> None:
        while True:
            with self._lock:
                while not self._queue:
                    if not self._is_open:
                        return
                    self._lock.wait()
                job = self._queue[0]
            try:
                self._write(job)
            except FileNotFoundError as error:  # somebody has cleared the folder just then
                log.debug("a copy was not kept: %s", error)
            except OSError as error:
                self._give_up(error)
            with self._lock:
                if self._queue:
                    self._queue.popleft()
                    self._queued_bytes -= len(job.blob)
                self._lock.notify_all()

    def _write(self, job: _Job) -> None:
        if job.is_removal:
            job.path.unlink(missing_ok=True)
            return
        if job.snapshot is not None and job.path.exists():
            return
        for one in (self.folder.path, job.path.parent):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        if job.snapshot is None:
            write_seen(job.path, bytes(job.blob))
            return
        parts = content_of(job.snapshot, job.digest, job.blob)
        size_bytes = sum(map(len, parts))
        self.folder.make_room(size_bytes)
        began_s = time.monotonic()
        write_snapshot(job.path, parts)
        taken = (time.monotonic() - began_s) / size_bytes
        with self._lock:
            self._write_s_per_byte = min(taken, self._write_s_per_byte or taken)

    def _give_up(self, error: OSError) -> None:
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        log.warning("Prefixes are not kept in %s: %s.", self.folder.path, reason)
        with self._lock:
            self._is_open = False
            self._queue.clear()
            self._queued_bytes = 0

    # Ending -------------------------------------------------------------------------------

    def wait(self, timeout_s: float) -> bool:
        """Until everything offered is written; False when that took too long."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._queue, timeout_s)

    def close(self, timeout_s: float = CLOSING_S) -> None:
        """Writes what was offered, for this long at most, and takes nothing any more. Safe to call twice."""
        deadline_s = time.monotonic() + timeout_s
        is_done = self.wait(timeout_s)
        with self._lock:
            self._is_open = False
            if not is_done:
                del self._queue
                self._queue, self._queued_bytes = deque(), 0
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(max(JOINING_S, deadline_s - time.monotonic()))


class ModelSnapshots:
    """The copies of one fingerprint: see `engines.llama.prefixes.disk_index.CopyStore`."""

    def __init__(self, snapshots: Snapshots, name: str) -> None:
        self._snapshots, self._name = snapshots, name
        self._digest = hashlib.blake2b(name.encode(), digest_size=16).digest()

    @property
    def folder(self) -> Path:
        return self._snapshots.folder.path / self._name

    def entries(self) -> list[Snapshot]:
        """What is there and looks whole, the one used last at the end. States are not read; what does not
        look whole is deleted."""
        found: list[Snapshot] = []
        if self._snapshots.folder.distrust():
            return found
        for path in sorted(entries_of(self.folder), key=_used_s):
            if path.suffix == SUFFIX:
                snapshot = read_snapshot(path, self._digest)
                if snapshot is None:
                    _delete(path)
                else:
                    found.append(snapshot)
        return found

    def load(self, snapshot: Snapshot) -> bytes | bytearray | memoryview | None:
        """The state, verified; None when it is gone or damaged."""
        waiting = self._snapshots.waiting(snapshot)
        if waiting is not None:
            return waiting
        try:
            data = snapshot.path.read_bytes()
            os.utime(snapshot.path)
        except OSError:
            return None
        state = verified_state(snapshot, self._digest, data)
        if state is None:
            _delete(snapshot.path)
        return state

    def offer(
        self, tokens: Sequence[int], start: int, blob: bytearray, saves_s: float = 0.0
    ) -> Snapshot | None:
        """Has the state of the positions `start` to the end of `tokens` written soon; None: it is not.

        `saves_s`: what it took to evaluate, in seconds; 0: not known.
        """
        held = array("i", tokens)
        snapshot = Snapshot(held, start, self.folder / name_of(held, start), saves_s)
        job = _Job(path=snapshot.path, blob=blob, snapshot=snapshot, digest=self._digest)
        return snapshot if self._snapshots.offer(job) else None

    def find(self, tokens: Sequence[int], start: int) -> Snapshot | None:
        """The copy of these positions; None if there is none, or it does not look whole."""
        held = array("i", tokens)
        if self._snapshots.folder.distrust():
            return None
        found = read_snapshot(self.folder / name_of(held, start), self._digest)
        return found if found is not None and (found.tokens, found.start) == (held, start) else None

    def remove(self, tokens: Sequence[int], start: int) -> None:
        """Has the copy of these positions deleted soon."""
        path = self.folder / name_of(array("i", tokens), start)
        self._snapshots.offer(_Job(path=path, blob=bytearray(), is_removal=True))

    def write_s(self, size_bytes: int) -> float:
        """What writing this much takes, in seconds, as far as it was measured."""
        return self._snapshots.write_s(size_bytes)

    def sightings(self) -> list[bytes]:
        """Digests of beginnings that earlier processes have seen, the one seen last at the end."""
        return [] if self._snapshots.folder.distrust() else read_seen(self.folder / SEEN)

    def keep_sightings(self, digests: bytes) -> None:
        """Has those of this process written soon, beside the others."""
        self._snapshots.offer(_Job(path=self.folder / SEEN, blob=bytearray(digests)))

    def is_open(self, size_bytes: int) -> bool:
        """Whether an offer of this size would be taken now."""
        return self._snapshots.is_open(size_bytes)


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
