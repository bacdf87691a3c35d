"""Where the settings say that runs are kept, and the journal there.

Above: the doors. Below: the journal on disk, imported when it is opened. The file is made with the first run
that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from samovar.config import Settings
from samovar.errors import JournalError, UsageError
from samovar.files import exists, is_file, is_folder
from samovar.projects.places import state_folder

if TYPE_CHECKING:
    from samovar.journal.sqlite import SqliteJournal


def journal_file(settings: Settings) -> Path:
    """Where runs are kept. Raises `UsageError` for a user without a place for it."""
    file = settings.journal_file
    if file is not None:
        why = _no_file(file)
        if why is not None:
            raise UsageError(
                f"The journal {file} cannot be used: {why} (--journal, or the setting `journal_file`)."
            )
        return file
    folder = state_folder()
    if folder is None:
        raise UsageError(
            "There is no home folder to store runs in. Set HOME or XDG_STATE_HOME, or name a file with "
            "--journal."
        )
    return folder / "journal.db"


def _no_file(path: Path) -> str | None:
    """Why no journal can be at a path that somebody has named, and what to do; None: one can."""
    if not path.name or is_folder(path):
        return "it is a folder. Name a file in it"
    if not is_folder(path.parent):
        return f"there is no folder {path.parent}. Make it first, or correct the path"
    if exists(path) and not is_file(path):
        return "it is not a regular file. Name another one"
    return None


def is_named(settings: Settings) -> bool:
    """Somebody has named the file: if runs cannot be kept there, that is an error."""
    return settings.journal_file is not None


@contextmanager
def open_journal(settings: Settings) -> Iterator[SqliteJournal]:
    """The journal, until the body ends. Nothing is made yet."""
    try:
        from samovar.journal.sqlite import SqliteJournal
    except ImportError as error:
        raise JournalError("Runs cannot be kept: this Python has no sqlite3.") from error
    from samovar.journal.pruning import Retention

    # Who names a file of his own keeps it as he likes.
    retention = Retention(days=settings.journal_days, most_bytes=settings.journal_bytes)
    journal = SqliteJournal(journal_file(settings), retention=None if is_named(settings) else retention)
    try:
        yield journal
    finally:
        journal.close()
