"""Counts the cores for the engine: physical ones, and only the fast ones if there are two kinds.

Above: `threads.py`, `loading.py`, `measuring.py`, `convert.py`, `app.py`. Below: `cgroups.py`, files of
`/sys`, `sysctl` on macOS, and psutil if neither says anything. Two threads of one core share what the
engine needs of it, and at each of the hundreds of barriers of a step the fast cores would wait for the
slow ones.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection
from pathlib import Path

from samovar.errors.counting import counted
from samovar.memory.cgroups import ROOT, folders, number_of, text_of

FAST = 2 / 3
"""Cores with this much of the best one's speed are of its kind: some of a kind may clock a little higher."""


def usable_cores(root: Path = ROOT) -> int:
    """Logical CPUs this process may use: its affinity, and no more than the quotas above it; at least 1."""
    return _within_quota(len(_allowed()), root)


def engine_cores(root: Path = ROOT, allowed: Collection[int] | None = None) -> int:
    """Physical cores of the fast kind that this process may use, and no more than the quotas; at least 1.

    `root`: where `/proc` and `/sys` are. `allowed`: numbers of CPUs; None: as the system says.
    """
    allowed = _allowed() if allowed is None else allowed
    fast = _fast(root, allowed)
    siblings = {_siblings(root, cpu) for cpu in fast}
    if None not in siblings:
        return _within_quota(len(siblings), root)
    return _within_quota(min(len(fast), _counted() or len(fast)), root)


def _allowed() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _fast(root: Path, allowed: Collection[int]) -> Collection[int]:
    """Those of the fast kind; if none of them is allowed, all that are."""
    devices = root / "sys" / "devices"
    of_intel = _listed(text_of(devices / "cpu_core" / "cpus"))  # if there are two kinds
    if of_intel:
        return of_intel & set(allowed) or allowed
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        speeds = {cpu: number_of(text_of(devices / "system" / "cpu" / f"cpu{cpu}" / name)) for cpu in allowed}
        known = [speed for speed in speeds.values() if speed]
        if len(known) == len(allowed):
            return [cpu for cpu, speed in speeds.items() if speed and speed >= FAST * max(known)]
    return allowed


def _siblings(root: Path, cpu: int) -> frozenset[int] | None:
    """The CPUs of the same physical core; None if that cannot be read."""
    topology = root / "sys" / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
    for name in ("core_cpus_list", "thread_siblings_list"):
        if found := _listed(text_of(topology / name)):
            return frozenset(found)
    return None


def _listed(text: str) -> set[int]:
    """The numbers of `0-3,8`; none of what is not such a list."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        low, high = number_of(first), number_of(last or first)
        if low is None or high is None or high - low > 1 << 16:
            return set()
        found.update(range(low, high + 1))
    return found


def _counted() -> int | None:
    """Physical cores (of the fast kind on macOS), if the system has no files that say so."""
    if sys.platform == "darwin" and (found := _sysctl("hw.perflevel0.physicalcpu")):
        return found
    import psutil

    return psutil.cpu_count(logical=False)


def _sysctl(name: str) -> int | None:
    """A number of macOS; None if there is none of that name."""
    import ctypes

    value, size = ctypes.c_int(0), ctypes.c_size_t(4)
    ask = getattr(ctypes.CDLL(None), "sysctlbyname", None)
    if ask is None or ask(name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)):
        return None
    return value.value or None


def _within_quota(cores: int, root: Path) -> int:
    for folder, version in folders(root, "cpu"):
        if version == 2:
            quota, _, period = text_of(folder / "cpu.max").partition(" ")
        else:
            quota, period = text_of(folder / "cpu.cfs_quota_us"), text_of(folder / "cpu.cfs_period_us")
        most, each = number_of(quota), number_of(period)
        if most is not None and each:  # without a limit it is `max`, or -1
            cores = min(cores, most // each)
    return max(1, cores)


def in_words() -> str:
    """What distinguishes this machine from one of another speed: the kind of CPU, and how much of it is
    usable."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux
    return f"{sys.platform} {platform.machine()}, {name}, {counted(engine_cores(), 'core')}"
