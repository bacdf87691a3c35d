"""Reads and writes files: a text of bounded size, and a file that is written completely or not at all.

Above: the library, cases, reports of tests. Below: the errors.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from samovar.errors import Fault, FaultsError, Place, UsageError

LARGEST_FILE_BYTES = 4_000_000


@contextmanager
def locked(file: IO[Any] | int) -> Iterator[None]:
    """Holds an open file or folder, if the system can, so that no other process that asks has it too."""
    try:
        import fcntl
    except ImportError:  # as on Windows
        yield
        return
    with suppress(OSError):  # as on some network file systems
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def write_whole(path: Path, text: str) -> None:
    """Replaces a file's content, or makes it; at no moment is there a part of it. Links are followed.

    A file that has other names too (hard links) keeps them: it is written over, and gets back what it held if
    that fails. Raises `UsageError` if it cannot be written; what was there stays.
    """
    target = path.resolve()
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists() and target.stat().st_nlink > 1:
            _write_over(target, text.encode())
            return
        if target.exists():
            shutil.copymode(target, temporary)
        else:
            temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _write_over(target: Path, raw: bytes) -> None:
    with target.open("r+b") as file:
        before = file.read()
        try:
            _put(file, raw)
        except OSError:
            with suppress(OSError):
                _put(file, before)
            raise


def _put(file: BinaryIO, raw: bytes) -> None:
    file.seek(0)
    file.write(raw)
    file.truncate()
    file.flush()
    os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_text(path: Path) -> str:
    """A file's text. Raises `UsageError` for what is not readable UTF-8 text."""
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, not a file.")
        if not path.is_file():
            there = path.exists()
            raise UsageError(f"{path} is not a regular file." if there else f"There is no file {path}.")
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(raw) > LARGEST_FILE_BYTES:
        raise UsageError(f"{path} is larger than {LARGEST_FILE_BYTES // 1_000_000} MB.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        place = Place(path=path, line=line, column=column)
        fault = Fault(code="not-text", message="The file is not UTF-8 text. Save it as UTF-8.", place=place)
        raise FaultsError([fault]) from error


def is_link(path: Path) -> bool:
    """Whether it is a link, wherever that leads; False for what cannot be looked at."""
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether something is there; False for what cannot be looked at."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False for what cannot be looked at."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether a regular file is there; False for what cannot be looked at."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def modified_ns(path: Path) -> int:
    """When it was changed last, in nanoseconds since 1970; 0 for what cannot be looked at."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
