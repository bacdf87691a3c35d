"""Signals that children get, however the parent was started.

`nohup` and shells that start a job in the background ignore SIGHUP or SIGINT for it, and a program keeps
ignoring what it was started with, rightly. Tests and benchmarks that stop children need the usual meaning.
"""

from __future__ import annotations

import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Does as `SIG_IGN` does, but only here: `exec` gives the default back to what has a handler."""


def not_ignored_by_children() -> None:
    """Programs started from here on are stopped by `STOPPING`, also if this process ignores some of them."""
    for number in STOPPING:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)
