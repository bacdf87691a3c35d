"""The key of a journal, for digests of what has a secret in it: a file of its own, for its user alone.

Above: `sqlite_run.py`. Below: the file system. Nobody who has the journal without that file can try texts
until one has the digest that is kept.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from samovar.errors import JournalError

KEY_BYTES = 32


def key_beside(file: Path) -> bytes:
    """The key of the journal in that file; made if there is none. Raises `JournalError`."""
    path = file.with_name(file.name + ".key")
    try:
        with suppress(FileNotFoundError):
            return _whole(path)
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(secrets.token_bytes(KEY_BYTES))
                opened.flush()
                os.fsync(opened.fileno())
            with suppress(FileExistsError):  # another process was quicker: its key counts
                os.link(new, path)
        finally:
            new.unlink()
        return _whole(path)
    except OSError as error:
        raise JournalError(f"The key of the journal, {path}, cannot be used: {error.strerror}.") from error


def _whole(path: Path) -> bytes:
    found = path.read_bytes()
    if len(found) != KEY_BYTES:
        raise JournalError(f"The key of the journal, {path}, is damaged. Delete it: `samovar rerun` then "
                           "performs again what had a secret in it.")  # fmt: skip
    return found
