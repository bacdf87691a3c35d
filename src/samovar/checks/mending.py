"""Mends a workflow's file: what has one safe mending (`Fix`), and only where it means the same after that.

Above: `samovar check --fix`. Below: `checking.py`, whose faults carry the fixes; the library; `files.py`.
Nothing is written by `mend`; a `Mended` writes itself. Every character outside the fixes stays as it is.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import NamedTuple

from samovar.checks.checking import check_workflow
from samovar.errors import Fault, FaultsError, Place, UsageError
from samovar.files import read_text, write_whole
from samovar.language.expression import Expression
from samovar.language.front import FrontSettings
from samovar.language.template import Template
from samovar.language.workflow import State, Transition, Workflow
from samovar.library import Library

MOST_PASSES = 100
"""Readings after which a file is left as it has become; each mends all that can be mended at once."""
MOST_TRIALS = 60
"""Readings of one file to find which of its fixes would change its meaning."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
"""Of a diff."""
_AROUND = 3
"""Lines of a diff that are shown around a change."""
_NO_END = "\\ No newline at end of file"
_BOM = "\ufeff"
_SETTINGS = frozenset(field.name for field in fields(FrontSettings))
_NO_MEANING = frozenset(("diagram", "warnings"))
"""Of a workflow: how it is written, and what was said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A file, mended in memory."""

    path: Path
    before: str
    after: str
    """The same text where there was nothing to mend."""
    done: tuple[Fault, ...]
    """What was mended, with its places in `before`."""
    left: tuple[Fault, ...]
    """What has a fix that was not made: the file has errors, or would mean something else."""
    faults: tuple[Fault, ...]
    """What is wrong or doubtful afterwards; places are those in `after`."""
    is_read: bool
    """The file has no errors that keep it from being read."""

    @property
    def diff(self) -> str:
        """The change as a unified diff, which `patch` takes; empty where there is none."""
        if self.before == self.after:
            return ""
        parts = [f"--- {self.path}\n", f"+++ {self.path}\n"]
        before, after = (_LINE.findall(text) for text in (self.before, self.after))
        parts += _hunks(before, after, _grown(self))
        return "".join(part if part.endswith("\n") else f"{part}\n{_NO_END}\n" for part in parts)

    def write(self) -> None:
        """Replaces the file's text, whole or not at all. Permissions and links stay.

        Raises `UsageError` where the file is read-only, has changed since it was read, or cannot be written.
        """
        if self.after == self.before:
            return
        if read_text(self.path) != self.before:
            raise UsageError(f"{self.path} has changed meanwhile, so it is not mended: try again.")
        if not self.path.stat().st_mode & 0o222 or not os.access(self.path, os.W_OK):
            raise UsageError(f"{self.path} is read-only, so it is not mended: make it writable first.")
        write_whole(self.path, self.after)


def mend(path: Path, library: Library, *, lenient: bool = False) -> Mended:
    """What becomes of a file when all its fixes are made, over and over until there are none.

    A file that cannot be read for its errors stays as it is. Raises `UsageError` for what is no readable
    file, `FaultsError` for what is no text.
    """
    text = read_text(path)
    mender = _Mender(path, library, lenient)
    try:
        now = mender.read(text)
    except FaultsError as error:
        left = tuple(fault for fault in error.faults if fault.fix)
        return Mended(
            path=path, before=text, after=text, done=(), left=left, faults=error.faults, is_read=False
        )
    done: list[Fault] = []
    passes: list[Sequence[_Edit]] = []
    for _ in range(MOST_PASSES):
        edits = _edits(now.text, now.faults, path)
        kept, then = mender.kept(now, edits)
        if not kept:
            break
        done += (_where_it_was(edit.fault, now.text, text, passes) for edit in kept)
        passes.append(kept)
        now = then
    left = tuple(edit.fault for edit in _edits(now.text, now.faults, path))
    done.sort(key=lambda fault: (fault.place.line, fault.place.column))
    return Mended(
        path=path, before=text, after=now.text, done=tuple(done), left=left, faults=now.faults, is_read=True
    )


class _Edit(NamedTuple):
    start: int
    """Offset in the text."""
    end: int
    new: str
    fault: Fault


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

    def kept(self, now: _Read, edits: Sequence[_Edit]) -> tuple[Sequence[_Edit], _Read]:
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

    def _made(self, now: _Read, edits: Sequence[_Edit]) -> _Read | None:
        """The text with the edits, or None where it would mean something else."""
        try:
            then = self.read(_applied(now.text, edits))
        except FaultsError:
            return None
        # A key that meant nothing is to mean something.
        passed_over = _SETTINGS if any(edit.fault.code == "unknown-key" for edit in edits) else frozenset()
        if _errors(then) - _errors(now) or meaning_of(then.workflow, passed_over) != meaning_of(
            now.workflow, passed_over
        ):
            return None
        return then


def _errors(read: _Read) -> Counter[str]:
    """How many there are, by code: what they say may name a line."""
    return Counter(fault.code for fault in read.faults if fault.severity == "error")


# Text --------------------------------------------------------------------------------------------------


def _starts(text: str) -> list[int]:
    """Where each line begins, as lines and columns are counted; that of the first is behind a BOM."""
    return [len(_BOM) * text.startswith(_BOM), *(match.end() for match in _LINE_END.finditer(text))]


