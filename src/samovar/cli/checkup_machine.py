"""What a check-up finds of the machine: Python, the engine, cores, memory, SQLite, programs, the terminal.

Above: `doctor.py`. Below: the engine's binding, the memory, the standard library. Nothing is loaded.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator

from samovar import memory
from samovar.app import budget_bytes
from samovar.cli.checkup import Observation
from samovar.config import Settings
from samovar.errors import PlatformError
from samovar.errors.installing import install_command
from samovar.memory import in_words

LEAST_PYTHON = (3, 11)
WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""The first and the last version of SQLite that has it."""
LITTLE_BYTES = 500_000_000
"""Of memory, below which hardly a model fits."""


def python() -> Iterator[Observation]:
    version = platform.python_version()
    what = f"{platform.python_implementation()} {version}, {sys.executable or 'no executable'}"
    if sys.version_info < LEAST_PYTHON:  # an installer would not have let it in
        yield Observation(about="python", verdict="wrong", what=what, fix="install Python 3.11 or newer")
    else:
        yield Observation(about="python", what=what)


def engine() -> Iterator[Observation]:
    """Its build, and what the CPU has of what it can use."""
    from samovar.engines.llama.binding import open_binding
    from samovar.engines.llama.declarations import WHEEL, WHEEL_VERSION

    install = install_command(f"{WHEEL}=={WHEEL_VERSION}")
    try:
        binding = open_binding()
        features = ", ".join(sorted(binding.build().features)) or "none that it asks for"
    except PlatformError as error:
        yield Observation(
            about="engine", verdict="wrong", what=str(error), fix=_install_in(str(error)) or install
        )
        return
    yield Observation(about="engine", what=f"{WHEEL} {WHEEL_VERSION}, CPU features: {features}")
    for note in binding.notes:
        yield Observation(about="engine", verdict="doubtful", what=note)


def _install_in(text: str) -> str | None:
    """The command that a message of the engine names itself."""
    return "apt-get install libgomp1" if "libgomp" in text else None


def cores(settings: Settings, source: str) -> Iterator[Observation]:
    """`source`: where the setting `threads` comes from."""
    from samovar.engines.llama.cores import engine_cores, usable_cores

    usable, best = usable_cores(), engine_cores()
    what = f"{best} for the engine, of {usable} usable and {os.cpu_count() or 1} there are"
    if settings.threads is None or settings.threads <= usable:
        chosen = "" if settings.threads is None else f"; the setting threads is {settings.threads}"
        yield Observation(about="cores", what=what + chosen)
        return
    fix = f"unset {source}" if source.startswith("SAMOVAR_") else f"take threads out of {source}"
    more = f"{what}; the setting threads is {settings.threads}: more threads than cores wait for each other"
    yield Observation(about="cores", verdict="doubtful", what=more, fix=fix)


def memory_there(settings: Settings) -> Iterator[Observation]:
    import psutil

    total, available = int(psutil.virtual_memory().total), memory.available_bytes()
    limits = [f"a cgroup allows {in_words(limit)}" for limit in memory.limits_bytes() if limit < total]
    budget = budget_bytes(settings)
    what = ", ".join(
        [
            f"{in_words(available)} available of {in_words(total)}",
            *limits,
            f"models may take {in_words(budget)}",
        ]
    )
    if settings.budget_bytes is not None and budget > available:
        fix = f"SAMOVAR_BUDGET_BYTES={int(available * 0.8) // 1_000_000}MB"
        yield Observation(about="memory", verdict="doubtful", what=f"{what}: more than there is", fix=fix)
    elif budget < LITTLE_BYTES:
        fix = "end other programs, or raise the limit of the container (docker run --memory=4g …)"
        yield Observation(about="memory", verdict="doubtful", what=f"{what}: little", fix=fix)
    else:
        yield Observation(about="memory", what=what)


def sqlite() -> Iterator[Observation]:
    try:
        import sqlite3
    except ImportError:
        fix = "install a Python that was built with SQLite"
        yield Observation(about="sqlite", verdict="wrong", what="this Python has no sqlite3", fix=fix)
        return
    yield sqlite_finding(sqlite3.sqlite_version)


def sqlite_finding(version: str) -> Observation:
    """What is to be said of a version of SQLite."""
    parts = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    first, last = WAL_RESET_BUG
    if not first <= parts <= last:
        return Observation(about="sqlite", what=version)
    return Observation(
        about="sqlite",
        verdict="doubtful",
        what=f"{version} has the WAL-reset bug (3.7.0 to 3.51.2): where several processes write, a file may "
        "lose changes, rarely. The journal is written in a way that avoids it",
        fix="use a Python with SQLite 3.51.3 or newer; if it is the system's: apt-get install --only-upgrade "
        "libsqlite3-0",
    )


def programs(system: str = sys.platform) -> Iterator[Observation]:
    """How far what a run starts is sure to end with it."""
    if system == "linux":
        what = "what a run starts ends with it, by its group and by its environment"
        yield Observation(about="programs", what=what)
    elif system == "darwin":
        what = (
            "what a run starts ends with it, by its group and by its environment; macOS shows no environment "
            "of its own programs, so one of them that makes a session of its own, as a daemon does, may stay"
        )
        yield Observation(about="programs", what=what)
    else:
        what = f"on {system} it was never tried whether what a run starts ends with it"
        fix = "use Linux, macOS, or WSL 2 on Windows"
        yield Observation(about="programs", verdict="doubtful", what=what, fix=fix)


def terminal() -> Iterator[Observation]:
    import locale

    encoding = (sys.stdout.encoding or "none").lower()
    where = "a terminal" if sys.stdout.isatty() else "no terminal"
    of_files = locale.getencoding().lower()
    what = f"{where}, TERM={os.environ.get('TERM', 'unset')}, encoding {encoding}, locale {of_files}"
    if "utf" in encoding and "utf" in of_files.replace("-", ""):
        yield Observation(about="terminal", what=what)
    else:
        fix = "export LC_ALL=C.UTF-8"
        more = f"{what}: not UTF-8, so some letters are shown as escapes"
        yield Observation(about="terminal", verdict="doubtful", what=more, fix=fix)
