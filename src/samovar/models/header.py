"""The header of a GGUF file: a few facts about the model, and whether the file is whole.

Above: `cost.py`, the engine. Below: `architectures.py`. Written from the GGUF specification (`docs/gguf.md`
in the ggml repository). Strings of the vocabulary are skipped, not built, so a large one is read in tens
of milliseconds. It is defensive: what the engine asserts about a file ends the process.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from samovar.errors import ModelFileError, ModelNotFoundError, nearest
from samovar.models import architectures

CHUNK_BYTES = 1 << 20
LARGEST_STRING_BYTES = 16 << 20
MOST_PAIRS = 1 << 16
MOST_TENSORS = 1 << 17
LARGEST_CONTEXT_TOKENS = 1 << 27
"""More than any model has; a header that says more is damaged or made to harm."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is known of a model before it is loaded."""

    path: Path
    file_bytes: int
    architecture: str
    name: str | None
    """As its makers call it; None when the file does not say."""
    context_tokens: int
    """The longest context it was trained for."""
    layers: int
    embedding_length: int
    kv_heads: tuple[int, ...]
    """Key and value heads of each layer."""
    key_length: int
    """Elements of one head's key."""
    value_length: int
    vocabulary_size: int
    sliding_window: int
    """Tokens; 0 means every layer sees the whole context."""
    has_chat_template: bool
    tensor_bytes: int
    """Of all tensors together."""


