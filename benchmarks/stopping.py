"""Runs that are stopped at random instants, by one signal, two, or a mix: `python -m benchmarks.stopping`.

What must hold each time: the exit status is that of the signal, no process of the run is alive, and the
terminal is as it was. Instants go from the first of the process to long after its first command began.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.signals import not_ignored_by_children

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LATEST_S = 1.5
"""The last instant at which the first signal is sent, after the start."""
ENDED_S = 20.0
"""A run that goes on for so long after its last signal does not stop."""
FLOW = """```mermaid
stateDiagram-v2
state F <<fork>>
state J <<join>>
[*] --> F
F --> A
F --> B
A --> J
B --> J
J --> C
C --> [*]
```

## Actions

- A: Shell "sleep 60 & echo left behind"
- B: Shell "trap '' TERM INT HUP; sleep 60"
- C: Log "done"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One run that was stopped."""

    sent: tuple[signal.Signals, ...]
    at_s: float
    """When the first signal was sent, after the start."""
    wrong: str
    """What does not hold; empty: all does."""


def stop_one(folder: Path, chance: random.Random, mark: str) -> Stop:
    """Starts a run on a terminal of its own, stops it, and looks at what is left. `mark` is its alone."""
    sent = tuple(chance.choice(SIGNALS) for _ in range(chance.choice((1, 1, 2))))
    at_s = chance.uniform(0, LATEST_S)
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-m", "samovar", "run", "w.md"],
        cwd=folder,
        env=os.environ | {"SAMOVAR_STOP_MARK": mark, "TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    started = time.monotonic()
    written = b""
    for number, wait_s in zip(sent, (at_s, chance.uniform(0, 0.3)), strict=False):
        written += _read_for(ours, wait_s)
        process.send_signal(number)
    while process.poll() is None and time.monotonic() - started < at_s + ENDED_S:
        written += _read_for(ours, 0.05)
    hangs = process.poll() is None
    if hangs:
        process.kill()
    process.wait()
    written += _read_for(ours, 0.05)
    wrong = "it goes on" if hangs else _wrong(process.returncode, sent, written)
    if termios.tcgetattr(theirs) != before:
        wrong = wrong or "the terminal has other settings"
    os.close(theirs)
    os.close(ours)
    alive = _alive(mark)
    for one in alive:
        one.kill()
    if alive:
        wrong = wrong or f"{len(alive)} processes are alive"
    return Stop(sent=sent, at_s=at_s, wrong=wrong)


def _read_for(terminal: int, duration_s: float) -> bytes:
    """What comes within so long."""
    read, until = b"", time.monotonic() + duration_s
    while (left_s := until - time.monotonic()) > 0:
        if select.select([terminal], [], [], left_s)[0]:
            try:
                read += os.read(terminal, 65536)
            except OSError:  # nobody has the other end
                time.sleep(left_s)
    return read


def _wrong(status: int, sent: tuple[signal.Signals, ...], written: bytes) -> str:
    """A process that a signal ends by itself has the same status for a shell as one that says so."""
    status = status if status >= 0 else 128 - status
    if b"KeyboardInterrupt" in written and b"samovar" not in written and status in (1, 130):
        return ""  # Python itself was still starting: none of the program's lines had run
    if status not in {128 + number for number in sent}:
        return f"it exits with {status}"
    if b"Traceback" in written:
        return "a traceback: " + written.decode(errors="replace")[-300:]
    switched = re.findall(rb"\x1b\[\?25([hl])", written)
    return "the cursor is hidden" if switched and switched[-1] == b"l" else ""


def _alive(mark: str) -> list[psutil.Process]:
    """The processes that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SAMOVAR_STOP_MARK") == mark and _is_alive(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _is_alive(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def stop_many(count: int, seed: int) -> list[Stop]:
    """So many runs, one after the other; the same seed sends the same signals at the same instants."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="samovar-stopping-") as name:
        folder = Path(name)
        (folder / ".git").mkdir()
        (folder / "w.md").write_text(FLOW, encoding="utf-8")
        return [stop_one(folder, chance, f"{os.getpid()}-{seed}-{number}") for number in range(count)]


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    not_ignored_by_children()
    stops = stop_many(given.runs, given.seed)
    for signals, count in sorted(Counter(" ".join(one.name for one in stop.sent) for stop in stops).items()):
        print(f"{count:4} × {signals}")
    wrong = [stop for stop in stops if stop.wrong]
    for stop in wrong:
        print(f"{' '.join(one.name for one in stop.sent)} after {stop.at_s:.2f} s: {stop.wrong}")
    print(f"{len(stops)} runs stopped, {len(wrong)} of them wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
