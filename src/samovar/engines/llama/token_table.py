"""What the tokens of one vocabulary say, as llguidance takes it; kept between processes in a small file.

Above: `grammars.py`, `grammar_maker.py`. Below: `vocabulary.py`, and `models/`, which replaces files. A table
belongs to one file of a model and one build of the engine. A file that is damaged, or that anyone else could
have written, is not used: its table is made again.
"""

from __future__ import annotations

import logging
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samovar.engines.llama.vocabulary import Vocabulary
from samovar.models.replacing import write_over
from samovar.models.snapshot_folder import distrust

log = logging.getLogger("samovar.engine")

CONTROL_BYTE = b"\xff"
"""What the names of tokens that say nothing begin with: no text has it, so no form has them by accident."""
_CONTROL = CONTROL_BYTE + b"<control>"
MOST_KEPT = 16
"""Tables in the folder; those used longest ago go."""
_MAGIC = b"samovar1"
_HEADER = struct.Struct("<I8siIIII")
"""CRC-32 of all that follows; magic, the token that ends an answer, counts of tokens, of silent ones and of
marks, bytes of what they say."""
_SUFFIX = ".tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTable:
    """The tokens of one vocabulary, in order."""

    lengths: array[int]
    """Of what each says, in bytes."""
    said: bytes
    """What they say, one behind the other; tokens that say nothing have names that no text has."""
    silent: frozenset[int]
    """The tokens that say nothing."""
    end: int
    """The token that ends an answer; a negative number if there is none."""
    marks: frozenset[int] = frozenset()
    """The control tokens that calls of tools have, which forms name by their numbers."""

    @classmethod
    def of(cls, vocabulary: Vocabulary, end: int, marks: Collection[int]) -> TokenTable:
        """Takes a tenth of a second for a large vocabulary."""
        pieces = list(vocabulary.pieces)
        for token in vocabulary.ends:
            pieces[token] = b""
        for token in marks:
            pieces[token] = CONTROL_BYTE + b"<%d>" % token
        return cls.of_pieces(pieces, end, marks)

    @classmethod
    def of_pieces(cls, pieces: Sequence[bytes], end: int, marks: Collection[int] = ()) -> TokenTable:
        """`pieces`: what each token says; one that says nothing is part of no answer."""
        named = [piece or _CONTROL for piece in pieces]
        return cls(
            lengths=array("I", map(len, named)),
            said=b"".join(named),
            silent=frozenset(token for token, name in enumerate(named) if name.startswith(CONTROL_BYTE)),
            end=end,
            marks=frozenset(marks),
        )

    def to_bytes(self) -> bytes:
        """The content of its file."""
        counts = (len(self.lengths), len(self.silent), len(self.marks), len(self.said))
        header = _HEADER.pack(0, _MAGIC, self.end, *counts)[4:]
        lists = (self.lengths, sorted(self.silent), sorted(self.marks))
        content = b"".join((header, *map(_to_bytes, lists), self.said))
        return struct.pack("<I", zlib.crc32(content)) + content

    @classmethod
    def from_bytes(cls, raw: bytes) -> TokenTable | None:
        """That of a file's content; None if it is damaged."""
        if len(raw) < _HEADER.size or zlib.crc32(memoryview(raw)[4:]) != int.from_bytes(raw[:4], "little"):
            return None
        _, magic, end, *counts, said_bytes = _HEADER.unpack_from(raw)
        if magic != _MAGIC or len(raw) != _HEADER.size + 4 * sum(counts) + said_bytes:
            return None
        lists: list[array[int]] = []
        place = _HEADER.size
        for count in counts:
            lists.append(_from_bytes(raw[place : place + 4 * count]))
            place += 4 * count
        lengths, silent, marks = lists
        if sum(lengths) != said_bytes or not -1 <= end < len(lengths):
            return None
        return cls(
            lengths=lengths, said=raw[place:], silent=frozenset(silent), end=end, marks=frozenset(marks)
        )


class KeptTables:
    """The tables in a folder, which is its owner's alone. Whatever is wrong with it, nothing fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> TokenTable | None:
        """The table that was kept by this name; None if there is none, or none that can be used."""
        path = self._path(name)
        try:
            if reason := distrust(self._folder):
                log.warning("Tables of tokens are not read from %s: %s.", self._folder, reason)
                return None
            table = TokenTable.from_bytes(path.read_bytes())
        except OSError:
            return None
        if table is None:
            log.info("%s is damaged, and is made again.", path)
            return None
        with suppress(OSError):  # it can only be read
            os.utime(path)
        return table

    def keep(self, name: str, table: TokenTable) -> None:
        """Keeps a table, in place of one of the same name."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if distrust(self._folder):
                return
            write_over(self._path(name), table.to_bytes())
            paths = sorted(self._folder.glob(f"*{_SUFFIX}"), key=_used_s, reverse=True)
            for path in paths[MOST_KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:  # it is only made again by the next process
            log.info("The table of tokens could not be kept in %s: %s", self._folder, error)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def _used_s(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _to_bytes(numbers: Iterable[int]) -> bytes:
    return _little(array("I", numbers)).tobytes()


def _from_bytes(raw: bytes) -> array[int]:
    return _little(array("I", raw))


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
