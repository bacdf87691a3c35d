"""Named places at which a process ends itself at once, if that is armed: what a run must survive.

Above: the runner and the writer, which pass these places. Below: nothing. `SAMOVAR_KILL_AT=PLACE` or
`PLACE:3` (the third time) arms one, for the tests and for `benchmarks.surviving`; else a place does nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from enum import StrEnum

VARIABLE = "SAMOVAR_KILL_AT"


class KillPoint(StrEnum):
    """Where."""

    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    """Of a state on the way; those below have their own."""
    IN_BRANCH = "in-branch"
    """After the intent of a state in a branch of a fork."""
    IN_ITEM = "in-item"
    """After the intent of an item of a list, or of a state within one."""
    IN_CHILD = "in-child"
    """After the intent of a state of a sub-workflow."""
    MID_GENERATION = "mid-generation"
    BEFORE_OUTCOME = "before-outcome"
    """The action is performed, and that is not kept."""
    AFTER_OUTCOME = "after-outcome"
    """It is kept, and no transition is taken."""
    VALUE_FILE = "value-file"
    """A value is a file, and no row names it."""
    CHECKPOINT = "checkpoint"
    """While the log is put into the file."""
    END = "end"
    """All is done, and that is not kept."""


_reached: Counter[str] = Counter()


def reach(point: KillPoint, *, soon: bool = False) -> None:
    """The process is there. `soon`: it ends beside what is done next, and not before it."""
    armed = os.environ.get(VARIABLE)
    if armed is None:
        return
    name, _, times = armed.partition(":")
    if name != point:
        return
    _reached[name] += 1
    if _reached[name] != int(times or 1):
        return
    if soon:
        threading.Thread(target=_end, name="kill point").start()
    else:
        _end()


def reach_within(path: str, line: str) -> None:
    """An intent is kept: of a state in a branch, in an item, in a child, or on the way."""
    if line:
        reach(KillPoint.IN_BRANCH)
    elif "[" in path:
        reach(KillPoint.IN_ITEM)
    elif "/" in path:
        reach(KillPoint.IN_CHILD)
    else:
        reach(KillPoint.AFTER_INTENT)


def _end() -> None:
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
