"""Releases mapped pages of a model's file that the engine does not need after repacking.

Above: `loading.py`, and anyone who frees weights. Below: `/proc/self/maps`, and the C library's `madvise`.
The engine keeps the whole file mapped, so that what it repacked would be in memory twice. The pages are only
given up: anyone who touched one would read it from the file again.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from samovar.engines.llama.binding import Binding
from samovar.models.split import ranges_of_parts, real_path

MAPPED_NOTE = (
    "The weights are used as they are in the file. Repacking them for this CPU would make evaluating prompts "
    "faster, but they would not fit the memory budget."
)
"""For a model that was not repacked although nobody asked for that."""
MAPS = Path("/proc/self/maps")
_DONTNEED = 4
"""`MADV_DONTNEED` of Linux."""

_guard = threading.Lock()
_locks: dict[Path, threading.Lock] = {}
"""One for each file that was loaded in this process."""


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Nobody else of this process maps or unmaps the file meanwhile, if he is here too.

    What was seen of its mappings must not belong to something else when it is given up.
    """
    with _guard:
        lock = _locks.setdefault(real_path(path), threading.Lock())
    with lock:
        yield


def release(binding: Binding, path: Path, ranges: Iterable[tuple[int, int]]) -> None:
    """Gives up the pages of `ranges` of the file (from, to, in bytes), several parts counted as one.

    Within `alone_with`.
    """
    try:
        parts = list(ranges_of_parts(path, ranges))
    except OSError:  # the file went meanwhile; what is mapped of it stays
        return
    for part, share in parts:
        for address, length in pages_of(MAPS, part, share):
            binding.libc.madvise(binding.ffi.cast("void *", address), length, _DONTNEED)


def pages_of(maps: Path, path: Path, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(address, bytes) of the whole pages that `ranges` of the file are mapped to, as `maps` says."""
    page = mmap.PAGESIZE
    wanted = list(ranges)
    if not wanted:
        return
    for address, begin, end in _mappings(maps, path):
        for first, last in wanted:
            low = -(-max(first, begin) // page) * page
            high = min(last, end) // page * page
            if low < high:
                yield address + low - begin, high - low


def _mappings(maps: Path, path: Path) -> Iterator[tuple[int, int, int]]:
    """(address, from, to) for each mapping of the file, as in proc_pid_maps(5)."""
    try:
        facts = path.stat()
        text = maps.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}"
    name = str(path.resolve()).replace("\n", "\\012")
    for line in text.split("\n"):  # names hold what else ends lines for Python
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            continue
        addresses, permissions, offset, found_device, inode, *rest = fields
        is_it = (found_device, inode) == (device, str(facts.st_ino)) or rest == [name]
        if is_it and permissions.startswith("r-"):  # what may be written is not only the file's
            low, high = (int(one, 16) for one in addresses.split("-"))
            yield low, int(offset, 16), int(offset, 16) + high - low
