"""Reads numbers and texts sequentially from a model's file, in chunks, within its length.

Above: `gguf.py`, which knows what comes after what; `header.py` and `shape.py`, for the message about a
damaged file. Below: files. It believes no number in the file before it is compared with the file's size.
"""

from __future__ import annotations

import reprlib
import struct
from pathlib import Path
from typing import Any, BinaryIO

from samovar.errors import ModelFileError

CHUNK_BYTES = 1 << 20


def damaged(path: Path, what: str) -> ModelFileError:
    """The error for a header that cannot be right."""
    return ModelFileError(f"{path} is damaged or not a model: {what}. Fetch or copy it again.")


def shown(value: object) -> str:
    """A value out of a file, short enough for a message."""
    return reprlib.repr(value)


class Reader:
    """Reads forward through a file of known length, in chunks."""

    def __init__(self, file: BinaryIO, size: int, path: Path, ends: dict[int, int] | None = None) -> None:
        """`ends`: where lists of texts end, by where they begin, if known; it gets those that are not."""
        self._file, self.size, self.path = file, size, path
        self._ends = {} if ends is None else ends
        self._buffer, self._base, self._at = b"", 0, 0

    @property
    def position(self) -> int:
        return self._base + self._at

    def take(self, count: int) -> bytes:
        self._reach(count)
        data = self._buffer[self._at : self._at + count]
        self._at += count
        return data

    def _reach(self, count: int) -> None:
        """Makes sure that `count` bytes are in the buffer."""
        if self._at + count <= len(self._buffer):
            return
        if self.position + count > self.size:
            raise self._truncated(self.position + count)
        self._base, self._at = self.position, 0
        self._file.seek(self._base)
        self._buffer = self._file.read(max(count, CHUNK_BYTES))
        if len(self._buffer) < count:
            raise self._truncated(self._base + count)

    def _truncated(self, needed: int) -> ModelFileError:
        return ModelFileError(
            f"{self.path} is truncated: it has {self.size} bytes and its header needs at least {needed}. "
            "Fetch or copy it again."
        )

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def skip(self, count: int) -> None:
        if self.position + count > self.size:
            raise self._truncated(self.position + count)
        self._at += count
        if self._at > len(self._buffer):
            self._base, self._at, self._buffer = self.position, 0, b""

    def text(self, longest: int) -> str:
        length = self.number("Q")
        if length > longest:
            raise damaged(self.path, f"a text of {length} bytes in its header")
        return self.take(length).decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        start = self.position
        if (end := self._ends.get(start, 0)) > start:
            self.skip(end - start)
            return
        self._skip_each(count)
        self._ends[start] = self.position

    def _skip_each(self, count: int) -> None:
        # There may be a million of them: one comparison each, and the position in a local variable.
        unpack = struct.Struct("<Q").unpack_from
        buffer, at, last = self._window(self._at, 0)
        for _ in range(count):
            if at > last:
                buffer, at, last = self._window(at, 8)
            at += 8 + unpack(buffer, at)[0]
        self._window(at, 0)

    def texts(self, count: int, most_bytes: int) -> list[bytes]:
        unpack = struct.Struct("<Q").unpack_from
        texts: list[bytes] = []
        start = self.position
        buffer, at, last = self._window(self._at, 0)
        for _ in range(count):
            if at > last:
                buffer, at, last = self._window(at, 8)
            end = at + 8 + unpack(buffer, at)[0]
            if end > last + 8:
                if self._base + end - start > most_bytes:
                    raise damaged(self.path, f"its vocabulary is larger than {most_bytes} bytes")
                length = end - at
                buffer, at, last = self._window(at, length)
                end = at + length
            texts.append(buffer[at + 8 : end])
            at = end
        self._window(at, 0)
        return texts

    def _window(self, at: int, count: int) -> tuple[bytes, int, int]:
        """Goes to `at`, also past the buffer, and sees `count` bytes: (buffer, at, last place of a length)"""
        self.skip(at - self._at)
        self._reach(count)
        return self._buffer, self._at, len(self._buffer) - 8
