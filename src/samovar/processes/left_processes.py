"""Finds processes in separate sessions that the commands of a run left running, by the run's mark.

Above: `process_groups.py`, which ends all else of a run. Below: the system, which shows the environment that
a process was started with. One that was started with another environment (`env -i`), or that is another
user's, is not found; nor is any if there is no `/proc`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress

import anyio

from samovar.projects.lineage import DETACHED_VARIABLE, RUN_VARIABLE

ROUNDS = 5
"""How often it is looked again for what was started meanwhile."""


def kill_left(runs: Collection[str]) -> None:
    """Kills what these runs have left, at once. A signal handler may call it."""
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
    if not marks or not hasattr(os, "pidfd_open"):
        return
    for name in _numbers():
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
