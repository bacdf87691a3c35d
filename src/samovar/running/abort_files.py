"""Files that end runs: one of each run, and one of a folder, which ends the runs that began before it.

Above: the loop, which looks before each state. Below: nothing. Mutable: only the file system, from which a
run deletes the file of its own.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from samovar.events import RunError

ABORT_FILE = Path(".swissarmyhammer") / ".abort"
"""A file of this name below the folder, written after a run began, ends it before its next state; its text is
the reason. It ends every run of the folder, and nobody deletes it. By its state and not by a clock it is told
from one that was there before: clocks are set, and those of files lag behind."""
OWN_ABORT_FILE = Path(".samovar") / "abort"
"""In this folder below it, a file with the name of a run ends that run only, which deletes it."""


class AbortedError(Exception):
    """`Abort`, or the abort file: ends every frame. `state` is the path of the one that aborted."""

    def __init__(self, reason: str, state: str | None = None) -> None:
        super().__init__(reason)
        self.error = RunError(code="aborted", message=reason, state=state)


class AbortFiles:
    """Those that end one run, which begins now."""

    def __init__(self, folder: Path, run: str) -> None:
        """`folder`: where its commands run. `run`: its id."""
        self._folder = folder
        self._shared = folder / ABORT_FILE
        self._own = folder / OWN_ABORT_FILE / run
        self._old = _state_of(self._shared)

    def check(self) -> None:
        """Raises `AbortedError` if there is one for the run."""
        for file, before in ((self._own, None), (self._shared, self._old)):
            now = _state_of(file)
            if now is None or now == before:
                continue
            reason = ""
            with suppress(OSError, UnicodeDecodeError):
                reason = file.read_text(encoding="utf-8").strip()
                if file == self._own:
                    file.unlink()
            raise AbortedError(reason or f"There was a file {file.relative_to(self._folder)}.")


def _state_of(file: Path) -> tuple[int, int, int, int] | None:
    """What tells a file from another one that was written there later; None if there is none."""
    try:
        stat = file.stat()
    except (OSError, ValueError):
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
