"""The folder of copies of evaluated prefixes: its content, and what is deleted when.

Above: `snapshots.py`, whose thread writes, and `samovar snapshots`. Below: `snapshot_file.py`, `worth.py`.
There is a folder in it for each fingerprint, which also has digests of the prompts that were asked for.
Several processes may use it at once: whatever is gone meanwhile was not there.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samovar.models.snapshot_file import SUFFIX, TEMPORARY, saves_s_of, start_of, write_snapshot
from samovar.models.worth import Uses, worth

MAX_COPIES = 1024
"""In all, since the headers of a model's are read with it."""
LEFTOVER_AGE_S = 3600
UNMEASURED_S_PER_BYTE = 5e-9
"""Writing, before it was measured."""
DAY_S = 86_400.0
SEEN = "seen"
"""In the folder of a fingerprint: digests of the beginnings of prompts that were asked for."""
SEEN_BYTES = 8
"""Bytes of each digest."""
MAX_SEEN = 1 << 14
"""Digests; the latest are kept."""


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


class SnapshotFolder:
    """At most `limit_bytes` of copies; none that was not used for `limit_days`.

    Mutable: what it has read in the files so far, which never changes in them.
    """

    def __init__(self, path: Path, limit_bytes: int, limit_days: float) -> None:
        self.path, self.limit_bytes, self._limit_s = path, limit_bytes, limit_days * DAY_S
        self._saves_s: dict[Path, float] = {}

    def distrust(self) -> str:
        """See `distrust`."""
        return distrust(self.path)

    def make_room(self, size_bytes: int) -> None:
        """For one more of this size. What is worth least goes first; of what is worth about the same, what
        continues from others. What was not used for too long goes in any case."""
        self.sweep()
        files = list(self.files())
        total, count = sum(size for _, size, _ in files) + size_bytes, len(files) + 1
        if total <= self.limit_bytes and count <= MAX_COPIES:
            return
        for path, size, _ in sorted(files, key=self._worth):
            if total <= self.limit_bytes and count <= MAX_COPIES:
                return
            with suppress(OSError):
                path.unlink()
                total, count = total - size, count - 1

    def _worth(self, file: tuple[Path, int, float]) -> tuple[float, int]:
        """By its bytes, to a factor of two, and then where it begins."""
        path, size, used_s = file
        if path not in self._saves_s:
            with suppress(OSError):
                self._saves_s[path] = saves_s_of(path)
        saves_s = self._saves_s.get(path, 0.0) or size * UNMEASURED_S_PER_BYTE
        rate = Uses(0.0).rate((time.time() - used_s) / (self._limit_s or 1))
        return round(math.log2(worth(rate, saves_s, size))), -start_of(path)

    def files(self) -> Iterator[tuple[Path, int, float]]:
        """(path, bytes, seconds of the epoch) of every copy."""
        for folder in entries_of(self.path):
            for path in entries_of(folder):
                if path.suffix == SUFFIX:
                    with suppress(OSError):
                        stat = path.stat()
                        yield path, stat.st_size, stat.st_mtime

    def sweep(self) -> None:
        """What crashed writers have left, and what was not used for too long."""
        now = time.time()
        for folder in entries_of(self.path):
            for path in entries_of(folder):
                is_left = path.name.startswith(TEMPORARY)
                if is_left or path.suffix == SUFFIX or path.name == SEEN:
                    with suppress(OSError):
                        if path.stat().st_mtime < now - (LEFTOVER_AGE_S if is_left else self._limit_s):
                            path.unlink()

    def uses(self) -> list[FolderUse]:
        """What is there, by fingerprint, the one used last first."""
        found: dict[str, list[tuple[int, float]]] = {}
        for path, size, used_s in self.files():
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
        """Deletes everything. Returns the bytes that were freed. Raises `OSError` if it may not."""
        freed = sum(size for _, size, _ in self.files())
        if self.path.is_dir():
            shutil.rmtree(self.path)
        return freed


def write_seen(path: Path, digests: bytes) -> None:
    """Adds digests to those that other processes have left. Raises `OSError`."""
    both = dict.fromkeys([*read_seen(path), *_cut(digests)])
    write_snapshot(path, [b"".join(list(both)[-MAX_SEEN:])])


def read_seen(path: Path) -> list[bytes]:
    """The digests in a file, the latest at the end; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return _cut(file.read(SEEN_BYTES * MAX_SEEN))
    except OSError:
        return []


def _cut(digests: bytes) -> list[bytes]:
    return [digests[at : at + SEEN_BYTES] for at in range(0, len(digests) - SEEN_BYTES + 1, SEEN_BYTES)]


def entries_of(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def distrust(folder: Path) -> str:
    """Why what a folder holds cannot be trusted; empty if nobody else may write there."""
    try:
        stat = folder.stat()
    except OSError:
        return ""  # not there yet, or of no use
    if stat.st_uid != os.geteuid():
        return "the folder belongs to another user, and each user needs their own cache folder"
    return "others may write there" if stat.st_mode & 0o022 else ""
