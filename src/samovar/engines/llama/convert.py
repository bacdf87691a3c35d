"""A model's file once more, with all its matrices in another type: what `samovar tune --convert` writes.

Above: the command line, tests. Below: the engine's quantizing functions, by `binding.py`, and the readers of
headers in `models/`. One type for all matrices, so that what is measured of the copy is that type; norms,
biases and what the engine wants as it is stay as they are. Nothing is held in memory but some rows.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from samovar.engines.llama import machine
from samovar.engines.llama.binding import Binding, open_binding
from samovar.errors import ModelFileError
from samovar.memory import in_words
from samovar.models.binary_reader import Reader
from samovar.models.gguf import Contents, read_contents
from samovar.models.header import read_header
from samovar.models.tensor_types import TYPE_SIZES, Tensor

OnConvertProgress = Callable[[float], None]
"""Called with the fraction written, 0 to 1, never falling."""

CHUNK_ELEMENTS = 1 << 20
"""Numbers that one thread converts at once, or one row if that is more: 4 MB of them."""
_FILE_TYPE = struct.pack("<Q", 17) + b"general.file_type" + struct.pack("<I", 4)
"""How the entry begins that says which type most of a file has; its value follows."""
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

    Raises `ModelFileError` if `source` is no model that the engine takes, is of a type that cannot be read,
    or `target` cannot be written; `PlatformError` if the engine cannot run here.
    """
    binding, format_ = open_binding(), FORMATS[name]
    contents = _read(source)
    tensors = _planned(contents, format_)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        needed = contents.data_start + _extent(tensors)
        if needed > shutil.disk_usage(target.parent).free:
            raise ModelFileError(
                f"{target} cannot be written: it will have {in_words(needed)}, and {target.parent} has only "
                f"{in_words(shutil.disk_usage(target.parent).free)} left."
            )
        with source.open("rb") as read, part.open("xb") as write:
            with mmap.mmap(read.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                _write(_Copy(binding, mapped, write, contents, format_), tensors, on_progress)
            write.flush()
            os.fsync(write.fileno())
        os.replace(part, target)
    except OSError as error:
        raise ModelFileError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def converted_bytes(source: Path, name: str) -> int:
    """How large the file will be, in bytes, from the header alone. Raises `ModelFileError`."""
    contents = _read(source)
    return contents.data_start + _extent(_planned(contents, FORMATS[name]))


def _read(source: Path) -> Contents:
    read_header(source)  # whatever is wrong with it is said there
    with source.open("rb") as file:
        return read_contents(Reader(file, source.stat().st_size, source), lambda key: key == _ALIGNMENT)


_ALIGNMENT = "general.alignment"


def _planned(contents: Contents, format_: Format) -> list[Tensor]:
    """The tensors of the copy, in the same order."""
    planned, end = [], 0
    for tensor in contents.tensors:
        kind = _kind(tensor, format_)
        block, block_bytes = TYPE_SIZES[kind]
        size = prod(tensor.shape) // block * block_bytes
        planned.append(replace(tensor, kind=kind, size_bytes=size, offset=end))
        end = -(-(end + size) // contents.alignment) * contents.alignment
    return planned


def _kind(tensor: Tensor, format_: Format) -> int:
    rows = prod(tensor.shape[1:])
    if rows == 1 or not tensor.name.endswith(".weight") or any(part in tensor.name for part in _KEPT):
        return tensor.kind
    for kind in (format_.kind, format_.instead):
        if kind is not None and tensor.shape[0] % TYPE_SIZES[kind][0] == 0:
            return kind
    return _F16


def _extent(tensors: list[Tensor]) -> int:
    return tensors[-1].offset + tensors[-1].size_bytes


@dataclass(frozen=True, slots=True)
class _Copy:
    """One copy under way."""

    binding: Binding
    mapped: mmap.mmap
    """The source."""
    target: BinaryIO
    contents: Contents
    """Of the source."""
    format: Format


def _write(copy: _Copy, tensors: list[Tensor], on_progress: OnConvertProgress) -> None:
    _write_header(copy, tensors)
    done, most = 0, _extent(tensors)
    with ThreadPoolExecutor(machine.usable_cores(), thread_name_prefix="samovar: convert") as pool:
        for old, new in zip(copy.contents.tensors, tensors, strict=True):
            copy.target.write(b"\0" * (copy.contents.data_start + new.offset - copy.target.tell()))
            for raw in _converted(copy, pool, old, new):
                copy.target.write(raw)
                done += len(raw)
                on_progress(min(1.0, done / most))
    on_progress(1.0)


def _write_header(copy: _Copy, tensors: list[Tensor]) -> None:
    entries = bytearray(copy.mapped[: copy.contents.entries_end])
    at = entries.find(_FILE_TYPE)
    if at >= 0:
        struct.pack_into("<I", entries, at + len(_FILE_TYPE), copy.format.file_type)
    copy.target.write(entries)
    for tensor in tensors:
        name = tensor.name.encode()
        copy.target.write(struct.pack("<Q", len(name)) + name)
        copy.target.write(struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape))
        copy.target.write(struct.pack("<IQ", tensor.kind, tensor.offset))


def _converted(copy: _Copy, pool: ThreadPoolExecutor, old: Tensor, new: Tensor) -> Iterator[bytes]:
    """The tensor's bytes, in pieces, in order; as many are made at once as there are threads."""
    row = old.shape[0]
    rows = max(1, CHUNK_ELEMENTS // row)
    starts = range(0, prod(old.shape[1:]), rows)
    last = starts.stop
    if old.kind == new.kind:
        for start in starts:
            yield _raw(copy, old, start, min(rows, last - start))
        return
    at_once = machine.usable_cores()
    for first in range(0, len(starts), at_once):
        pieces = starts[first : first + at_once]
        yield from pool.map(lambda start: _piece(copy, old, new, start, min(rows, last - start)), pieces)


def _raw(copy: _Copy, tensor: Tensor, start: int, rows: int) -> bytes:
    """The bytes of some rows in the source."""
    row_bytes = tensor.size_bytes // prod(tensor.shape[1:])
    begin = copy.contents.data_start + tensor.offset + start * row_bytes
    return copy.mapped[begin : begin + rows * row_bytes]


def _piece(copy: _Copy, old: Tensor, new: Tensor, start: int, rows: int) -> bytes:
    """Some rows in their new type, by way of 32-bit numbers."""
    ffi, lib, row = copy.binding.ffi, copy.binding.lib, old.shape[0]
    raw = _raw(copy, old, start, rows)
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
