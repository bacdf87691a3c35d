"""Finds processes in separate sessions that the commands of a run left running, by the run's mark.

Above: `process_groups.py`, which ends all else of a run. Below: the system, which shows the environment that
a process was started with; psutil, if it is not Linux. One that was started with another environment
(`env -i`), or that is another user's, is not found; nor is, on macOS, a program of the system itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from samovar.projects.lineage import DETACHED_VARIABLE, RUN_VARIABLE

if TYPE_CHECKING:
    import psutil

ROUNDS = 5
"""How often it is looked again for what was started meanwhile."""
LOOKS_S = 0.02
"""Between two looks at whether a process has ended, if nothing says so."""


def kill_left(runs: Collection[str]) -> None:
    """Kills what these runs have left, at once. A signal handler may call it."""
    if not hasattr(os, "pidfd_open"):
        _kill_shown(runs)
        return
    for _ in range(ROUNDS):
        found = list(_left_by(runs))
        for process in found:
            _send(process, signal.SIGKILL)
            os.close(process)
        if not found:
            return


async def end_left(run: str, *, grace_s: float, dying_s: float, variable: str = RUN_VARIABLE) -> None:
    """Asks what a run has left to end, and kills what is there after `grace_s`, or was started meanwhile.

    `variable`: of the environment, which has the mark.
    """
    if not hasattr(os, "pidfd_open"):
        await _end_shown(run, variable, (grace_s, dying_s))
        return
    for round_ in range(ROUNDS):
        found = list(_left_by((run,), variable))
        if not found:
            return
        number, wait_s = (signal.SIGKILL, dying_s) if round_ else (signal.SIGTERM, grace_s)
        try:
            for process in found:
                _send(process, number)
            with anyio.move_on_after(wait_s):
                for process in found:
                    await anyio.wait_readable(process)  # it has ended
        finally:
            for process in found:
                os.close(process)


def _left_by(runs: Collection[str], variable: str = RUN_VARIABLE) -> Iterator[int]:
    """A descriptor of each process, to be closed. Its number may be another's by now; this may not."""
    marks = {f"{variable}={run}".encode(): f"{DETACHED_VARIABLE}={run}".encode() for run in runs}
    for name in _numbers() if marks else ():
        try:
            process = os.pidfd_open(int(name))
        except OSError:
            continue
        if _is_marked(name, marks):
            yield process
        else:
            os.close(process)


def _numbers() -> list[str]:
    """The numbers of all processes but this one; none if the system does not show them."""
    with suppress(OSError):
        return [name for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    return []


def _is_marked(name: str, marks: dict[bytes, bytes]) -> bool:
    try:
        with open(f"/proc/{name}/environ", "rb") as file:
            environment = set(file.read().split(b"\0"))
    except OSError:  # of another user, or gone
        return False
    return any(mark in environment and not_so not in environment for mark, not_so in marks.items())


def _send(process: int, number: signal.Signals) -> None:
    with suppress(OSError):
        signal.pidfd_send_signal(process, number)


# Without Linux: psutil knows whether a number is still that of the process it has found.


def _shown_by(runs: Collection[str], variable: str = RUN_VARIABLE) -> list[psutil.Process]:
    """The processes whose environment the system shows to us."""
    import psutil  # only here, where it is needed

    def is_left(environment: Mapping[str, str]) -> bool:
        run = environment.get(variable)
        return run in runs and environment.get(DETACHED_VARIABLE) != run

    found = []
    for process in psutil.process_iter() if runs else ():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and is_left(process.environ()) and _is_there(process):
                found.append(process)
    return found


def _is_there(process: psutil.Process) -> bool:
    import psutil

    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kill_shown(runs: Collection[str]) -> None:
    import psutil

    for _ in range(ROUNDS):
        found = _shown_by(runs)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        if not found:
            return


async def _end_shown(run: str, variable: str, waits_s: tuple[float, float]) -> None:
    import psutil

    for round_ in range(ROUNDS):
        found = _shown_by((run,), variable)
        if not found:
            return
        for process in found:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL if round_ else signal.SIGTERM)
        with anyio.move_on_after(waits_s[min(round_, 1)]):
            while any(_is_there(one) for one in found):  # noqa: ASYNC110
                await anyio.sleep(LOOKS_S)