def _edits(text: str, faults: Sequence[Fault], path: Path) -> list[_Edit]:
    """The fixes of a file as edits in their order, as far as they find what they replace."""
    starts = _starts(text)
    found: dict[tuple[int, int, str], _Edit] = {}
    for fault in faults:
        fix = fault.fix
        if fix is None or fix.place.path != path or not 0 < fix.place.line <= len(starts):
            continue
        start = starts[fix.place.line - 1] + fix.place.column - 1
        if text.startswith(fix.old, start):
            edit = _Edit(start, start + len(fix.old), fix.new.replace("\n", _line_end(text, start)), fault)
            found.setdefault(edit[:3], edit)
    edits: list[_Edit] = []
    for edit in sorted(found.values(), key=lambda one: one[:2]):
        if not edits or edit.start >= edits[-1].end:
            edits.append(edit)
    return edits


def _line_end(text: str, start: int) -> str:
    """What ends the line, or the line before where it is the last."""
    if match := _LINE_END.search(text, start):
        return match.group()
    last = max(text.rfind("\n"), text.rfind("\r"))
    return "\n" if last < 0 else "\r\n" if text[last - 1 : last + 1] == "\r\n" else text[last]


def _applied(text: str, edits: Sequence[_Edit]) -> str:
    parts, at = list[str](), 0
    for edit in edits:
        parts += (text[at : edit.start], edit.new)
        at = edit.end
    return "".join(parts) + text[at:]


def _where_it_was(fault: Fault, text: str, before: str, passes: Sequence[Sequence[_Edit]]) -> Fault:
    """The fault with its places before the passes that made `text` of `before`."""
    if not passes or fault.fix is None:
        return fault
    starts, starts_before = _starts(text), _starts(before)

    def moved(place: Place) -> Place:
        offset = starts[place.line - 1] + place.column - 1
        for edits in reversed(passes):
            offset = _moved_back(offset, edits)
        line = max(bisect_right(starts_before, offset), 1)
        return Place(path=place.path, line=line, column=offset - starts_before[line - 1] + 1)

    return replace(fault, place=moved(fault.place), fix=replace(fault.fix, place=moved(fault.fix.place)))


def _moved_back(offset: int, edits: Sequence[_Edit]) -> int:
    """Where what is at `offset` was before the edits."""
    grown = 0
    for edit in edits:
        start = edit.start + grown
        if offset < start:
            break
        if offset < start + len(edit.new):
            return edit.start
        grown += len(edit.new) - (edit.end - edit.start)
    return offset - grown


# The difference ----------------------------------------------------------------------------------------


def _grown(mended: Mended) -> dict[int, int]:
    """By line before the mending, counted from 0: how many lines more it became. Only a newline ends one."""
    starts = _starts(mended.before)
    ends = [match.start() for match in re.finditer("\n", mended.before)]
    grown: dict[int, int] = {}
    for fix in (fault.fix for fault in mended.done if fault.fix):
        offset = starts[fix.place.line - 1] + fix.place.column - 1
        more = fix.new.count("\n") if "\n" in _line_end(mended.before, offset) else 0
        line = bisect_left(ends, offset)
        grown[line] = grown.get(line, 0) + more
    return grown


def _hunks(before: Sequence[str], after: Sequence[str], grown: Mapping[int, int]) -> Iterator[str]:
    """The changed lines, with some around them, in the form of a unified diff.

    What `difflib` finds by search, in a time that grows with the square of the changes, is known here.
    """
    lines = sorted(grown)
    shift = at = 0
    while at < len(lines):
        last = at
        while last + 1 < len(lines) and lines[last + 1] - lines[last] <= 2 * _AROUND + 1:
            last += 1
        begin, end = max(lines[at] - _AROUND, 0), min(lines[last] + _AROUND + 1, len(before))
        changed, more = lines[at : last + 1], sum(grown[line] for line in lines[at : last + 1])
        yield f"@@ -{begin + 1},{end - begin} +{begin + shift + 1},{end - begin + more} @@\n"
        while begin < end:
            run = begin
            while run < end and run in grown:
                run += 1
            length = run - begin + sum(grown[line] for line in range(begin, run))
            yield from (f"-{line}" for line in before[begin:run])
            yield from (f"+{line}" for line in after[begin + shift : begin + shift + length])
            shift += length - (run - begin)
            begin = run
            while begin < end and begin not in grown:
                yield f" {before[begin]}"
                begin += 1
        at += len(changed)


# Meaning -----------------------------------------------------------------------------------------------


def meaning_of(workflow: Workflow, passed_over: frozenset[str] = frozenset()) -> object:
    """What a workflow means, to be compared: its states, transitions, actions, prompts and settings.

    Not how that is written: places, the spelling of labels and actions, comments. `passed_over` are fields of
    `Workflow` that do not count.
    """
    names = [field.name for field in fields(workflow) if field.name not in _NO_MEANING | passed_over]
    return [(name, _meaning(getattr(workflow, name))) for name in names]


def _meaning(value: object) -> object:
    match value:
        case Place() | Fault():
            return None
        case Expression():
            return value.cel
        case Template():
            return value.text
        case Transition():
            is_written = bool(value.label.strip())
            return value.source, value.target, value.when, is_written, _meaning(value.condition)
        case State():
            # The description of a state that acts may be its action.
            description = None if value.action else value.description
            acts = _meaning(value.action), _meaning(value.transitions)
            return value.name, value.kind, description, acts
        case list() | tuple():
            return [_meaning(item) for item in value]
        case Mapping():
            return [(name, _meaning(item)) for name, item in value.items()]
    if is_dataclass(value) and not isinstance(value, type):
        inside = (field.name for field in fields(value) if field.compare)
        return type(value), [(name, _meaning(getattr(value, name))) for name in inside]
    return value
