"""The memory that this process uses and may use, in bytes, as the operating system counts it.

Above: `pool.py` (the budget), `app.py` (the report). Below: psutil, `cgroups.py`, files of `/proc`. It
decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from samovar.memory.cgroups import ROOT, folders, number_of, text_of

_UNLIMITED = 1 << 60
"""Version 1 has no word for it, and gives a number beyond any memory."""


class _Names(NamedTuple):
    """Files of a cgroup, and a line of its `memory.stat` (cgroups(7), the kernel's admin guide)."""

    limit: str
    used: str
    cached: str


_VERSION_1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Names("memory.max", "memory.current", "inactive_file")


def resident_bytes() -> int:
    """Bytes of this process in memory now, mapped weights included."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int | None:
    """The most `resident_bytes` has been; None if the system does not count it.

    On Linux from `/proc/self/status`: what `getrusage` says begins with what the parent process held.
    """
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes(root: Path = ROOT) -> int:
    """Bytes that could be taken without swapping, by the machine and by every limit above this process.

    `root`: where `/proc` and `/sys` are.
    """
    import psutil

    available = int(psutil.virtual_memory().available)
    return min([available, *(group.room_bytes() for group in _limited_groups(root))])


def limits_bytes(root: Path = ROOT) -> list[int]:
    """The limits of the groups above this process, the smallest first; none where nobody has set one."""
    return sorted({group.limit_bytes for group in _limited_groups(root)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A cgroup with a limit of its own."""

    limit_bytes: int
    used_bytes: int
    cached_bytes: int
    """The part of `used_bytes` in pages of files not used lately, which the kernel frees before it ends any
    process."""

    def room_bytes(self) -> int:
        return max(0, self.limit_bytes - max(0, self.used_bytes - self.cached_bytes))


def _limited_groups(root: Path) -> Iterator[_Group]:
    """This process's cgroup and all above it that have a limit, as far as they can be seen from here."""
    for folder, version in folders(root, "memory"):
        if group := _group(folder, _VERSION_1 if version == 1 else _VERSION_2):
            yield group


def _group(folder: Path, names: _Names) -> _Group | None:
    """None without a limit."""
    limit, used = (number_of(text_of(folder / name)) for name in (names.limit, names.used))
    if limit is None or limit >= _UNLIMITED or used is None:
        return None
    statistics = dict(line.partition(" ")[::2] for line in text_of(folder / "memory.stat").splitlines())
    return _Group(
        limit_bytes=limit, used_bytes=used, cached_bytes=number_of(statistics.get(names.cached, "")) or 0
    )


def in_words(size_bytes: int | None) -> str:
    """`1.2 GB`, `98.4 MB`, `-` for None. Powers of 1000, as file sizes are given."""
    if size_bytes is None:
        return "-"
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
