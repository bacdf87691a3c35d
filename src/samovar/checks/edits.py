"""The fixes of a file as edits of its text: their places, the new text, and the old positions.

Above: `mending.py`, `unified_diff.py`. Below: only errors. Pure: texts and offsets. Every character outside
the edits stays as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from samovar.errors import Fault, Place

_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"


class Edit(NamedTuple):
    """One fix in one text."""

    start: int
    """Offset in the text."""
    end: int
    new: str
    fault: Fault


def starts_of(text: str) -> list[int]:
    """Where each line begins, as lines and columns are counted; that of the first is behind a BOM."""
    return [len(_BOM) * text.startswith(_BOM), *(match.end() for match in _LINE_END.finditer(text))]


def edits_of(text: str, faults: Sequence[Fault], path: Path) -> list[Edit]:
    """The fixes of a file as edits in their order, as far as they find what they replace."""
    starts = starts_of(text)
    found: dict[tuple[int, int, str], Edit] = {}
    for fault in faults:
        fix = fault.fix
        if fix is None or fix.place.path != path or not 0 < fix.place.line <= len(starts):
            continue
        start = starts[fix.place.line - 1] + fix.place.column - 1
        if text.startswith(fix.old, start):
            edit = Edit(start, start + len(fix.old), fix.new.replace("\n", line_end(text, start)), fault)
            found.setdefault(edit[:3], edit)
    edits: list[Edit] = []
    for edit in sorted(found.values(), key=lambda one: one[:2]):
        if not edits or edit.start >= edits[-1].end:
            edits.append(edit)
    return edits


def line_end(text: str, start: int) -> str:
    """What ends the line, or the line before if it is the last."""
    if match := _LINE_END.search(text, start):
        return match.group()
    last = max(text.rfind("\n"), text.rfind("\r"))
    return "\n" if last < 0 else "\r\n" if text[last - 1 : last + 1] == "\r\n" else text[last]


def applied(text: str, edits: Sequence[Edit]) -> str:
    """The text with the edits, which are in their order and do not overlap."""
    parts, at = list[str](), 0
    for edit in edits:
        parts += (text[at : edit.start], edit.new)
        at = edit.end
    return "".join(parts) + text[at:]


def where_it_was(fault: Fault, text: str, before: str, passes: Sequence[Sequence[Edit]]) -> Fault:
    """The fault with its places before the passes that made `text` of `before`."""
    if not passes or fault.fix is None:
        return fault
    starts, starts_before = starts_of(text), starts_of(before)

    def moved(place: Place) -> Place:
        offset = starts[place.line - 1] + place.column - 1
        for edits in reversed(passes):
            offset = _moved_back(offset, edits)
        line = max(bisect_right(starts_before, offset), 1)
        return Place(path=place.path, line=line, column=offset - starts_before[line - 1] + 1)

    return replace(fault, place=moved(fault.place), fix=replace(fault.fix, place=moved(fault.fix.place)))


def _moved_back(offset: int, edits: Sequence[Edit]) -> int:
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
