"""A disk that loses power: what was not synced is lost, kept, kept in part, or torn.

Above: `test_power_loss.py`. Below: apsw, through which SQLite reads and writes files that are only here. A
new file has its name once it was synced first, as SQLite syncs its folder then.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from samovar.journal.connecting import prepare

SECTOR_BYTES = 512


@dataclass(slots=True)
class Content:
    """One file. Mutable: what is on the disk, what is in the cache, and what leads from one to the other."""

    durable: bytearray = field(default_factory=bytearray)
    now: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Where, and what; None: the file ends there."""

    def change(self, offset: int, data: bytes | None) -> None:
        _apply(self.now, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        self.durable, self.pending = bytearray(self.now), []

    def after_loss(self, chance: random.Random) -> Content:
        """The file as it may be when the power is back."""
        left = bytearray(self.durable)
        how = chance.choice(("none", "all", "prefix", "some", "torn"))
        changes = [] if how == "none" else list(self.pending)
        if how == "prefix":
            changes = changes[: chance.randint(0, len(changes))]
        for offset, data in changes:
            if how == "some" and chance.random() < 0.5:
                continue
            if how == "torn" and data is not None and chance.random() < 0.3:
                data = data[: chance.randrange(0, len(data) + 1, SECTOR_BYTES)]
            _apply(left, offset, data)
        return Content(durable=bytearray(left), now=left)


def _apply(body: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del body[offset:]
        return
    if len(body) < offset:
        body.extend(bytes(offset - len(body)))
    body[offset : offset + len(data)] = data


class Disk:
    """The files, by name. Mutable: they are written, and the power goes at one write."""

    def __init__(self, chance: random.Random, loses_at: int | None = None) -> None:
        self.files: dict[str, Content] = {}
        self.writes = 0
        self.lost: Disk | None = None
        """The disk as it is found after the loss, which was at the write `loses_at`."""
        self._chance, self.loses_at = chance, loses_at

    def note_write(self) -> None:
        self.writes += 1
        if self.writes == self.loses_at:
            self.lost = Disk(self._chance)
            self.lost.files = {
                name: one.after_loss(self._chance)
                for name, one in self.files.items()
                if one.durable or self._chance.random() < 0.5
            }


class File:
    """See `apsw.VFSFile`."""

    def __init__(self, disk: Disk, content: Content) -> None:
        self._disk, self._content = disk, content

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._content.now[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.note_write()
        self._content.change(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.note_write()
        self._content.change(size, None)

    def xSync(self, flags: int) -> None:
        self._content.sync()

    def xFileSize(self) -> int:
        return len(self._content.now)

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None: ...


class DiskVFS(apsw.VFS):
    """The disk, for SQLite."""

    def __init__(self, disk: Disk) -> None:
        self.name = f"disk-{id(disk)}"
        self._disk = disk
        super().__init__(self.name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        key = name.filename() if isinstance(name, apsw.URIFilename) else name or f"temporary-{id(flags)}"
        flags[1] = flags[0]
        return File(self._disk, self._disk.files.setdefault(key, Content()))

    def xDelete(self, name: str, sync_folder: bool) -> None:
        self._disk.files.pop(name, None)

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self._disk.files

    def xFullPathname(self, name: str) -> str:
        return name


class _Found:
    """What a statement gave, as the module sqlite3 gives it."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        self._rows = list(cursor)
        self.rowcount: int = connection.changes()

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows


class DiskConnection:
    """A connection to the disk with the methods of sqlite3's that the journal uses."""

    def __init__(self, disk: Disk) -> None:
        self._vfs = DiskVFS(disk)
        self._connection = apsw.Connection("j.db", vfs=self._vfs.name)
        # Without memory that processes share there is a log only for the one that has the file to itself.
        self.execute("PRAGMA locking_mode = EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def execute(self, statement: str, values: Any = ()) -> _Found:
        return _Found(self._connection, self._connection.execute(statement, values))

    def executemany(self, statement: str, values: Any) -> None:
        self._connection.executemany(statement, values)

    def close(self) -> None:
        self._connection.close()


def connect_to(disk: Disk) -> Any:
    """A connection as the journal's writer has it."""
    connection = DiskConnection(disk)
    prepare(connection, Path("j.db"))
    return connection
