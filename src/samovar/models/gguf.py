"""Reads the container: a GGUF file's entries and tensor descriptions, and nothing of what they mean.

Above: `header.py`. Below: `tensor_types.py`. Written from the GGUF
specification (`docs/gguf.md` in the ggml repository). It reads forward in chunks, keeps only the entries
that are asked for, and believes no number in the file before it is compared with the file's size.
"""

from __future__ import annotations

import math
import reprlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from samovar.errors import ModelFileError
from samovar.models.tensor_types import NOT_MULTIPLIED, TYPE_SIZES

CHUNK_BYTES = 1 << 20
LONGEST_KEY_BYTES = 1 << 10
LONGEST_TEXT_BYTES = 1 << 20
"""Of an entry that is kept."""
LONGEST_TENSOR_NAME_BYTES = 63
"""The engine's own limit."""
LONGEST_ARRAY = 512
"""Of an entry that is kept: the engine's limit of layers."""
LARGEST_VOCABULARY_BYTES = 128 << 20
MOST_PAIRS = 1 << 16
MOST_TENSORS = 1 << 17

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_TOKENS = "tokenizer.ggml.tokens"
# Bytes that UTF-8 can hold. The engine's tokenizer ends the process where it has no token for one.
_BYTES = [byte for byte in range(1, 0xF5) if byte not in (0xC0, 0xC1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file holds, as far as it was asked for."""

    values: dict[str, Any]
    """Scalars, texts and arrays of numbers by key. An array of texts is None."""
    vocabulary_size: int
    spells_every_byte: bool
    """The vocabulary has a token like `<0x0A>`, or the character itself, for each byte of UTF-8."""
    tensors: int
    """How many."""
    tensor_bytes: int
    """Of all tensors together."""


def damaged(path: Path, what: str) -> ModelFileError:
    """The error for a header that cannot be right."""
    return ModelFileError(f"{path} is damaged or no model: {what}. Fetch or copy it again.")


def shown(value: object) -> str:
    """A value out of a file, short enough for a message."""
    return reprlib.repr(value)


class Reader:
    """Reads forward through a file of known length, in chunks."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self._file, self.size, self.path = file, size, path
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


def read_contents(reader: Reader, wanted: Callable[[str], bool]) -> Contents:
    """Reads a whole header, from the magic to the last tensor, and checks that the tensors are there.

    `wanted` says which keys are kept. Raises `ModelFileError` for whatever is wrong.
    """
    tensors, pairs = _read_preamble(reader)
    values, vocabulary = _read_entries(reader, pairs, wanted)
    return Contents(
        values=values,
        vocabulary_size=len(vocabulary),
        spells_every_byte=all(
            b"<0x%02X>" % byte in vocabulary or bytes((byte,)) in vocabulary for byte in _BYTES
        ),
        tensors=tensors,
        tensor_bytes=_read_tensors(reader, tensors, values.get("general.alignment", 32)),
    )


def _read_preamble(reader: Reader) -> tuple[int, int]:
    """(number of tensors, number of entries)"""
    path = reader.path
    if reader.size < 24:
        raise ModelFileError(f"{path} is no GGUF model file: it has only {reader.size} bytes.")
    magic = reader.take(4)
    if magic != b"GGUF":
        raise ModelFileError(f"{path} is no GGUF model file: {_guess(magic + reader.take(20))}.")
    version = reader.number("I")
    if version not in (2, 3):
        big_endian = version in (2 << 24, 3 << 24)
        what = "it is big-endian" if big_endian else f"it has GGUF version {version}, and 2 and 3 are known"
        raise ModelFileError(f"{path} cannot be loaded: {what}.")
    tensors, pairs = reader.number("Q"), reader.number("Q")
    if tensors > MOST_TENSORS or pairs > MOST_PAIRS:
        raise damaged(path, f"it claims {tensors} tensors and {pairs} header entries")
    if tensors == 0:
        raise ModelFileError(f"{path} has no tensors: it is a vocabulary or metadata only.")
    return tensors, pairs


def _guess(start: bytes) -> str:
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page; the download went wrong"
    if start.startswith(b"PK\x03\x04"):
        return "it is a zip archive (a wheel or PyTorch file)"
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in start):
        return f"it is text that begins {start.decode('ascii')!r}"
    return f"it begins with {start[:4].hex(' ')}"


def _read_entries(
    reader: Reader, pairs: int, wanted: Callable[[str], bool]
) -> tuple[dict[str, Any], set[bytes]]:
    """(the wanted values, the vocabulary's texts)"""
    values: dict[str, Any] = {}
    vocabulary: set[bytes] = set()
    keys: set[str] = set()
    for _ in range(pairs):
        key, kind = reader.text(LONGEST_KEY_BYTES), reader.number("I")
        if not key or key in keys:
            raise damaged(reader.path, f"its header entry {shown(key)} is there twice, or has no name")
        keys.add(key)
        if kind == _ARRAY and key == _TOKENS:
            vocabulary = _read_vocabulary(reader)
        elif wanted(key):
            values[key] = _read_value(reader, key, kind)
        else:
            _skip_value(reader, key, kind)
    return values, vocabulary


def _read_vocabulary(reader: Reader) -> set[bytes]:
    kind, count = reader.number("I"), reader.number("Q")
    if kind != _STRING or count * 8 > reader.size:
        raise damaged(reader.path, f"its vocabulary claims {count} tokens of the type {kind}")
    texts = reader.texts(count, LARGEST_VOCABULARY_BYTES)
    vocabulary = set(texts)
    if b"" in vocabulary or b"\0" in b"".join(vocabulary):
        # As the engine takes them: up to the first NUL, and the empty ones named.
        vocabulary = {text.partition(b"\0")[0] or b"[EMPTY_%d]" % at for at, text in enumerate(texts)}
    if len(vocabulary) != count:
        raise damaged(reader.path, f"of the {count} tokens of its vocabulary only {len(vocabulary)} differ")
    return vocabulary


def _read_value(reader: Reader, key: str, kind: int) -> Any:
    if kind in _SCALARS:
        return reader.number(_SCALARS[kind])
    if kind == _STRING:
        return reader.text(LONGEST_TEXT_BYTES)
    if kind != _ARRAY:
        raise damaged(reader.path, f"its header entry {shown(key)} has the unknown type {kind}")
    of, count = reader.number("I"), reader.number("Q")
    if of not in _SCALARS:
        _skip_array(reader, key, of, count)
        return None
    if count > LONGEST_ARRAY:
        raise damaged(reader.path, f"its header entry {shown(key)} has {count} numbers")
    return [reader.number(_SCALARS[of]) for _ in range(count)]


def _skip_value(reader: Reader, key: str, kind: int) -> None:
    if kind in _SCALARS:
        reader.skip(struct.calcsize("<" + _SCALARS[kind]))
    elif kind == _STRING:
        reader.skip(reader.number("Q"))
    elif kind == _ARRAY:
        _skip_array(reader, key, reader.number("I"), reader.number("Q"))
    else:
        raise damaged(reader.path, f"its header entry {shown(key)} has the unknown type {kind}")


def _skip_array(reader: Reader, key: str, of: int, count: int) -> None:
    if of in _SCALARS:
        reader.skip(count * struct.calcsize("<" + _SCALARS[of]))
    elif of != _STRING:
        raise damaged(reader.path, f"its header entry {shown(key)} is an array of the type {of}")
    elif count * 8 > reader.size:
        raise damaged(reader.path, f"its header entry {shown(key)} claims {count} texts")
    else:
        reader.skip_texts(count)


def _read_tensors(reader: Reader, tensors: int, alignment: Any) -> int:
    """Bytes of all tensors; raises when one cannot be, or they do not lie within the file."""
    path = reader.path
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise damaged(path, f"its alignment is {shown(alignment)}")
    names: set[str] = set()
    total, end = 0, 0
    for _ in range(tensors):
        name, dimensions = reader.text(LONGEST_TENSOR_NAME_BYTES), reader.number("I")
        if not name or name in names or not 1 <= dimensions <= 4:
            raise damaged(
                path, f"its tensor {name!r} is named twice, unnamed, or has {dimensions} dimensions"
            )
        names.add(name)
        shape = [reader.number("Q") for _ in range(dimensions)]
        kind, offset = reader.number("I"), reader.number("Q")
        tensor_bytes = _bytes_of(path, name, shape, kind)
        if offset != end:
            raise damaged(path, f"its tensor {name!r} begins at {offset} and should at {end}")
        total += tensor_bytes
        end = -(-(end + tensor_bytes) // alignment) * alignment
    # The padding after the last tensor need not be there.
    needed = -(-reader.position // alignment) * alignment + offset + tensor_bytes
    if needed > reader.size:
        raise ModelFileError(
            f"{path} is truncated: it has {reader.size} bytes, its tensors need {needed}. "
            "Fetch or copy it again."
        )
    return total


def _bytes_of(path: Path, name: str, shape: list[int], kind: int) -> int:
    if kind not in TYPE_SIZES:
        raise ModelFileError(
            f"{path}: its tensor {name!r} has the type {kind}, which the engine does not know."
        )
    block, block_bytes = TYPE_SIZES[kind]
    elements = math.prod(shape)
    if not 0 < elements < 1 << 48 or shape[0] % block:
        raise damaged(path, f"its tensor {name!r} has the shape {shape}")
    if objection := _uncomputable(name, kind):
        raise damaged(path, f"its tensor {name!r} has the type {kind}: {objection}")
    return elements // block * block_bytes


def _uncomputable(name: str, kind: int) -> str | None:
    """Why the engine would crash on the first token; None when it would not."""
    if name.endswith("norm.weight") and kind != 0:
        return "the engine needs 32-bit floating-point numbers there"
    # The only integers among the weights of known architectures are tables from tokens to experts.
    if kind in NOT_MULTIPLIED and "tid2eid" not in name:
        return "the engine cannot compute with it"
    return None
