"""Long outcomes: each kept once, by its digest; the longest as files beside the journal.

Above: `sqlite.py`. Below: files. A file is there before the row that names it, so that a process killed in
between leaves at most a file that nobody names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from samovar.errors import JournalError, UsageError
from samovar.files import write_whole

SHORT_CHARS = 2_000
"""Up to here an outcome is in the row of its visit."""
LONG_CHARS = 1_000_000
"""From here on it is a file."""


class Texts:
    """Texts of one journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, connection: Any, text: str) -> tuple[str | None, str | None]:
        """Keeps a text: gives it for its row, or the digest that it is found by. Raises `JournalError`."""
        if len(text) <= SHORT_CHARS:
            return text, None
        digest = hashlib.sha256(text.encode("ascii")).hexdigest()
        body: str | None = text
        if len(text) >= LONG_CHARS:
            self._write(digest, text)
            body = None
        connection.execute("INSERT OR IGNORE INTO text (digest, body) VALUES (?, ?)", (digest, body))
        return None, digest

    def read(self, connection: Any, digest: str) -> str:
        """The text of a digest. Raises `JournalError` if it is not there as it was."""
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
        """Deletes those of the texts that nothing names any more, within a transaction that writes.

        A file is deleted within it too: whoever would name it again has to wait, and finds it gone.
        """
        for digest in digests:
            found = connection.execute(
                "SELECT body IS NULL FROM text WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM visit "
                "WHERE visit.text = digest) AND NOT EXISTS (SELECT 1 FROM run WHERE run.head_text = digest)",
                (digest,),
            ).fetchone()
            if found is None:
                continue
            connection.execute("DELETE FROM text WHERE digest = ?", (digest,))
            if found[0]:
                with suppress(OSError):  # it is named by nothing, and so only takes room
                    (self._folder / digest).unlink()

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
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_whole(path, text)
        except (OSError, UsageError) as error:
            raise JournalError(f"A value cannot be kept: {error}.") from error
