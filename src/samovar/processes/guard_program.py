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
import subprocess
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
    """How many there were."""
    found = 0
    for number in marked(marks) if os.path.isdir("/proc/self") else marked_by_ps(marks):
        try:
            os.kill(number, signal.SIGKILL)
            found += 1
        except OSError:  # of another user, or gone
            continue
    return found


def marked(marks: set[bytes]) -> list[int]:
    """The processes with a mark in their environment, this one left out."""
    found = []
    for number in [int(name) for name in os.listdir("/proc") if name.isdecimal()]:
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                is_marked = not marks.isdisjoint(file.read().split(b"\0"))
        except OSError:
            continue
        if is_marked and number != os.getpid():
            found.append(number)
    return found


def marked_by_ps(marks: set[bytes]) -> list[int]:
    """The same without `/proc`, as on macOS, which does not show the environment of its own programs."""
    words = ["ps", "axeww", "-o", "pid=", "-o", "command="]
    try:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ps:
            lines, own = ps.communicate()[0].splitlines(), (os.getpid(), ps.pid)
    except OSError:
        return []
    held = [line.split(None, 1)[0] for line in lines if not marks.isdisjoint(line.split())]
    return [number for number in map(int, held) if number not in own]


if __name__ == "__main__":
    main()
