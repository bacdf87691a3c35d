"""Reads, writes and finds files on this machine, without following links below the author's folder.

Above: `outside.py`, by which a run gets to it. Below: the system. Each folder on the way is opened from the
one above it, by its name, refusing a link; so nobody can put one there between a look and the use. Windows
has no such call: there each name is looked at before it is used. A file is written whole or not at all.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import anyio.to_thread

from samovar.actions.file_places import Search, Target
from samovar.errors import FileError

MOST_FOUND = 10_000
"""Files that one search may find."""
MOST_LOOKED_AT = 1_000_000
"""Entries of folders that one search may look at."""
_DEEPEST = 100
"""Folders within one another."""
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 1 << 30)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _FLAGS
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _FLAGS
HAS_FOLDERS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""A folder can be held open, and names taken from it."""
_WRITING = Lock()
"""Held while a file is read and written again, so that two who add to it both do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of a file."""

    make: Callable[[bytes | None], bytes]
    """Gives what it is to hold of what it holds; None: it is not there, or that is not asked for."""
    most_bytes: int | None = None
    """What it may hold before; None: that is not asked for."""
    adds: bool = False
    """It stays as it is, with more at its end."""


class _Folder:
    """A folder whose names can be used: held open, or by its path if the system has no such thing."""

    def __init__(self, at: int | Path) -> None:
        self._at = at

    def _named(self, name: str) -> tuple[str | Path, dict[str, int]]:
        return (name, {"dir_fd": self._at}) if isinstance(self._at, int) else (self._at / name, {})

    def state(self, name: str) -> os.stat_result | None:
        """The state of the entry itself, even if it is a link; None if there is none."""
        path, where = self._named(name)
        try:
            return os.stat(path, follow_symlinks=False, **where)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int) -> int:
        path, where = self._named(name)
        if not HAS_FOLDERS and flags & _NO_LINK and _is_link(path):
            raise OSError(errno.ELOOP, "It is a link")
        return os.open(path, flags if HAS_FOLDERS else flags & ~_NO_LINK, 0o666, **where)

    def make(self, name: str) -> None:
        path, where = self._named(name)
        with suppress(FileExistsError):
            os.mkdir(path, **where)

    def enter(self, name: str) -> _Folder:
        """The folder of that name. Raises `OSError`, also for a link."""
        if HAS_FOLDERS:
            return _Folder(self.open(name, _FOLDER | _NO_LINK))
        path, _ = self._named(name)
        if _is_link(path):
            raise OSError(errno.ELOOP, "It is a link")
        if not os.path.isdir(path):
            raise FileNotFoundError(errno.ENOENT, "No such folder")
        return _Folder(Path(path))

    def replace(self, name: str, other: str) -> None:
        (path, _), (target, _) = self._named(name), self._named(other)
        if isinstance(self._at, int):
            os.replace(path, target, src_dir_fd=self._at, dst_dir_fd=self._at)
        else:
            os.replace(path, target)

    def remove(self, name: str) -> None:
        path, where = self._named(name)
        with suppress(FileNotFoundError):
            os.unlink(path, **where)

    def entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._at) as entries:
            yield from entries

    def close(self) -> None:
        if isinstance(self._at, int):
            os.close(self._at)


def _is_link(path: str | Path) -> bool:
    is_junction: Callable[[str | Path], bool] = getattr(os.path, "isjunction", lambda path: False)
    return os.path.islink(path) or is_junction(path)


@contextmanager
def _entered(folder: Path, names: Sequence[str], *, make: bool = False) -> Iterator[_Folder]:
    """The folder of these names below another one, each from the one above; made if it is not there."""
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    at = _Folder(os.open(folder, _FOLDER) if HAS_FOLDERS else folder)
    try:
        for name in names:
            if make:
                at.make(name)
            inner = at.enter(name)
            at.close()
            at = inner
        yield at
    finally:
        at.close()


