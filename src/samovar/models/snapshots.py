"""Copies of evaluated prefixes on disk, so that another process evaluates only what has changed.

Above: `app.py`, which has the folder; an engine, which offers copies and asks for them. Below:
`snapshot_file.py`. They are written by one thread, and those not used for longest go first. Whatever is wrong
with a file or the disk, a prefix is only evaluated again.

The folder is its owner's alone (0700, files 0600), like everything else that person's processes trust.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samovar.models.snapshot_file import (
    SUFFIX,
    TEMPORARY,
    Snapshot,
    content_of,
    name_of,
    read_snapshot,
    start_of,
    verified_state,
    write_snapshot,
)

log = logging.getLogger("samovar.models.snapshots")

QUEUE_BYTES = 256 << 20
"""Copies that wait for the disk; with more, none are taken."""
MAX_COPIES = 1024
"""In all, since the headers of a model's are read with it."""
LEFTOVER_AGE_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderUse:
    """What one fingerprint's copies take."""

    name: str
    """The fingerprint."""
    copies: int
    size_bytes: int
    """All copies together."""
    used_s: float
    """When one was last written or read, in seconds of the epoch."""


class Snapshots:
    """All copies in one folder, at most `limit_bytes`; those not used for longest go first.

    Mutable, under its lock: what waits for the disk, and whether it still takes anything.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self._limit_bytes = folder, limit_bytes
        self._lock = threading.Condition()
        self._queue: deque[tuple[Snapshot, bytes, bytearray]] = deque()
        self._queued_bytes = 0
        self._is_open = limit_bytes > 0
        self._thread: threading.Thread | None = None

    def of(self, name: str) -> ModelSnapshots:
        """The copies of one fingerprint."""
        if self._is_open and not _is_own(self.folder):
            log.warning("Prefixes are not kept in %s: others may write there.", self.folder)
            self._is_open = False
        return ModelSnapshots(self, name)

    # What the decode loop calls: nothing here waits for the disk --------------------------------------

    def is_open(self, size_bytes: int) -> bool:
        """Whether `offer` would take a copy of so many bytes now."""
        with self._lock:
            fits = self._queued_bytes + size_bytes <= QUEUE_BYTES and size_bytes <= self._limit_bytes
            return self._is_open and fits

    def offer(self, snapshot: Snapshot, digest: bytes, blob: bytearray) -> bool:
        """Has the copy written soon; False when it is not taken. `blob` must not change any more."""
        with self._lock:
            if not self.is_open(len(blob)):
                return False
            self._queue.append((snapshot, digest, blob))
            self._queued_bytes += len(blob)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="samovar snapshots", daemon=True)
                self._thread.start()
            self._lock.notify_all()
            return True

    def waiting(self, snapshot: Snapshot) -> bytearray | None:
        """A copy that is still to be written."""
        with self._lock:
            return next((blob for one, _, blob in self._queue if one is snapshot), None)

    # The thread that writes -----------------------------------------------------------------------------

    def _write_all(self) -> None:
        self._sweep()
        while True:
            with self._lock:
                while not self._queue:
                    if not self._is_open:
                        return
                    self._lock.wait()
                snapshot, digest, blob = self._queue[0]
            try:
                self._write(snapshot, digest, blob)
            except FileNotFoundError as error:  # somebody has cleared the folder just then
                log.debug("a copy was not kept: %s", error)
            except OSError as error:
                self._give_up(error)
            with self._lock:
                if self._queue:
                    self._queue.popleft()
                    self._queued_bytes -= len(blob)
                self._lock.notify_all()

    def _write(self, snapshot: Snapshot, digest: bytes, blob: bytearray) -> None:
        if snapshot.path.exists():
            return
        folder = snapshot.path.parent
        for one in (self.folder, folder):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        parts = content_of(snapshot, digest, blob)
        self._make_room(sum(map(len, parts)))
        write_snapshot(snapshot.path, parts)

    def _give_up(self, error: OSError) -> None:
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        log.warning("Prefixes are not kept in %s: %s.", self.folder, reason)
        with self._lock:
            self._is_open = False
            self._queue.clear()
            self._queued_bytes = 0

    def _make_room(self, size_bytes: int) -> None:
        """Least recently used first; of those used together, what goes on from others before these."""
        files = list(self._files())
        total, count = sum(size for _, size, _ in files) + size_bytes, len(files) + 1
        for path, size, _ in sorted(files, key=lambda file: (int(file[2]) // 60, -start_of(file[0]))):
            if total <= self._limit_bytes and count <= MAX_COPIES:
                return
            with suppress(OSError):
                path.unlink()
                total, count = total - size, count - 1

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """(path, bytes, seconds of the epoch) of every copy."""
        for folder in _entries(self.folder):
            for path in _entries(folder):
                if path.suffix == SUFFIX:
                    with suppress(OSError):
                        stat = path.stat()
                        yield path, stat.st_size, stat.st_mtime

    def _sweep(self) -> None:
        """What crashed writers have left."""
        for folder in _entries(self.folder):
            for path in _entries(folder):
                with suppress(OSError):
                    is_old = path.stat().st_mtime < time.time() - LEFTOVER_AGE_S
                    if path.name.startswith(TEMPORARY) and is_old:
                        path.unlink()

    # What people call -------------------------------------------------------------------------------

    def wait(self, timeout_s: float) -> bool:
        """Until everything offered is written; False when that took too long."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._queue, timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Writes what was offered, for so long at most, and takes nothing any more. Safe to call twice."""
        is_done = self.wait(timeout_s)
        with self._lock:
            self._is_open = False
            if not is_done:
                del self._queue
                self._queue, self._queued_bytes = deque(), 0
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def uses(self) -> list[FolderUse]:
        """What is there, by fingerprint, the one used last first."""
        found: dict[str, list[tuple[int, float]]] = {}
        for path, size, used_s in self._files():
            found.setdefault(path.parent.name, []).append((size, used_s))
        uses = [
            FolderUse(
                name=name,
                copies=len(files),
                size_bytes=sum(size for size, _ in files),
                used_s=max(used_s for _, used_s in files),
            )
            for name, files in found.items()
        ]
        return sorted(uses, key=lambda use: -use.used_s)

    def clear(self) -> int:
        """Deletes everything. Returns the bytes that were freed. Raises `OSError` where it may not."""
        freed = sum(size for _, size, _ in self._files())
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        return freed


