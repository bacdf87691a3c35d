"""Files that end runs: one for each run, and the older system's, for all runs of a folder.

Above: the loop, which looks before each state. Below: `actions/outside.py`. Which old file counts is kept
from the beginning of a run on; nothing here ends anything but by raising.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from samovar.actions.reached import Files
from samovar.events import RunError

ABORT_FILE = Path(".swissarmyhammer") / ".abort"
"""A file of this name below the folder, written after a run began, ends it before its next state; its text is
the reason. It ends every run of the folder, and nobody deletes it. By its state and not by a clock it is
told apart from one that was there before: clocks are set, and those of files lag behind."""
OWN_ABORT_FILE = Path(".samovar") / "abort"
"""In this folder below it, a file with the name of a run ends that run only, which deletes it."""


class AbortedError(Exception):
    """`Abort`, or the abort file: ends every frame. `state` is the path of the one that aborted."""

    def __init__(self, reason: str, state: str | None = None) -> None:
        super().__init__(reason)
        self.error = RunError(code="aborted", message=reason, state=state)


class AbortFiles:
    """The abort files of one run. Mutable: it knows the old file that was there when the run began."""

    def __init__(self, files: Files, folder: Path, run: str) -> None:
        self._files, self._folder = files, folder
        self._old, self._own = folder / ABORT_FILE, folder / OWN_ABORT_FILE / run
        self._was_there = files.state_of(self._old)

    def check(self) -> None:
        """Raises `AbortedError` if there is one for this run."""
        for file, before in ((self._own, None), (self._old, self._was_there)):
            now = self._files.state_of(file)
            if now is None or now == before:
                continue
            reason = ""
            with suppress(OSError, UnicodeDecodeError):
                reason = self._files.read_text(file).strip()
                if file == self._own:
                    self._files.delete(file)
            raise AbortedError(reason or f"There was a file {file.relative_to(self._folder)}.")
