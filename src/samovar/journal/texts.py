"""Long texts: each kept once, by its digest, however many visits have it; the longest as files beside.

Above: `sqlite.py`. Below: files. A file is there before the row that names it, so that a process killed in
between leaves at most a file that nobody names. A text is there as long as a run uses it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.errors import JournalError, UsageError
from samovar.files import write_whole
from samovar.journal.codec import from_json, to_json, written
from samovar.journal.kill_points import KillPoint, reach

SHORT_CHARS = 700
"""Up to here what is left of an outcome is in the row of its visit, which then needs no page of its own."""
LONG_CHARS = 1_000_000
"""From here on a text is a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A value as it is kept."""

    inline: str | None
    """For its row; None: `digest` has it."""
    digest: str | None
    apart: Mapping[str, str]
    """The texts that are kept apart, by digest."""


def cut(value: object) -> Cut:
    """A value without its long texts, and these. Raises `JournalError` for one that cannot be kept."""
    apart: dict[str, str] = {}
    known: dict[str, str] = {}
    """By text: what a command wrote is in several variables."""

    def keep(body: str) -> str:
        digest = hashlib.sha256(body.encode("ascii")).hexdigest()
        apart[digest] = body
        return digest

    def keep_text(text: str) -> str:
        if text not in known:
            known[text] = keep(written(text))
        return known[text]

    inline = to_json(value, keep_text)
    if len(inline) <= SHORT_CHARS:
        return Cut(inline=inline, digest=None, apart=apart)
    return Cut(inline=None, digest=keep(inline), apart=apart)


class Texts:
    """Texts of one journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, connection: Any, run: int, kept: Cut) -> None:
        """Keeps what is apart, for the run of that number. Raises `JournalError`."""
        for digest, text in kept.apart.items():
            body: str | None = text
            if len(text) >= LONG_CHARS:
                self._write(digest, text)
                reach(KillPoint.VALUE_FILE)
                body = None
            connection.execute("INSERT OR IGNORE INTO text (digest, body) VALUES (?, ?)", (digest, body))
            connection.execute("INSERT OR IGNORE INTO used (run, digest) VALUES (?, ?)", (run, digest))

    def value(self, connection: Any, inline: str | None, digest: str | None = None) -> Any:
        """The value that was cut. Raises `JournalError` if a text is not there as it was."""
        text = inline if digest is None else self._read(connection, digest)
        if text is None:
            return None
        return from_json(text, lambda one: str(json.loads(self._read(connection, one))))

    def _read(self, connection: Any, digest: str) -> str:
        row = connection.execute("SELECT body FROM text WHERE digest = ?", (digest,)).fetchone()
        if row is not None and row[0] is not None:
            return str(row[0])
        try:
            text = (self._folder / digest).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise JournalError(f"A value of the journal is missing: {self._folder / digest}.") from error
        if hashlib.sha256(text.encode("ascii")).hexdigest() != digest:
            raise JournalError(f"A value of the journal was changed: {self._folder / digest}.")
        return text

    def drop_unused(self, connection: Any, digests: Iterable[str]) -> None:
        """Deletes those texts that no run uses any more, within a transaction; `sweep` deletes files."""
        connection.executemany(
            "DELETE FROM text WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM used WHERE digest = ?1)",
            [(digest,) for digest in digests],
        )

    def sweep(self, connection: Any) -> None:
        """Deletes the files that no row names, within a transaction that writes.

        Nobody keeps a text meanwhile. The rows went in an earlier transaction: a file that a row still needs
        is never deleted, wherever the process ends.
        """
        try:
            beside = os.listdir(self._folder)
        except OSError:
            return
        named = {row[0] for row in connection.execute("SELECT digest FROM text WHERE body IS NULL")}
        for name in beside:
            if name not in named:
                with suppress(OSError):  # it is named by nothing, and so only takes room
                    (self._folder / name).unlink()

    def beside_bytes(self) -> int:
        """How much the files take."""
        try:
            with os.scandir(self._folder) as found:
                return sum(one.stat().st_size for one in found)
        except OSError:
            return 0

    def _write(self, digest: str, text: str) -> None:
        path = self._folder / digest
        if path.exists():
            return
        try:
            if not self._folder.exists():
                self._folder.mkdir(mode=0o700, exist_ok=True)
                _sync(self._folder.parent)
            write_whole(path, text)
            _sync(self._folder)  # a row that survives a loss of power must find the name of its file
        except (OSError, UsageError) as error:
            raise JournalError(f"A value cannot be kept in the journal: {error}") from error


def _sync(folder: Path) -> None:
    """The names in a folder survive a loss of power."""
    if os.name == "nt":  # where a folder cannot be opened, and names are kept with their files
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
