"""The folders that belong to a project, and those that belong to its user.

Above: `config_files.py` and `trust.py`, and the folders of the library. Below: files. A project is the folder
that one is in and those around it, up to the repository's root; what may not be looked at is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from samovar.files import exists

ROOT_MARKS = (".git", ".hg", ".jj", ".svn")
"""What the root of a repository has in it."""


def levels(start: Path) -> Iterator[Path]:
    """The folder `start` and those around it, nearest first.

    The last is the root of a repository, or the home folder; without either, that of the file system.
    """
    homes = _homes()
    for folder in (start.absolute(), *start.absolute().parents):
        yield folder
        if folder in homes or any(exists(folder / mark) for mark in ROOT_MARKS):
            return


def _homes() -> tuple[Path, ...]:
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor the system knows of one
        return ()
    return home, home.resolve()


def user_folder() -> Path | None:
    """The user's own folder of settings, workflows and prompts; None for a user without a home folder."""
    return _of_user("user_config_path")


def state_folder() -> Path | None:
    """Where is kept what the user has decided; None for a user without a home folder."""
    return _of_user("user_state_path")


def serve_folder() -> Path | None:
    """Where a daemon has its socket, its lock and its token; None for a user without a home folder."""
    folder = state_folder()
    return None if folder is None else folder / "serve"


SOCKET = "samovar.sock"
"""The name of the daemon's socket in that folder."""


def _of_user(kind: str) -> Path | None:
    import platformdirs

    try:
        folder: Path = getattr(platformdirs, kind)("samovar")
    except RuntimeError:  # neither HOME nor the system knows of one
        return None
    return folder if folder.is_absolute() else None
