"""Reads the GGUF container: a file's entries and tensor descriptions, without their meaning.

Above: `header.py`. Below: `binary_reader.py`, `tensor_types.py`. Written from the GGUF specification
(`docs/gguf.md` in the ggml repository). It keeps only the entries that are asked for, and believes no number
in the file before it is compared with what can be.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.errors import ModelFileError
from samovar.models.binary_reader import Reader, damaged, shown
from samovar.models.capabilities import HEADS
from samovar.models.tensor_types import NOT_MULTIPLIED, TYPE_SIZES, Tensor

LONGEST_KEY_BYTES = 1 << 10
LONGEST_TEXT_BYTES = 1 << 20
"""Bytes of an entry that is kept."""
LONGEST_TENSOR_NAME_BYTES = 63
"""The engine's own limit."""
LONGEST_ARRAY = 512
"""Longest array of an entry that is kept: the engine's limit of layers."""
LARGEST_VOCABULARY_BYTES = 128 << 20
MOST_PAIRS = 1 << 16
MOST_TENSORS = 1 << 17

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_TOKENS, _TOKEN_KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_FEED_FORWARD = ".ffn_up.weight"
# Bytes that UTF-8 can hold. The engine's tokenizer ends the process if it has no token for one.
_BYTES = [byte for byte in range(1, 0xF5) if byte not in (0xC0, 0xC1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file holds, as far as asked for."""

    values: dict[str, Any]
    """Scalars, texts and arrays of numbers by key. An array of texts is None."""
    places: dict[str, tuple[int, int]]
    """Where in the file the entries of `values` begin and end, in bytes, by key."""
    vocabulary_size: int
    """Tokens; 0 if the file has no vocabulary."""
    spells_every_byte: bool
    """The vocabulary has a token like `<0x0A>`, or the character itself, for each byte of UTF-8."""
    tensors: tuple[Tensor, ...]
    """In the order of the file."""
    entries_end: int
    """Where in the file the entries end and the descriptions of tensors begin, in bytes."""
    data_start: int
    """Where the tensors begin; their offsets count from there."""
    alignment: int
    """Each tensor begins at a multiple of this many bytes from there."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of some tensors by name: heads that score texts, and the first feed-forward matrix of each
        layer. The fastest dimension first."""
        return {
            tensor.name: tensor.shape
            for tensor in self.tensors
            if tensor.name in HEADS or tensor.name.endswith(_FEED_FORWARD)
        }


def read_contents(
    reader: Reader,
    wanted: Callable[[str], bool],
    *,
    checks_vocabulary: bool = True,
    needs_tensors: bool = True,
) -> Contents:
    """Reads a whole header, from the magic to the last tensor, and checks that the tensors are there.

    `wanted` says which keys are kept. Without `checks_vocabulary` its tokens are counted only, and taken for
    good ones. Raises `ModelFileError` for whatever is wrong.
    """
    count, pairs = _read_preamble(reader, needs_tensors)
    values, places, vocabulary = _read_entries(reader, pairs, wanted, checks_vocabulary)
    entries_end = reader.position
    alignment = values.get("general.alignment", 32)
    tensors = _read_tensors(reader, count, alignment)
    return Contents(
        values=values,
        places=places,
        vocabulary_size=vocabulary if isinstance(vocabulary, int) else len(vocabulary),
        spells_every_byte=isinstance(vocabulary, int)
        or all(b"<0x%02X>" % byte in vocabulary or bytes((byte,)) in vocabulary for byte in _BYTES),
        tensors=tensors,
        entries_end=entries_end,
        data_start=_aligned(reader.position, alignment),
        alignment=alignment,
    )


def _read_preamble(reader: Reader, needs_tensors: bool) -> tuple[int, int]:
    """(number of tensors, number of entries)"""
    path = reader.path
    if reader.size < 24:
        raise ModelFileError(f"{path} is not a GGUF model file: it has only {reader.size} bytes.")
    magic = reader.take(4)
    if magic != b"GGUF":
        raise ModelFileError(f"{path} is not a GGUF model file: {_guess(magic + reader.take(20))}.")
    version = reader.number("I")
    if version not in (2, 3):
        big_endian = version in (2 << 24, 3 << 24)
        what = (
            "it is big-endian" if big_endian else f"it has GGUF version {version}, but only 2 and 3 are known"
        )
        raise ModelFileError(f"{path} cannot be loaded: {what}.")
    tensors, pairs = reader.number("Q"), reader.number("Q")
    if tensors > MOST_TENSORS or pairs > MOST_PAIRS:
        raise damaged(path, f"it claims {tensors} tensors and {pairs} header entries")
    if tensors == 0 and needs_tensors:
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
    reader: Reader, pairs: int, wanted: Callable[[str], bool], checks_vocabulary: bool
) -> tuple[dict[str, Any], dict[str, tuple[int, int]], set[bytes] | int]:
    """(the wanted values, where their entries are, the vocabulary's texts, or how many they are)"""
    values: dict[str, Any] = {}
    places: dict[str, tuple[int, int]] = {}
    vocabulary: set[bytes] | int = set()
    keys: set[str] = set()
    for _ in range(pairs):
        begin = reader.position
        key, kind = reader.text(LONGEST_KEY_BYTES), reader.number("I")
        if not key or key in keys:
            raise damaged(reader.path, f"its header entry {shown(key)} appears twice, or has no name")
        keys.add(key)
        if kind == _ARRAY and key == _TOKENS:
            vocabulary = _read_vocabulary(reader, checks_vocabulary)
        elif kind == _ARRAY and key == _TOKEN_KINDS:
            values[key] = _read_kinds(reader, key)
        elif wanted(key):
            values[key] = _read_value(reader, key, kind)
            places[key] = (begin, reader.position)
        else:
            _skip_value(reader, key, kind)
    return values, places, vocabulary


def _read_vocabulary(reader: Reader, checks_vocabulary: bool) -> set[bytes] | int:
    kind, count = reader.number("I"), reader.number("Q")
    if kind != _STRING or count * 8 > reader.size:
        raise damaged(reader.path, f"its vocabulary claims {count} tokens of the type {kind}")
    if not checks_vocabulary:
        reader.skip_texts(count)
        return int(count)
    texts = reader.texts(count, LARGEST_VOCABULARY_BYTES)
    vocabulary = set(texts)
    if b"" in vocabulary or b"\0" in b"".join(vocabulary):
        # As the engine takes them: up to the first NUL, and the empty ones named.
        vocabulary = {text.partition(b"\0")[0] or b"[EMPTY_%d]" % at for at, text in enumerate(texts)}
    if len(vocabulary) != count:
        raise damaged(reader.path, f"of the {count} tokens of its vocabulary only {len(vocabulary)} differ")
    return vocabulary


def _read_kinds(reader: Reader, key: str) -> list[int]:
    """Which kinds of tokens there are, each once."""
    of, count = reader.number("I"), reader.number("Q")
    if of not in (4, 5):
        _skip_array(reader, key, of, count)
        return []
    return sorted(set(struct.unpack(f"<{count}{_SCALARS[of]}", reader.take(4 * count))))


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


def _read_tensors(reader: Reader, count: int, alignment: Any) -> tuple[Tensor, ...]:
    """All tensors; raises when one cannot be, or they do not lie within the file."""
    path = reader.path
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise damaged(path, f"its alignment is {shown(alignment)}")
    tensors: dict[str, Tensor] = {}
    end, offset, size = 0, 0, 0
    for _ in range(count):
        name, dimensions = reader.text(LONGEST_TENSOR_NAME_BYTES), reader.number("I")
        if not name or name in tensors or not 1 <= dimensions <= 4:
            raise damaged(
                path, f"its tensor {name!r} is named twice, unnamed, or has {dimensions} dimensions"
            )
        shape = tuple(reader.number("Q") for _ in range(dimensions))
        kind, offset = reader.number("I"), reader.number("Q")
        size = _bytes_of(path, name, shape, kind)
        if offset != end:
            raise damaged(path, f"its tensor {name!r} begins at {offset} and should at {end}")
        tensors[name] = Tensor(name=name, shape=shape, kind=kind, size_bytes=size, offset=offset)
        end = _aligned(end + size, alignment)
    # The padding after the last tensor need not be there.
    needed = _aligned(reader.position, alignment) + offset + size
    if needed > reader.size:
        raise ModelFileError(
            f"{path} is truncated: it has {reader.size} bytes, its tensors need {needed}. "
            "Fetch or copy it again."
        )
    return tuple(tensors.values())


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _bytes_of(path: Path, name: str, shape: tuple[int, ...], kind: int) -> int:
    if kind not in TYPE_SIZES:
        raise ModelFileError(
            f"{path}: its tensor {name!r} has the type {kind}, which the engine does not know."
        )
    block, block_bytes = TYPE_SIZES[kind]
    elements = math.prod(shape)
    if not 0 < elements < 1 << 48 or shape[0] % block:
        raise damaged(path, f"its tensor {name!r} has the shape {list(shape)}")
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
