"""The changes of fixing a file, as a unified diff.

Above: `mending.py`. Below: `edits.py`. What `difflib` finds by search, in a time that grows with the square
of the changes, is known here from the fixes that were made.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from samovar.checks.edits import line_end, starts_of
from samovar.errors import Fault

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_AROUND = 3
"""Lines that are shown around a change."""
_NO_END = "\\ No newline at end of file"


def unified_diff(path: Path, before: str, after: str, done: Sequence[Fault]) -> str:
    """The change of a file from `before` to `after`, which `patch` takes; empty if there is none.

    `done`: the faults that were fixed, with their places in `before`.
    """
    if before == after:
        return ""
    parts = [f"--- {path}\n", f"+++ {path}\n"]
    lines_before, lines_after = (_LINE.findall(text) for text in (before, after))
    parts += _hunks(lines_before, lines_after, _grown(before, done))
    return "".join(part if part.endswith("\n") else f"{part}\n{_NO_END}\n" for part in parts)


def _grown(before: str, done: Sequence[Fault]) -> dict[int, int]:
    """By line before the fix, counted from 0: how many lines more it became. Only a newline ends one."""
    starts = starts_of(before)
    ends = [match.start() for match in re.finditer("\n", before)]
    grown: dict[int, int] = {}
    for fix in (fault.fix for fault in done if fault.fix):
        offset = starts[fix.place.line - 1] + fix.place.column - 1
        more = fix.new.count("\n") if "\n" in line_end(before, offset) else 0
        line = bisect_left(ends, offset)
        grown[line] = grown.get(line, 0) + more
    return grown


def _hunks(before: Sequence[str], after: Sequence[str], grown: Mapping[int, int]) -> Iterator[str]:
    """The changed lines, with some around them, in the form of a unified diff."""
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