class ModelSnapshots:
    """The copies of one fingerprint: see `engines.llama.prefixes.disk_index.CopyStore`."""

    def __init__(self, snapshots: Snapshots, name: str) -> None:
        self._snapshots, self._name = snapshots, name
        self._digest = hashlib.blake2b(name.encode(), digest_size=16).digest()

    @property
    def folder(self) -> Path:
        return self._snapshots.folder / self._name

    def entries(self) -> list[Snapshot]:
        """What is there and looks whole, the one used last at the end. States are not read; what does not
        look whole is deleted."""
        found: list[Snapshot] = []
        if not _is_own(self._snapshots.folder):
            return found
        for path in sorted(_entries(self.folder), key=_used_s):
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

    def offer(self, tokens: Sequence[int], start: int, blob: bytearray) -> Snapshot | None:
        """Has the state of the positions `start` to the end of `tokens` written soon; None: it is not."""
        held = array("i", tokens)
        snapshot = Snapshot(held, start, self.folder / name_of(held, start))
        return snapshot if self._snapshots.offer(snapshot, self._digest, blob) else None

    def is_open(self, size_bytes: int) -> bool:
        """Whether an offer of this size would be taken now."""
        return self._snapshots.is_open(size_bytes)


def _is_own(folder: Path) -> bool:
    """Whether nobody else may write there: the engine trusts the states it is given."""
    try:
        stat = folder.stat()
    except OSError:
        return True  # not there yet, or of no use
    return stat.st_uid == os.geteuid() and not stat.st_mode & 0o022


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
