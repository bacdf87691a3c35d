"""The memory reserved by all Samovar processes of this user: one small file for each pool.

Above: `room.py`, which asks before it takes room, `ledger.py`, and `app.py`, which opens it. Below: a folder
that only this user can enter. It decides nothing but whether a wish and the others' bytes go into a budget
together.

Why it is there: two processes started one after the other would both find the same memory free, since what a
load will take is not taken yet, and mapped weights never count as taken.

What of the others' bytes counts depends on where the budget came from:

- Given by hand, it is one budget for all processes of the user: every byte that others hold counts.
- Measured as a share of the memory that was free at the start, what others had really taken by then is
  missing from it already. So that is measured too, and only what others hold beyond it counts: what they
  had promised but not taken yet, and what they take later. Their mapped weights were free by the system's
  count, and so they count here.

What is mapped of a file's weights is in memory once, however many use it: it counts once. What the engine
puts into another order is private, and counts for each process.

Nothing here stops the work: a folder that cannot be used is reported once in the log, and then nobody counts.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar, TypeVarTuple

Wants = TypeVarTuple("Wants")
Gives = TypeVar("Gives")

log = logging.getLogger("samovar.pool")

LOCK_S = 0.5
"""The lock is held for a few file operations; anyone who does not get it for this long continues without."""
LOCK_RETRY_S = 0.001
SAME_START_S = 10.0
"""Start times of one process id that are further apart are two processes; the clock may be set a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one pool holds, or several together."""

    private_bytes: int = 0
    """All but mapped weights."""
    weights: dict[str, int] = field(default_factory=dict)
    """What is mapped of each file's weights, in bytes."""

    @property
    def total_bytes(self) -> int:
        return self.beside({})

    def beside(self, own: Mapping[str, int]) -> int:
        """The bytes that come on top for someone who has mapped `own` bytes of these files himself."""
        shared = (max(0, size - own.get(file, 0)) for file, size in self.weights.items())
        return self.private_bytes + sum(shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reservation:
    """One file."""

    pid: int
    """The process that wrote it."""
    started_s: float
    """When the process began, in seconds since 1970: ids are used again."""
    holding: Holding
    """What that process holds."""


def runtime_folder() -> Path:
    """Where the files are: in `$XDG_RUNTIME_DIR`, else in the system's folder for temporary files."""
    import tempfile

    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and Path(given).is_dir():
        return Path(given) / "samovar"
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"samovar-{user}"


class Reservations:
    """This pool's file among the others. Mutable state: the file, and whether the folder is given up."""

    def __init__(self, folder: Path | None = None, *, is_measured: bool) -> None:
        """`folder`: None is `runtime_folder()`. `is_measured`: see the module."""
        self._folder = runtime_folder() if folder is None else folder
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}.json"
        self._held = Holding()
        self._is_given_up = False
        self._taken_bytes = 0
        """What others had really taken, beside weights, when the budget was measured."""
        self._safely(_open_folder, self._folder, otherwise=None)
        if is_measured:
            self._taken_bytes = self._safely(self._measure, otherwise=0)

    def others(self) -> Holding:
        """What others hold together, as far as it counts."""
        return self._safely(self._count, otherwise=Holding())

    def take(self, held: Holding, budget_bytes: int) -> bool:
        """Says that this pool holds `held` from now on, if that and the others' fit the budget."""
        return self._safely(self._take, held, budget_bytes, otherwise=True)

    def give_back(self, held: Holding) -> None:
        """Says that this pool holds only `held` now. Without effect if that is not less."""
        if held.total_bytes < self._held.total_bytes:
            self._safely(self._write, held, otherwise=None)

    def close(self) -> None:
        """This pool holds nothing any more. Safe to call twice."""
        self._held = Holding()
        with suppress(OSError):
            (self._folder / self._name).unlink(missing_ok=True)

    def _safely(self, function: Callable[[*Wants], Gives], *wants: *Wants, otherwise: Gives) -> Gives:
        """What `function` gives; `otherwise` once anything has been wrong with the folder."""
        if self._is_given_up:
            return otherwise
        try:
            return function(*wants)
        except OSError as error:
            self._is_given_up = True
            log.warning("Memory reserved by other Samovar processes is not counted: %s", error)
            return otherwise

    def _take(self, held: Holding, budget_bytes: int) -> bool:
        with _locked(self._folder):
            if held.total_bytes + self._count().beside(held.weights) > budget_bytes:
                return False
            self._write(held)
        return True

    def _count(self) -> Holding:
        private_bytes = -self._taken_bytes
        weights: dict[str, int] = {}
        for one in self._others():
            private_bytes += one.holding.private_bytes
            for file, size in one.holding.weights.items():
                weights[file] = max(size, weights.get(file, 0))
        return Holding(private_bytes=max(0, private_bytes), weights=weights)

    def _measure(self) -> int:
        return sum(min(one.holding.private_bytes, _private_bytes(one.pid)) for one in self._others())

    def _others(self) -> Iterator[_Reservation]:
        """Those of processes that live; the files of dead ones are removed."""
        for path in sorted(self._folder.glob("*.json")):
            if path.name == self._name:
                continue
            with suppress(FileNotFoundError, ValueError, TypeError, KeyError):  # gone, or not such a file
                reservation = _read(path)
                if _lives(reservation):
                    yield reservation
                else:
                    path.unlink(missing_ok=True)

    def _write(self, held: Holding) -> None:
        import psutil

        _open_folder(self._folder)
        started_s = psutil.Process().create_time()
        new = self._folder / f"{self._name}.new"
        new.write_text(json.dumps({"pid": os.getpid(), "started_s": started_s, **asdict(held)}), "utf-8")
        new.replace(self._folder / self._name)
        self._held = held


def _read(path: Path) -> _Reservation:
    """Raises `OSError`, or `ValueError`, `TypeError`, `KeyError` for what is not a reservation."""
    found = json.loads(path.read_bytes())
    holding = Holding(
        private_bytes=int(found["private_bytes"]),
        weights={str(file): int(size) for file, size in dict(found["weights"]).items()},
    )
    return _Reservation(pid=int(found["pid"]), started_s=float(found["started_s"]), holding=holding)


def _open_folder(folder: Path) -> None:
    """Makes it, or checks that nobody else can enter it. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
    if not stat.S_ISDIR(found.st_mode) or not is_own:
        raise PermissionError(f"{folder} is not a folder that only this user can enter.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among this user's processes, as far as the system can lock."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / "lock").open("ab") as file:
        ends_s = time.monotonic() + LOCK_S
        while time.monotonic() < ends_s:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_RETRY_S)
        yield  # closing the file unlocks it


def _lives(reservation: _Reservation) -> bool:
    import psutil

    try:
        process = psutil.Process(reservation.pid)
        is_same = abs(process.create_time() - reservation.started_s) <= SAME_START_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _private_bytes(pid: int) -> int:
    """What a process has in memory, without what it has mapped from files if the system reports it."""
    import psutil

    try:
        found = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return max(0, int(found.rss) - int(getattr(found, "shared", 0)))
