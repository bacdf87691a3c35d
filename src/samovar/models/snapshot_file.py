"""One copy of an evaluated prefix as a file: its name, its content, and its verification.

Above: `snapshots.py`, which has the folder; the index of an engine. Below: files. A copy belongs to one
fingerprint: the same weights, KV type and build of the engine. Read, it is verified: header, checksum, and
token by token. The checksum guards against damage, not against malice.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samovar.models.split import parts_of, safe_stem

MAGIC = b"samovar2"
HEADER = struct.Struct("<I8s16sIIQd")
"""CRC-32 of all that follows; magic, fingerprint, start, count of tokens, bytes of the state, seconds."""
MAX_TOKENS = 1 << 24
SAMPLED_PAGES = 512
"""Sampled pages of 4096 bytes each, for a fingerprint."""
SUFFIX = ".kv"
TEMPORARY = ".writing-"
"""What is still written begins so, and has no suffix: nobody takes it for a copy, or for a damaged one."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One copy: the state of the positions `start` to the end of `tokens`."""

    tokens: array[int]
    start: int
    path: Path
    saves_s: float = 0.0
    """What it took to evaluate, in seconds, when it was written; 0: not known."""


def fingerprint(path: Path, *, kv_type: str, build: str, is_transposed: bool = False) -> str:
    """The name of all states that fit each other: of these weights, in cells of this type, by this build,
    with values laid out by rows or, `is_transposed`, by columns.

    A file is the same with the same time of change, size, beginning, end, and pages in between, wherever
    it is: models that were tuned from one another may differ anywhere. Raises `OSError`.
    """
    layout = "transposed" if is_transposed else ""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts_of(path):
        stat = part.stat()
        size = stat.st_size
        digest.update(f"{kv_type}\0{build}\0{size}\0{stat.st_mtime_ns}\0{layout}\0".encode())
        with part.open("rb") as file:
            digest.update(file.read(1 << 20))
            for page in range(SAMPLED_PAGES):
                file.seek(size * page // SAMPLED_PAGES)
                digest.update(file.read(4096))
            file.seek(-min(size, 1 << 20), os.SEEK_END)
            digest.update(file.read())
    return f"{safe_stem(parts_of(path)[0])}-{digest.hexdigest()}"


def name_of(tokens: array[int], start: int) -> str:
    """What the copy of these positions is called."""
    digest = hashlib.blake2b(_to_bytes(tokens), digest_size=16).hexdigest()
    return f"{digest}-{start}{SUFFIX}"


def start_of(path: Path) -> int:
    """The first position of a copy, by what it is called."""
    start = path.stem.rpartition("-")[2]
    return int(start) if start.isdecimal() else 0


def content_of(snapshot: Snapshot, digest: bytes, state: bytearray) -> Sequence[bytes | bytearray]:
    """What its file holds, one part after the other. `digest`: of the fingerprint's name, 16 bytes."""
    tokens = _to_bytes(snapshot.tokens)
    return _header(snapshot, digest, tokens, state), tokens, state


def write_snapshot(path: Path, parts: Sequence[bytes | bytearray]) -> None:
    """Writes a file that is there whole or not at all, and readable by its owner only. Raises `OSError`."""
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{threading.get_ident()}-{path.stem}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
        os.replace(temporary, path)  # torn by a crash of the machine, the checksum shows it
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_snapshot(path: Path, digest: bytes) -> Snapshot | None:
    """The copy in a file, without its state; None if it is not of this fingerprint, or not whole."""
    try:
        with path.open("rb") as file:
            _, magic, found, start, count, size, saves_s = HEADER.unpack(file.read(HEADER.size))
            whole = HEADER.size + 4 * count + size
            fits = count <= MAX_TOKENS and start < count and os.fstat(file.fileno()).st_size == whole
            if magic != MAGIC or found != digest or not fits:
                return None
            return Snapshot(_from_bytes(file.read(4 * count)), start, path, saves_s)
    except (OSError, struct.error):
        return None


def saves_s_of(path: Path) -> float:
    """What the copy in a file took to evaluate, in seconds. Raises `OSError`."""
    with path.open("rb") as file:
        header = file.read(HEADER.size)
    seconds: float = HEADER.unpack(header)[-1] if len(header) == HEADER.size else 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def verified_state(snapshot: Snapshot, digest: bytes, data: bytes) -> memoryview | None:
    """The state in a file's `data`; None if that is not what was written for `snapshot`."""
    tokens = _to_bytes(snapshot.tokens)
    state = memoryview(data)[HEADER.size + len(tokens) :]
    header = _header(snapshot, digest, tokens, state)
    return state if data[: HEADER.size + len(tokens)] == header + tokens else None


def _header(snapshot: Snapshot, digest: bytes, tokens: bytes, state: bytes | bytearray | memoryview) -> bytes:
    numbers = (snapshot.start, len(snapshot.tokens), len(state), snapshot.saves_s)
    told = HEADER.pack(0, MAGIC, digest, *numbers)[4:]
    return zlib.crc32(state, zlib.crc32(tokens, zlib.crc32(told))).to_bytes(4, "little") + told


def _to_bytes(tokens: array[int]) -> bytes:
    return struct.pack(f"<{len(tokens)}i", *tokens)


def _from_bytes(data: bytes) -> array[int]:
    return array("i", struct.unpack(f"<{len(data) // 4}i", data))
