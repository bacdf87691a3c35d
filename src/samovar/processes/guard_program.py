"""Waits until whoever started it is gone, and ends what they have left: a program of its own.

Above: `guard.py`, which starts it as a file and tells it what there is, a line at a time. Below: the standard
library alone, so that it starts in a few milliseconds. It reads `mark TEXT`, `group NUMBER`, `folder PATH`,
each with `done` before it when it is no longer there. When the input ends without `bye`, every group is
killed, and every process with a mark in its environment, and the folders are deleted.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

ROUNDS = 5
"""How often it is looked for what was started meanwhile."""


def main() -> None:
    """Reads to the end."""
    there: dict[str, set[str]] = {"mark": set(), "group": set(), "folder": set()}
    for line in sys.stdin.buffer:
        words = os.fsdecode(line).rstrip("\n").split(" ", 1)
        if words == ["bye"]:
            return
        is_done = words[0] == "done"
        kind, _, text = (words[1] if is_done else " ".join(words)).partition(" ")
        (there[kind].discard if is_done else there[kind].add)(text)
    _end(there)


def _end(there: dict[str, set[str]]) -> None:
    for group in there["group"]:
        try:
            os.killpg(int(group), signal.SIGKILL)
        except OSError:  # it is gone
            continue
    marks = {os.fsencode(mark) for mark in there["mark"]}
    for _ in range(ROUNDS):
        if not _kill_marked(marks):
            break
        time.sleep(0.02)
    for folder in there["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


def _kill_marked(marks: set[bytes]) -> int:
    """How many there were. None where the system does not show the environment of a process."""
    found = 0
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return 0
    for number in numbers:
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                is_marked = not marks.isdisjoint(file.read().split(b"\0"))
            if is_marked and number != os.getpid():
                os.kill(number, signal.SIGKILL)
                found += 1
        except OSError:  # of another user, or gone
            continue
    return found


if __name__ == "__main__":
    main()