class _Reader:
    """Reads forward through a file of known length, in chunks."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self._file, self._size, self._path = file, size, path
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
        if self.position + count > self._size:
            raise self.truncated(self.position + count)
        self._base, self._at = self.position, 0
        self._file.seek(self._base)
        self._buffer = self._file.read(max(count, CHUNK_BYTES))
        if len(self._buffer) < count:
            raise self.truncated(self._base + count)

    def truncated(self, needed: int) -> ModelFileError:
        return ModelFileError(
            f"{self._path} is truncated: it has {self._size} bytes and its header needs at least {needed}. "
            "Fetch or copy it again."
        )

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def skip(self, count: int) -> None:
        if self.position + count > self._size:
            raise self.truncated(self.position + count)
        self._at += count
        if self._at > len(self._buffer):
            self._base, self._at, self._buffer = self.position, 0, b""

    def string(self) -> str:
        length = self.number("Q")
        if length > LARGEST_STRING_BYTES:
            raise damaged(self._path, f"a text of {length} bytes in its header")
        return self.take(length).decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        unpack = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if self._at + 8 > len(self._buffer):
                self._reach(8)
            length = unpack(self._buffer, self._at)[0]
            if length > LARGEST_STRING_BYTES:
                raise damaged(self._path, f"a text of {length} bytes in its header")
            self._at += 8
            self.skip(length)


def damaged(path: Path, what: str) -> ModelFileError:
    """The error for a header that cannot be right."""
    return ModelFileError(f"{path} is damaged or no model: {what}. Fetch or copy it again.")


def read_header(path: Path) -> Header:
    """The header of the model file at `path`.

    Raises `ModelNotFoundError` when there is no such file, and `ModelFileError` for anything that cannot
    be loaded, as far as it can be foreseen.
    """
    size = _size_of_model_file(path)
    try:
        with path.open("rb") as file:
            reader = _Reader(file, size, path)
            tensors, pairs = _read_preamble(reader, path)
            values = _read_values(reader, pairs, path)
            tensor_bytes = _check_tensors(reader, tensors, values, path, size)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    return _build(path, size, values, tensor_bytes)


def _size_of_model_file(path: Path) -> int:
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        near = [other.name for other in path.parent.glob("*.gguf")] if path.parent.is_dir() else []
        raise ModelNotFoundError(f"There is no model file {path}.{nearest(path.name, near)}") from error
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"The model file {path} cannot be reached: {error}.") from error
    if stat.S_ISDIR(facts.st_mode):
        near = sorted(other.name for other in path.glob("*.gguf"))
        inside = f" In it: {', '.join(near[:5])}." if near else ""
        raise ModelFileError(f"{path} is a folder, not a model file.{inside}")
    if not stat.S_ISREG(facts.st_mode):
        raise ModelFileError(f"{path} is not a regular file.")
    if facts.st_size == 0:
        raise ModelFileError(f"{path} is empty. Fetch or copy it again.")
    if not os.access(path, os.R_OK):
        raise ModelFileError(f"{path} may not be read by this user.")
    return facts.st_size


def _read_preamble(reader: _Reader, path: Path) -> tuple[int, int]:
    """(number of tensors, number of key-value pairs)"""
    if reader._size < 24:
        raise ModelFileError(f"{path} is no GGUF model file: it has only {reader._size} bytes.")
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


def _read_values(reader: _Reader, pairs: int, path: Path) -> dict[str, Any]:
    """Scalars, texts, and short arrays of numbers by key; of other arrays the length, as `key.length`."""
    values: dict[str, Any] = {}
    for _ in range(pairs):
        key, kind = reader.string(), reader.number("I")
        if kind in _SCALARS:
            values[key] = reader.number(_SCALARS[kind])
        elif kind == _STRING:
            values[key] = reader.string()
        elif kind == _ARRAY:
            _read_array(reader, key, values, path)
        else:
            raise damaged(path, f"its header entry {key!r} has the unknown type {kind}")
    return values


def _read_array(reader: _Reader, key: str, values: dict[str, Any], path: Path) -> None:
    kind, count = reader.number("I"), reader.number("Q")
    values[key + ".length"] = count
    if kind == _STRING:
        if count * 8 > reader._size:
            raise damaged(path, f"its header entry {key!r} claims {count} texts")
        reader.skip_strings(count)
    elif kind in _SCALARS:
        width = struct.calcsize("<" + _SCALARS[kind])
        if count <= 4096 and not key.startswith("tokenizer."):
            values[key] = [reader.number(_SCALARS[kind]) for _ in range(count)]
        else:
            reader.skip(count * width)
    else:
        raise damaged(path, f"its header entry {key!r} is an array of the type {kind}")


def _check_tensors(reader: _Reader, tensors: int, values: dict[str, Any], path: Path, size: int) -> int:
    """Bytes of all tensors; raises when they do not lie within the file."""
    names: set[str] = set()
    total, furthest = 0, 0
    for _ in range(tensors):
        name = reader.string()
        count = reader.number("I")
        if not name or name in names or not 1 <= count <= 4:
            raise damaged(path, f"its tensor {name!r} is named twice, unnamed, or has {count} dimensions")
        names.add(name)
        shape = [reader.number("Q") for _ in range(count)]
        kind, offset = reader.number("I"), reader.number("Q")
        if kind not in architectures.TYPE_SIZES:
            raise ModelFileError(
                f"{path}: its tensor {name!r} has the type {kind}, which the engine does not know."
            )
        block, block_bytes = architectures.TYPE_SIZES[kind]
        elements = math.prod(shape)
        if not 0 < elements < 1 << 48 or shape[0] % block:
            raise damaged(path, f"its tensor {name!r} has the shape {shape}")
        total += elements // block * block_bytes
        furthest = max(furthest, offset + elements // block * block_bytes)
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise damaged(path, f"its alignment is {alignment!r}")
    needed = -(-reader.position // alignment) * alignment + furthest
    if needed > size:
        raise ModelFileError(
            f"{path} is truncated: it has {size} bytes, its tensors need {needed}. Fetch or copy it again."
        )
    return total


def _build(path: Path, size: int, values: dict[str, Any], tensor_bytes: int) -> Header:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise damaged(path, "its header names no architecture")
    if architecture not in architectures.KNOWN:
        raise ModelFileError(
            f"{path} has the architecture {architecture!r}, which the engine does not know."
            f"{nearest(architecture, architectures.KNOWN)} A newer Samovar may."
        )
    if architecture in architectures.NOT_GENERATING:
        raise ModelFileError(f"{path} is a {architecture!r} model, which does not answer prompts.")
    if values.get("split.count", 0) not in (0, 1):
        raise ModelFileError(
            f"{path} is one of {values['split.count']} parts: join them with llama-gguf-split --merge."
        )

    def whole(key: str, *, default: int | None = None, most: int = 1 << 24) -> int:
        value = values.get(f"{architecture}.{key}", default)
        if isinstance(value, list):
            value = max(value, default=0)
        if not isinstance(value, int) or not 0 <= value <= most:
            raise damaged(path, f"its header gives {key} as {value!r}")
        return value

    layers, embedding = whole("block_count", most=4096), whole("embedding_length")
    heads = whole("attention.head_count", default=0)
    if layers < 1 or embedding < 1:
        raise damaged(path, f"it has {layers} layers of {embedding} elements")
    length = embedding // heads if heads else 0
    context = whole("context_length", most=1 << 62)
    if not 1 <= context <= LARGEST_CONTEXT_TOKENS:
        raise damaged(path, f"its header gives a context of {context} tokens")
    return Header(
        path=path,
        file_bytes=size,
        architecture=architecture,
        name=values.get("general.name") if isinstance(values.get("general.name"), str) else None,
        context_tokens=context,
        layers=layers,
        embedding_length=embedding,
        kv_heads=_kv_heads(values.get(f"{architecture}.attention.head_count_kv", heads), layers, path),
        key_length=whole("attention.key_length", default=length),
        value_length=whole("attention.value_length", default=length),
        vocabulary_size=int(values.get("tokenizer.ggml.tokens.length", 0)),
        sliding_window=whole("attention.sliding_window", default=0, most=1 << 62),
        has_chat_template=isinstance(values.get("tokenizer.chat_template"), str),
        tensor_bytes=tensor_bytes,
    )


def _kv_heads(value: Any, layers: int, path: Path) -> tuple[int, ...]:
    heads = [value] * layers if isinstance(value, int) else value
    if (
        not isinstance(heads, list)
        or len(heads) < layers
        or not all(isinstance(count, int) and 0 <= count < 1 << 16 for count in heads)
    ):
        raise damaged(path, f"its header gives attention.head_count_kv as {value!r}")
    return tuple(heads[:layers])
