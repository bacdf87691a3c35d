"""The process groups started by the commands of runs, so that none outlives its run.

Above: `actions/process.py`, and what ends a run or the program. Below: `left_processes.py`, which finds what
made a session of its own (`setsid`, a daemon); the system. Mutable: which groups there are.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

import anyio

from samovar.processes.guard import is_guard
from samovar.processes.left_processes import end_left, kill_left

GRACE_S = 1.0
"""Between asking a group to end and killing it."""
DYING_S = 0.1
"""How long a killed group is watched; if nobody reaps its dead, it seems to be there forever."""


@dataclass(slots=True)
class _Group:
    run: str
    left_s: float | None = None
    """When its command was done and something it had started was not; since 1970. None: it runs."""


class ProcessGroups:
    """The groups of all runs that share a machine. A group has the number of the command's shell."""

    def __init__(self) -> None:
        self._groups: dict[int, _Group] = {}
        self._runs: set[str] = set()
        """That start a command, or have, and are not over. What they have left is found by them."""

    def expect(self, run: str) -> None:
        """The run is about to start a command, which may do anything before its group is known."""
        self._runs.add(run)

    def begin(self, group: int, run: str) -> None:
        """A command of the run was started."""
        self._groups[group] = _Group(run)

    def finish(self, group: int, *, detach: bool = False) -> None:
        """The command is done. What it left behind stays until the run ends, or forever with `detach`."""
        if detach or not send(group, 0):
            del self._groups[group]
        else:
            self._groups[group].left_s = time.time()

    def kill(self) -> None:
        """Kills all that there is, at once, and whatever else this process has started. For its last moment.

        A signal handler may call it: also while a command is being started, which is in no group yet.
        """
        import psutil

        for group, found in list(self._groups.items()):
            if _is_the_same(group, found):
                send(group, signal.SIGKILL)
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if not is_guard(process.cmdline()):  # it ends what is not found here, when we are gone
                    process.kill()
        kill_left(self._runs)

    async def end(self, run: str) -> None:
        """The run is over: what its commands have left behind is asked to end, and killed after a moment."""
        left = [group for group, found in self._groups.items() if found.run == run]
        async with anyio.create_task_group() as tasks:
            for group in left:
                found = self._groups.pop(group)
                if _is_the_same(group, found):
                    tasks.start_soon(end_group, group, name=f"end group {group}")
        if run in self._runs:
            await end_left(run, grace_s=GRACE_S, dying_s=DYING_S)
            self._runs.discard(run)  # until then `kill` finds what does not end when it is asked to


def _is_the_same(group: int, found: _Group) -> bool:
    """Whether the number is still that group's: the system gives it away again once the group is empty."""
    if found.left_s is None:
        return True
    import psutil  # only here, if something was left behind

    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.create_time() <= found.left_s:
                return True
        except (OSError, psutil.Error):
            continue
    return False


async def end_group(group: int) -> None:
    """Asks a whole group to end, and kills the rest of it after a moment."""
    send(group, signal.SIGTERM)
    with anyio.move_on_after(GRACE_S):
        await _emptied(group)
    send(group, signal.SIGKILL)
    with anyio.move_on_after(DYING_S):
        await _emptied(group)


async def _emptied(group: int) -> None:
    # Nothing says when a group is empty, so it is looked at again and again.
    while send(group, 0):  # noqa: ASYNC110
        await anyio.sleep(0.005)


def send(group: int, number: int) -> bool:
    """Sends a signal to a group. Gives whether there was anything to send it to."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
