"""The files of a case: those at its beginning, and the run's changes. The disk is not touched.

Above: the stage, and recordings, which keep files by the same names. Below: what actions ask of files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.errors import FileError


def name_of(path: Path, folder: Path) -> str:
    """The path of a file from the folder in which the run was started; all of it for one elsewhere."""
    whole = os.path.normpath(path)
    below = os.path.relpath(whole, folder) if Path(whole).is_relative_to(folder) else whole
    return PurePosixPath(Path(below)).as_posix()


class SeenFiles:
    """The files of a run that is recorded. Mutable: what each held before, and what it holds now, by path."""

    def __init__(self) -> None:
        self._before: dict[Path, bytes | None] = {}
        self._now: dict[Path, bytes] = {}

    def read(self, target: Target, raw: bytes) -> None:
        """A file was read."""
        self._began(target.path, raw)

    def _began(self, path: Path, raw: bytes | None) -> None:
        """Keeps what a file held before the run, which is what is seen of it first."""
        if path not in self._now and not self._before.get(path) and (raw or path not in self._before):
            self._before[path] = raw

    def found(self, search: Search, paths: Sequence[str]) -> None:
        """Files were found, which may never be read."""
        for path in paths:
            self._began(search.folder / path.removeprefix(search.shown), b"")

    def watched(self, target: Target, change: Change) -> Change:
        """The same change, which is kept when it is made."""

        def make(before: bytes | None) -> bytes:
            self._began(target.path, before)
            self._now[target.path] = change.make(before)
            return self._now[target.path]

        return replace(change, make=make)

    def given(self, folder: Path) -> dict[str, str]:
        """What there was, as a case has it."""
        return _texts({path: raw for path, raw in self._before.items() if raw is not None}, folder)

    def left(self, folder: Path) -> dict[str, str]:
        """What was written, as a case expects it."""
        return _texts(self._now, folder)


def _texts(files: Mapping[Path, bytes], folder: Path) -> dict[str, str]:
    """Those that are texts."""
    found: dict[str, str] = {}
    for path, raw in files.items():
        with suppress(UnicodeDecodeError):
            found[name_of(path, folder)] = raw.decode()
    return found


class ToldFiles:
    """Files in memory. Mutable: what they hold, by name."""

    def __init__(self, given: Mapping[str, str], folder: Path) -> None:
        """`folder`: where the run is started."""
        self._folder = folder
        self.held = {name_of(folder / name, folder): text.encode() for name, text in given.items()}

    def read(self, target: Target, most_bytes: int) -> bytes:
        """As `file_system.read`."""
        raw = self.held.get(name_of(target.path, self._folder))
        if raw is None:
            raise FileError(f"There is no file {target.shown}.")
        if len(raw) > most_bytes:
            raise FileError(f"{target.shown} is larger than {most_bytes:,} bytes.")
        return raw

    def write(self, target: Target, change: Change) -> None:
        """As `file_system.write`."""
        name = name_of(target.path, self._folder)
        before = None if change.most_bytes is None else self.held.get(name)
        if before is not None and len(before) > (change.most_bytes or 0):
            raise FileError(f"{target.shown} is larger than {change.most_bytes:,} bytes.")
        self.held[name] = change.make(before)

    def find(self, search: Search) -> list[str]:
        """As `file_system.find`."""
        found = []
        for name in self.held:
            path = Path(os.path.normpath(self._folder / name))
            root = Path(os.path.normpath(search.folder))
            if not path.is_relative_to(root):
                continue
            names, places = path.relative_to(root).parts, search.begin()
            for one in names:
                places = search.step(places, one)
            if search.is_found(places):
                found.append(search.shown + "/".join(names))
        return sorted(found)
