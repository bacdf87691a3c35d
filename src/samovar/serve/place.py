"""Where a daemon is reached: a folder of its user, a lock that one daemon has, and the socket.

Above: `daemon.py`. Below: the system. The socket is made here, so that nobody else may ever open it: 0600 in
a folder of mode 0700. One daemon has the lock, so that a socket that is there without it is stale.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from samovar.errors import UsageError
from samovar.projects.places import SOCKET, serve_folder

LONGEST_PATH = 103 if os.uname().sysname == "Darwin" else 107
"""Bytes of a socket's path, as the system has room for."""
WAITING = 512
"""Connections that wait to be accepted."""


def own_folder() -> Path:
    """The folder, which nobody else may look into. Raises `UsageError`."""
    folder = serve_folder()
    if folder is None:
        raise UsageError("There is no home folder, and so no place for the socket. Set XDG_STATE_HOME.")
    length = len(os.fsencode(folder / SOCKET))
    if length > LONGEST_PATH:
        raise UsageError(
            f"The path of the socket has {length} bytes, and the system takes {LONGEST_PATH}: "
            f"{folder / SOCKET}. Set XDG_STATE_HOME to a shorter path, for those who use the daemon too."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.geteuid():
        raise UsageError(f"{folder} belongs to another user.")
    folder.chmod(0o700)
    return folder


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """As long as this lasts, no other daemon of this user serves. Raises `UsageError` if one does."""
    with open(folder / "lock", "a+", encoding="ascii") as file:
        os.chmod(file.fileno(), 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise UsageError(
                f"samovar serve runs already (process {file.read(20).strip() or 'unknown'}). "
                "samovar serve --status shows it, --stop ends it."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def listening(folder: Path) -> Iterator[socket.socket]:
    """The socket, taken over if it is stale, and removed at the end. Call it while `only_one` lasts."""
    path = folder / SOCKET
    with suppress(FileNotFoundError):
        path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.listen(WAITING)
        made.setblocking(False)
        try:
            yield made
        finally:
            withdraw(made)


@contextmanager
def listening_at(host: str, port: int) -> Iterator[socket.socket]:
    """A socket of TCP. Raises `UsageError` if the address cannot be had."""
    try:
        made = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=WAITING
        )
    except OSError as error:
        raise UsageError(
            f"HTTP cannot be served at {host}, port {port}: {error.strerror}. Choose another --port, or use "
            "--no-http."
        ) from None
    with made:
        made.setblocking(False)
        yield made


def withdraw(listener: socket.socket) -> None:
    """Nobody finds the socket any more: who comes now answers for himself."""
    with suppress(OSError):  # it is withdrawn already
        Path(listener.getsockname()).unlink()
