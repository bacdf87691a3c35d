"""The writer of a journal, from the first write on: a run that keeps nothing makes no file.

Above: `sqlite.py`. Below: `writer.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio.to_thread

from samovar.errors import JournalError
from samovar.journal.writer import Writer


class LateWriter:
    """Opens the writer when it is asked for. Mutable: the writer."""

    def __init__(self, file: Path, open_writer: Callable[[Path], Writer]) -> None:
        self._file, self._open_writer = file, open_writer
        self._writer: Writer | None = None

    def now(self) -> Writer:
        """For a thread that may wait. Raises `JournalError` if the journal cannot be opened."""
        return self._writer or self._first(self._open_writer(self._file))

    async def get(self) -> Writer:
        """As `now`, in a thread: another process may have to be waited for."""
        if self._writer is not None:
            return self._writer
        try:
            return self._first(await anyio.to_thread.run_sync(self._open_writer, self._file))
        except RuntimeError as error:  # a user who may not have another thread
            raise JournalError(f"The journal {self._file} cannot be used: {error}.") from error

    def close(self) -> None:
        """All is written, and the file is given back."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _first(self, opened: Writer) -> Writer:
        """The one that was opened first, if two were at the same time."""
        if self._writer is None:
            self._writer = opened
        else:
            opened.close()
        return self._writer
