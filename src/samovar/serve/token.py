"""The token that HTTP clients show: made once, kept where only its user may read it.

Above: the daemon, and `samovar serve --token`. Below: the folder of the daemon.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from samovar.errors import UsageError

NAME = "token"
BYTES = 32


def own_token(folder: Path) -> str:
    """The token, which is made if there is none. Raises `UsageError` if others may read it."""
    path = folder / NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _read(path)
    with open(descriptor, "w", encoding="ascii") as file:
        made = f"sv-{secrets.token_urlsafe(BYTES)}"
        file.write(made + "\n")
    return made


def _read(path: Path) -> str:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii", errors="replace") as file:
        there = os.fstat(file.fileno())
        if there.st_uid != os.geteuid() or there.st_mode & 0o077:
            raise UsageError(f"Others may read {path}. Delete it: a new token is made then.")
        text = file.read(1000).strip()
    if len(text) < BYTES:
        raise UsageError(f"{path} does not have a token. Delete it: a new one is made then.")
    return text
