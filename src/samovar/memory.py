"""How much memory this process has and may have, in bytes, as the operating system counts it.

Above: `pool.py` (the budget), `app.py` (the report). Below: psutil, and the cgroup's files. It decides
nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


def resident_bytes() -> int:
    """Bytes of this process in memory now, mapped weights included."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int | None:
    """The most `resident_bytes` has been; None where the system does not count it."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Bytes that could be taken without swapping, by the machine and by this container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    room = _cgroup_room_bytes(cgroup)
    return available if room is None else min(available, room)


def _cgroup_room_bytes(cgroup: Path) -> int | None:
    """What the cgroup (version 2, or 1) still allows; None without a limit."""
    for limit_name, usage_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit = (cgroup / limit_name).read_text(encoding="ascii").strip()
            usage = (cgroup / usage_name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if limit.isdigit() and usage.isdigit() and int(limit) < _UNLIMITED:
            return max(0, int(limit) - int(usage))
    return None


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
