"""Options shared by the actions that read and write files: `as FORMAT`, and the options after it.

Above: `read.py`, `write.py`. Below: `file_formats.py`, the scanner.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from samovar.actions.file_formats import FORMATS
from samovar.actions.given import Pair, Value
from samovar.actions.scanner import Scanner
from samovar.errors import ActionError, FileError, Place, nearest
from samovar.values import to_text

MOST_BYTES = 10_000_000
"""Bytes of a file, unless `limit` allows more."""
_SIZE = re.compile(r"(\d{1,12})\s*(|B|kB|KB|MB|GB)")
_UNITS = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1_000_000, "GB": 1_000_000_000}


def read_format(line: Scanner) -> str:
    """Takes `as FORMAT`, if it is here: its name."""
    if not line.word("as"):
        return "text"
    at, name = line.where(), line.peek_word()
    if name not in FORMATS:
        line.note("action-syntax", f"There is no format {name!r}.{nearest(name, FORMATS)}", at)
        name = name or line.fail(f"A format is expected after `as`, {line.found()}.")
        line.at += len(name)
        return "text"
    line.word(name)
    return name


def read_pairs(line: Scanner, known: Collection[str]) -> dict[str, Pair]:
    """Takes the options, with or without `with` before them; notes those that are not `known`."""
    line.word("with")
    options: dict[str, Pair] = {}
    for pair in line.pairs():
        if pair.key == "timeout":
            line.limit(pair.value)
            continue
        if pair.key not in known:
            line.unknown(pair, (*known, "timeout"))
        options[pair.key] = pair
    return options


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How large a file may be."""

    given: Value | None = None
    """None: `MOST_BYTES`."""

    @classmethod
    def parse(cls, line: Scanner, options: Mapping[str, Pair]) -> Limit:
        given = options["limit"].value if "limit" in options else None
        if given is not None and given.is_literal and _bytes(given.given) is None:
            line.note("option-value", "`limit` is a size, as in 500kB or 50MB.", given.place)
        return cls(given=given)

    @property
    def names(self) -> frozenset[str]:
        return self.given.names if self.given else frozenset()

    def bytes(self, variables: Mapping[str, object]) -> int:
        """Now. Raises `ActionError`."""
        if self.given is None:
            return MOST_BYTES
        value = self.given.of(variables)
        found = _bytes(value)
        if found is None:
            raise ActionError(f"`limit` is a size, not {to_text(value)!r}.", place=self.given.place)
        return found


def _bytes(value: object) -> int | None:
    match = _SIZE.fullmatch(to_text(value).strip())
    return int(match[1]) * _UNITS[match[2]] if match else None


def placed(error: FileError, place: Place) -> FileError:
    """The same error with its place in the workflow."""
    return error if error.place else FileError(error.message, place=place)
