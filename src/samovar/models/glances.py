"""Reads many models quickly for a list: it skips vocabularies, the longest part of a header.

Above: the command line, `offers.py`. Below: `header.py`. Where the lists of texts in a file end is remembered
in the cache folder, by the file's size and time of change: the next look jumps over them. What is remembered
decides nothing but where to read on; whatever is found to be wrong then is read again without it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Self

from samovar.errors import ModelFileError
from samovar.models.header import Header, facts_of, glance_at
from samovar.models.replacing import write_over
from samovar.models.split import real_path

MOST_REMEMBERED = 1000
"""Files; the ones read longest ago go."""


class Glances:
    """Mutable: what it remembers, which is written down on leaving."""

    def __init__(self, memory: Path | None) -> None:
        """`memory`: the file; None: nothing is remembered."""
        self._memory = memory
        self._known: dict[str, dict[int, int]] = {}
        self._is_changed = False

    def __enter__(self) -> Self:
        with suppress(OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            if self._memory is not None:
                told = json.loads(self._memory.read_text("utf-8"))
                self._known = {
                    key: {int(start): int(end) for start, end in ends.items()} for key, ends in told.items()
                }
        return self

    def __exit__(self, *_: object) -> None:
        if self._memory is None or not self._is_changed:
            return
        kept = dict(list(self._known.items())[-MOST_REMEMBERED:])
        with suppress(OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            write_over(self._memory, json.dumps(kept))

    def header(self, path: Path) -> Header:
        """What the file says, its vocabulary not looked at. Raises as `read_header` does."""
        size, modified_ns = facts_of(path)
        key = f"{real_path(path)} {size} {modified_ns}"
        if (ends := self._known.get(key)) is not None:
            with suppress(ModelFileError):
                return glance_at(path, dict(ends))
        found: dict[int, int] = {}
        header = glance_at(path, found)
        self._known.pop(key, None)
        self._known[key] = found
        self._is_changed = True
        return header
