"""Writes a copy of a model's file with all matrices in another type, for `samovar tune --convert`.

Above: the command line, tests. Below: the engine's quantizing functions, by `binding.py`, and the readers of
headers in `models/`. One type for all matrices, so that what is measured of the copy is that type; norms,
biases and what the engine wants as it is stay as they are. Of a model in several files one is made. Nothing
is held in memory but the header and some rows.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.cores import usable_cores
from samovar.errors import ModelFileError
from samovar.memory import in_words
from samovar.models.binary_reader import Reader
from samovar.models.gguf import Contents, read_contents
from samovar.models.header import read_header
from samovar.models.split import parts_of
from samovar.models.tensor_types import TYPE_SIZES, Tensor

OnConvertProgress = Callable[[float], None]
"""Called with the fraction written, 0 to 1, never falling."""

CHUNK_ELEMENTS = 1 << 20
"""Numbers that one thread converts at once, or one row if that is more: 4 MB of them."""
_ALIGNMENT = "general.alignment"
_FILE_TYPE = "general.file_type"
"""The entry that says which type most of a file has."""
_SPLIT = "split."
"""How the entries begin that say which of several files one is."""
_COUNTS = struct.Struct("<QQ")
"""Counts of tensors and of entries; 8 bytes are before them."""
_F16, _F32 = 1, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A type that the matrices of a copy can have."""

    kind: int
    """`enum ggml_type`."""
    file_type: int
    """`enum llama_ftype`, for the header: what a file of mostly that type says of itself."""
    instead: int | None = None
    """The type of matrices whose rows have no whole number of this one's blocks, as llama.cpp chooses it;
    those that do not fit it either become 16-bit numbers."""


FORMATS: dict[str, Format] = {
    "f16": Format(kind=_F16, file_type=1),
    "q4_0": Format(kind=2, file_type=2),
    "q4_1": Format(kind=3, file_type=3),
    "q5_0": Format(kind=6, file_type=8),
    "q5_1": Format(kind=7, file_type=9),
    "q8_0": Format(kind=8, file_type=7),
    "q4_k": Format(kind=12, file_type=14, instead=6),
    "q5_k": Format(kind=13, file_type=16, instead=7),
    "q6_k": Format(kind=14, file_type=18, instead=8),
    "iq4_nl": Format(kind=20, file_type=25),
}
"""By the name that a person gives. All can be made without a matrix of importance."""

_KEPT = (
    *("_norm.weight", "ffn_gate_inp.weight", "tid2eid", "altup", "laurel", "per_layer_model_proj"),
    *("position_embd", "token_types", "conv1d", "shortconv.conv.weight", "indexer.", "hc_", "rel_b.weight"),
    *("time_mix_first", "time_mix_w", "time_mix_v", "time_mix_a", "time_mix_g", "time_mix_decay_w"),
    *("time_mix_lerp_fused", "ssm_f_", "ssm_g_", "ssm_beta"),
)
"""Parts of names: matrices that the engine wants as they are, or that are too small to matter. A few more
than `tensor_allows_quantization` in `src/llama-quant.cpp` has, for whatever the architecture."""


def convert(
    source: Path, target: Path, name: str, *, on_progress: OnConvertProgress = lambda fraction: None
) -> None:
    """Writes `source` to `target` with all its matrices in the format `name`, one of `FORMATS`.

    Takes seconds for each gigabyte, on all cores: call it in a worker thread. `target` is there when all of
    it is written, and never in part. What `on_progress` raises stops it.

    Raises `ModelFileError` if `source` is not a model that the engine takes, is of a type that cannot be
    read, or `target` cannot be written; `PlatformError` if the engine cannot run here.
    """
    binding = open_binding()
    plan = _plan(source, FORMATS[name])
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if plan.size_bytes > shutil.disk_usage(target.parent).free:
            raise ModelFileError(
                f"{target} cannot be written: it will take {in_words(plan.size_bytes)}, and {target.parent} "
                f"has only {in_words(shutil.disk_usage(target.parent).free)} left."
            )
        with ExitStack() as opened, part.open("xb") as write:
            files = [opened.enter_context(path.open("rb")) for path in plan.paths]
            mapped = [
                opened.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) for file in files
            ]
            _write(_Copy(binding, mapped, write), plan, on_progress)
            write.flush()
            os.fsync(write.fileno())
        os.replace(part, target)
    except OSError as error:
        raise ModelFileError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def converted_bytes(source: Path, name: str) -> int:
    """How large the file will be, in bytes, from the header alone. Raises `ModelFileError`."""
    return _plan(source, FORMATS[name]).size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matrix:
    """A tensor of the source, and what becomes of it."""

    old: Tensor
    part: int
    """Which of the source's files it is in, from 0 on; …"""
    begin: int
    """… and where there, in bytes."""
    new: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a copy will be."""

    paths: tuple[Path, ...]
    """The source's files."""
    matrices: list[_Matrix]
    """In the order of the source."""
    header: bytes
    """All before the first tensor."""

    @property
    def size_bytes(self) -> int:
        last = self.matrices[-1].new
        return len(self.header) + last.offset + last.size_bytes


