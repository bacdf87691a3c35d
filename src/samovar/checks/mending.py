"""Fixes a workflow's file: everything with one safe fix (`Fix`), and only if the meaning stays the same.

Above: `samovar check --fix`. Below: `checking.py`, whose faults carry the fixes; `edits.py` and `meaning.py`;
the library; `files.py`. Nothing is written by `mend`; a `Mended` writes itself. Every character outside the
fixes stays as it is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from samovar.checks.checking import check_workflow
from samovar.checks.edits import Edit, applied, edits_of, where_it_was
from samovar.checks.meaning import meaning_of
from samovar.checks.old_files import offered
from samovar.checks.typed import MISTYPED
from samovar.checks.unified_diff import unified_diff
from samovar.errors import Fault, FaultsError, UsageError
from samovar.files import read_text, write_whole
from samovar.language.workflow import Workflow
from samovar.library import Library

MOST_PASSES = 100
"""Readings after which a file is left as it has become; each fixes all that can be fixed at once."""
MOST_TRIALS = 60
"""Readings of one file to find which of its fixes would change its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A file, fixed in memory."""

    path: Path
    before: str
    after: str
    """The same text if there was nothing to fix."""
    done: tuple[Fault, ...]
    """What was fixed, with its places in `before`."""
    left: tuple[Fault, ...]
    """What has a fix that was not made: the file has errors, or would mean something else."""
    faults: tuple[Fault, ...]
    """What is wrong or doubtful afterwards; places are those in `after`."""
    is_read: bool
    """The file has no errors that keep it from being read."""

    @property
    def diff(self) -> str:
        """The change as a unified diff, which `patch` takes; empty if there is none."""
        return unified_diff(self.path, self.before, self.after, self.done)

    def write(self) -> None:
        """Replaces the file's text, whole or not at all. Permissions and links stay.

        Raises `UsageError` if the file is read-only, has changed since it was read, or cannot be written.
        """
        if self.after == self.before:
            return
        if read_text(self.path) != self.before:
            raise UsageError(f"{self.path} has changed meanwhile, so it was not fixed: try again.")
        if not self.path.stat().st_mode & 0o222 or not os.access(self.path, os.W_OK):
            raise UsageError(f"{self.path} is read-only, so it was not fixed: make it writable first.")
        write_whole(self.path, self.after)


def mend(path: Path, library: Library, *, lenient: bool = False) -> Mended:
    """What becomes of a file when all its fixes are made, over and over until there are none.

    A file that cannot be read for its errors stays as it is, unless all of them have a fix. Raises
    `UsageError` for what is not a readable file, `FaultsError` for what is not text.
    """
    text = read_text(path)
    mender = _Mender(path, library, lenient)
    now: _Read | None = None
    try:
        now = mender.read(text)
        faults = now.faults
    except FaultsError as error:
        faults = error.faults
    done: list[Fault] = []
    passes: list[Sequence[Edit]] = []
    edits = mender.repairs(text, faults, is_read=now is not None)
    if edits and (repaired := mender.repaired(text, edits, now)):
        done, passes, now = [edit.fault for edit in edits], [edits], repaired
    if now is None:
        left = tuple(fault for fault in faults if fault.fix)
        return Mended(path=path, before=text, after=text, done=(), left=left, faults=faults, is_read=False)
    for _ in range(MOST_PASSES):
        edits = edits_of(now.text, now.faults, path)
        kept, then = mender.kept(now, edits)
        if not kept:
            break
        done += (where_it_was(edit.fault, now.text, text, passes) for edit in kept)
        passes.append(kept)
        now = then
    left = tuple(edit.fault for edit in edits_of(now.text, now.faults, path))
    done.sort(key=lambda fault: (fault.place.line, fault.place.column))
    return Mended(
        path=path, before=text, after=now.text, done=tuple(done), left=left, faults=now.faults, is_read=True
    )


class _Read(NamedTuple):
    text: str
    workflow: Workflow
    faults: tuple[Fault, ...]


class _Mender:
    """Reads one file's text as it becomes another. Mutable: how often it has done so in vain."""

    def __init__(self, path: Path, library: Library, lenient: bool) -> None:
        self._path, self._library, self._lenient = path, library, lenient
        self._trials = 0

    def read(self, text: str) -> _Read:
        """Raises `FaultsError`."""
        workflow = self._library.read(text, self._path, lenient=self._lenient)
        return _Read(text, workflow, check_workflow(workflow, self._library))

    def repairs(self, text: str, faults: Sequence[Fault], *, is_read: bool) -> Sequence[Edit]:
        """The edits that make a file runnable which is not: its dialect said, or each error with a fix.

        One that can be read means something but for what is of the wrong type, which no run takes.
        """
        if (offer := offered(text, self._path, self._library, faults)) is not None:
            return edits_of(text, [offer], self._path)
        if is_read:
            return edits_of(text, [fault for fault in faults if fault.code == MISTYPED], self._path)
        return edits_of(text, [fault for fault in faults if fault.severity == "error"], self._path)

    def repaired(self, text: str, edits: Sequence[Edit], now: _Read | None) -> _Read | None:
        """The text with edits that change how it is read; None if that makes nothing better."""
        try:
            then = self.read(applied(text, edits))
        except FaultsError:
            return None
        return then if now is None or _errors(then) < _errors(now) else None

    def kept(self, now: _Read, edits: Sequence[Edit]) -> tuple[Sequence[Edit], _Read]:
        """The edits that leave the meaning as it is, and the text with them."""
        if not edits or self._trials >= MOST_TRIALS:
            return (), now
        if then := self._made(now, edits):
            return edits, then
        self._trials += 1
        if len(edits) == 1:
            return (), now
        half = len(edits) // 2
        first, then_first = self.kept(now, edits[:half])
        second, then_second = self.kept(now, edits[half:])
        if not first or not second:
            return (first, then_first) if first else (second, then_second)
        then = self._made(now, [*first, *second])
        return ([*first, *second], then) if then else (first, then_first)

    def _made(self, now: _Read, edits: Sequence[Edit]) -> _Read | None:
        """The text with the edits, or None if it would mean something else."""
        try:
            then = self.read(applied(now.text, edits))
        except FaultsError:
            return None
        if _errors(then) - _errors(now) or meaning_of(then.workflow) != meaning_of(now.workflow):
            return None
        return then


def _errors(read: _Read) -> Counter[str]:
    """How many there are, by code: what they say may name a line."""
    return Counter(fault.code for fault in read.faults if fault.severity == "error")
