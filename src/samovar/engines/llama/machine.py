"""Checks if this machine can run the engine, before the shared library is opened.

Above: `binding.py`. An instruction that the CPU lacks ends the process with a signal, and a missing library
with a line that names no fix, so both are looked for first. It opens nothing but /proc.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = "Linux with glibc on x86-64 (AVX2) or aarch64, and macOS"
NEEDED_CPU_FLAGS = ("avx2", "fma", "f16c")
"""What the x86-64 wheel is compiled with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts that decide."""

    system: str
    """`sys.platform`."""
    processor: str
    """`platform.machine()`."""
    libc: str
    """`glibc`, `musl`, or empty if it does not matter."""
    cpu_flags: frozenset[str] | None
    """Instruction sets; None if they cannot be read."""


def read_machine() -> Machine:
    """The machine this process runs on."""
    flags = None
    if sys.platform == "linux" and platform.machine() == "x86_64":
        flags = _cpu_flags(Path("/proc/cpuinfo"))
    return Machine(system=sys.platform, processor=platform.machine(), libc=_libc(), cpu_flags=flags)


def _libc() -> str:
    if sys.platform != "linux":
        return ""
    if platform.libc_ver()[0] == "glibc":
        return "glibc"
    return "musl" if any(Path("/lib").glob("ld-musl-*")) else ""


def _cpu_flags(cpuinfo: Path) -> frozenset[str] | None:
    try:
        for line in cpuinfo.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        return None
    return None


def objection(machine: Machine) -> str | None:
    """Why local models cannot run there, and what to do; None when they can."""
    if machine.system == "win32":
        return (
            "Local models do not run on Windows yet: the engine's wheel hides its functions there. "
            f"Use WSL 2. Supported: {SUPPORTED}."
        )
    if machine.libc == "musl":
        return (
            "Local models need glibc, and this system has musl (Alpine?): the engine has no wheel for it. "
            f"Use a glibc image, such as Debian's. Supported: {SUPPORTED}."
        )
    if machine.system not in ("linux", "darwin") or machine.processor not in ("x86_64", "aarch64", "arm64"):
        return f"Local models do not run on {machine.system} {machine.processor}. Supported: {SUPPORTED}."
    if machine.cpu_flags is not None:
        missing = [flag for flag in NEEDED_CPU_FLAGS if flag not in machine.cpu_flags]
        if missing:
            return (
                f"This CPU lacks {', '.join(flag.upper() for flag in missing)}, which the engine is compiled "
                f"for. In a virtual machine, expose the host's CPU. Supported: {SUPPORTED}."
            )
    return None