def _plan(source: Path, format_: Format) -> _Plan:
    """Raises `ModelFileError`."""
    read_header(source)  # whatever is wrong with it is said there
    paths, found, head = parts_of(source), list[Contents](), b""
    for path in paths:
        with path.open("rb") as file:
            found.append(
                read_contents(Reader(file, path.stat().st_size, path), _is_wanted, needs_tensors=False)
            )
            if not head:
                file.seek(0)
                head = file.read(found[0].entries_end)
    matrices, end = list[_Matrix](), 0
    for part, contents in enumerate(found):
        for old in contents.tensors:
            kind = _kind(old, format_)
            block, block_bytes = TYPE_SIZES[kind]
            size = prod(old.shape) // block * block_bytes
            new = replace(old, kind=kind, size_bytes=size, offset=end)
            matrices.append(_Matrix(old=old, part=part, begin=contents.data_start + old.offset, new=new))
            end = -(-(end + size) // found[0].alignment) * found[0].alignment
    tensors = [matrix.new for matrix in matrices]
    return _Plan(paths=paths, matrices=matrices, header=_header(head, found[0], tensors, format_))


def _is_wanted(key: str) -> bool:
    return key in (_ALIGNMENT, _FILE_TYPE) or key.startswith(_SPLIT)


def _kind(tensor: Tensor, format_: Format) -> int:
    rows = prod(tensor.shape[1:])
    if rows == 1 or not tensor.name.endswith(".weight") or any(part in tensor.name for part in _KEPT):
        return tensor.kind
    for kind in (format_.kind, format_.instead):
        if kind is not None and tensor.shape[0] % TYPE_SIZES[kind][0] == 0:
            return kind
    return _F16


def _header(head: bytes, contents: Contents, tensors: list[Tensor], format_: Format) -> bytes:
    """The header of the copy. `head`: the source's, to the end of its entries."""
    _, pairs = _COUNTS.unpack_from(head, 8)
    places = contents.places
    split = sorted(place for key, place in places.items() if key.startswith(_SPLIT))
    made = bytearray(head)
    _COUNTS.pack_into(made, 8, len(tensors), pairs - len(split))
    begin, end = places.get(_FILE_TYPE, (0, 0))
    if end - begin == len(_FILE_TYPE) + 16:  # its length, name and type, and a number of 32 bits
        struct.pack_into("<I", made, end - 4, format_.file_type)
    for begin, end in reversed(split):
        del made[begin:end]
    for tensor in tensors:
        name = tensor.name.encode()
        made += struct.pack("<Q", len(name)) + name
        made += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        made += struct.pack("<IQ", tensor.kind, tensor.offset)
    return bytes(made) + b"\0" * (-len(made) % contents.alignment)


@dataclass(frozen=True, slots=True)
class _Copy:
    """One copy under way."""

    binding: Binding
    mapped: list[mmap.mmap]
    """The source's files."""
    target: BinaryIO


def _write(copy: _Copy, plan: _Plan, on_progress: OnConvertProgress) -> None:
    copy.target.write(plan.header)
    done = len(plan.header)
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="samovar: convert") as pool:
        for matrix in plan.matrices:
            gap = len(plan.header) + matrix.new.offset - done
            copy.target.write(b"\0" * gap)
            done += gap
            for raw in _converted(copy, pool, matrix):
                copy.target.write(raw)
                done += len(raw)
                on_progress(min(1.0, done / plan.size_bytes))
    on_progress(1.0)


def _converted(copy: _Copy, pool: ThreadPoolExecutor, matrix: _Matrix) -> Iterator[bytes]:
    """The tensor's bytes, in pieces, in order; as many are made at once as there are threads."""
    old, row = matrix.old, matrix.old.shape[0]
    rows = max(1, CHUNK_ELEMENTS // row)
    starts = range(0, prod(old.shape[1:]), rows)
    last = starts.stop
    if old.kind == matrix.new.kind:
        for start in starts:
            yield _raw(copy, matrix, start, min(rows, last - start))
        return
    at_once = usable_cores()
    for first in range(0, len(starts), at_once):
        pieces = starts[first : first + at_once]
        yield from pool.map(lambda start: _piece(copy, matrix, start, min(rows, last - start)), pieces)


def _raw(copy: _Copy, matrix: _Matrix, start: int, rows: int) -> bytes:
    """The bytes of some rows in the source."""
    row_bytes = matrix.old.size_bytes // prod(matrix.old.shape[1:])
    begin = matrix.begin + start * row_bytes
    return copy.mapped[matrix.part][begin : begin + rows * row_bytes]


def _piece(copy: _Copy, matrix: _Matrix, start: int, rows: int) -> bytes:
    """Some rows in their new type, by way of 32-bit numbers."""
    ffi, lib, old, new = copy.binding.ffi, copy.binding.lib, matrix.old, matrix.new
    row = old.shape[0]
    raw = _raw(copy, matrix, start, rows)
    numbers: Any = ffi.new("float[]", rows * row)
    if old.kind == _F32:
        ffi.memmove(numbers, raw, len(raw))
    else:
        traits = lib.ggml_get_type_traits(old.kind)
        if traits.to_float == ffi.NULL:
            raise ModelFileError(f"The tensor {old.name!r} has the type {old.kind}: it cannot be read back.")
        traits.to_float(ffi.from_buffer(raw), numbers, rows * row)
    made: Any = ffi.new("uint8_t[]", new.size_bytes // prod(new.shape[1:]) * rows)
    lib.ggml_quantize_chunk(new.kind, numbers, made, 0, rows, row, ffi.NULL)
    return bytes(ffi.buffer(made))