@contextmanager
def _said(shown: str, doing: str) -> Iterator[None]:
    """Makes one message of what the system says."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENOTDIR):
            reason = "part of the path is a link or is not a folder; links are not followed there"
        raise FileError(f"{shown} cannot be {doing}: {reason}.") from error


def read(target: Target, most_bytes: int) -> bytes:
    """What a file holds. Raises `FileError`."""
    with _said(target.shown, "read"), _entered(target.folder, target.below[:-1]) as folder:
        raw = _read(folder, target, most_bytes, follow=target.is_own)
    if raw is None:
        raise FileError(f"There is no file {target.shown}.")
    return raw


def _read(folder: _Folder, target: Target, most_bytes: int, *, follow: bool = False) -> bytes | None:
    try:
        handle = folder.open(target.below[-1], _READ if follow else _READ | _NO_LINK)
    except FileNotFoundError:
        return None
    try:
        _check_regular(os.fstat(handle), target)
        file = os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
    with file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise FileError(f"{target.shown} is larger than {most_bytes:,} bytes; `limit=50MB` allows more.")
    return raw


def _check_regular(state: os.stat_result, target: Target) -> None:
    if stat.S_ISLNK(state.st_mode):
        raise FileError(f"{target.shown} is a symbolic link; links are not followed.")
    if not stat.S_ISREG(state.st_mode):
        what = "a folder" if stat.S_ISDIR(state.st_mode) else "not a regular file"
        raise FileError(f"{target.shown} is {what}.")


def write(target: Target, change: Change) -> None:
    """Replaces a file, or makes it and the folders on the way; at no moment is there a part of it.

    It keeps its mode. Raises `FileError`; what was there stays.
    """
    *above, name = target.below
    with (
        _WRITING,
        _said(target.shown, "written"),
        _entered(target.folder, above, make=True) as folder,
    ):
        state = folder.state(name)
        if state is not None:
            _check_regular(state, target)
        before = None if change.most_bytes is None else _read(folder, target, change.most_bytes)
        _put(folder, name, change.make(before), state)


def _put(folder: _Folder, name: str, raw: bytes, state: os.stat_result | None) -> None:
    part = f".{secrets.token_hex(12)}.part"
    handle = folder.open(part, _NEW)
    try:
        with os.fdopen(handle, "wb") as file:
            if state is not None and hasattr(os, "fchmod"):
                os.fchmod(handle, stat.S_IMODE(state.st_mode))
            file.write(raw)
            file.flush()
            os.fsync(handle)
        folder.replace(part, name)
    except BaseException:
        folder.remove(part)
        raise


def find(search: Search) -> list[str]:
    """The files that are meant, as paths that begin as written, in order. Links are not files here.

    Raises `FileError` for too many. A folder that is not there has no files.
    """
    found: list[str] = []
    left = [MOST_LOOKED_AT]

    def look(folder: _Folder, before: str, places: frozenset[int], depth: int) -> None:
        for entry in sorted(folder.entries(), key=lambda one: one.name):
            left[0] -= 1
            if left[0] < 0:
                raise FileError(
                    f"{search.pattern} has to look at more than {MOST_LOOKED_AT:,} folder entries."
                )
            following = search.step(places, entry.name)
            if not following or entry.is_symlink():
                continue
            if search.is_found(following) and entry.is_file(follow_symlinks=False):
                _keep(before + entry.name, found, search)
            elif entry.is_dir(follow_symlinks=False) and depth < _DEEPEST:
                with suppress(OSError):  # it is gone, a link by now, or closed to us
                    inner = folder.enter(entry.name)
                    try:
                        look(inner, f"{before}{entry.name}/", following, depth + 1)
                    finally:
                        inner.close()

    with _said(search.pattern, "looked for"):
        try:
            with _entered(search.folder, ()) as folder:
                look(folder, search.shown, search.begin(), 0)
        except FileNotFoundError:
            return []
    return sorted(found)


def _keep(path: str, found: list[str], search: Search) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise FileError(f"The name of a file that {search.pattern} matches is not UTF-8: {path!a}.") from None
    found.append(path)
    if len(found) > MOST_FOUND:
        raise FileError(f"{search.pattern} matches more than {MOST_FOUND:,} files.")


async def read_file(target: Target, most_bytes: int) -> bytes:
    """As `read`, on another thread."""
    return await anyio.to_thread.run_sync(read, target, most_bytes)


async def write_file(target: Target, change: Change) -> None:
    """As `write`, on another thread."""
    await anyio.to_thread.run_sync(write, target, change)


async def find_files(search: Search) -> list[str]:
    """As `find`, on another thread."""
    return await anyio.to_thread.run_sync(find, search)
