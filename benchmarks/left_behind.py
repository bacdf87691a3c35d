"""Runs that start all kinds of programs, stopped at random: `python -m benchmarks.left_behind --runs 100`.

What must hold each time, whatever stopped the run (SIGKILL, SIGTERM, Ctrl-C, a time limit of the run, or
nothing): no process that the run has started is alive, not one in a session of its own either, none listens
on a port, and no temporary folder is left. The programs hang, stay, start others, or answer: as Claude Code
does (`tests/fake_claude.py`), by the Agent Client Protocol (`tests/acp_agent_program.py`), as a server of
tools (`tests/tool_server.py`), and as a program that a model runs by `shell.run`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.endpoint import Behaviour, ScriptedServer, served

from benchmarks.signals import not_ignored_by_children
from samovar.processes.guard import is_guard

TESTS = Path(__file__).parent.parent / "tests"
MARK = "SAMOVAR_LEFT_BEHIND"
STOPS = ("SIGKILL", "SIGTERM", "SIGINT", "limit", "nothing")
LATEST_S = 4.0
"""The last instant at which a run is stopped, after its first program has started or it has ended."""
ENDED_S = 90.0
"""A run that goes on for so long after it was stopped does not stop."""
GONE_S = 10.0
"""How long what a killed run has left may take to be ended by its guard."""
FLOW = """---
executor: claude
limits: {{duration: {duration}}}
---

```mermaid
stateDiagram-v2
state F <<fork>>
state J <<join>>
[*] --> F
F --> A
F --> B
F --> C
F --> D
F --> E
A --> J
B --> J
C --> J
D --> J
E --> J
J --> [*]
```

## Actions

- A: Prompt "{a}" using session="a"
- B: Prompt "{b}"
- C: Prompt "{c}"
- D: Prompt "{d}" using executor=agent
- E: Prompt "Use them." using executor=there tools="t.*, shell.run"
"""
LEAVER = """#!/bin/sh
# Leaves a program in a session of its own, and stays itself if it is told to.
setsid sleep 600 &
[ "$1" = stay ] && sleep 600
exit 0
"""
WORDS = ("SPAWN", "SPAWN STAY", "SPAWN HANG", "SPAWN HANG DEAF", "hello")
"""What the programs do: see `tests/fake_claude.py`, `tests/acp_agent_program.py`."""
ENDING = ("SPAWN", "SPAWN STAY", "hello")
"""Those after which they have answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One run that was stopped."""

    stop: str
    at_s: float
    """After the start of its first program."""
    started: int
    """Programs, and what they started."""
    wrong: str
    """What does not hold; empty: all does."""


def stop_one(folder: Path, server: ScriptedServer, chance: random.Random, mark: str) -> Left:
    """Starts a run, stops it, and looks at what is left. `server` is the model that calls tools; `mark` is
    its alone.
    """
    stop, at_s = chance.choice(STOPS), chance.uniform(0, LATEST_S)
    says = {name: chance.choice(ENDING if stop == "nothing" else WORDS) for name in "abcd"}
    duration = chance.choice(("1s", "3s", "5s")) if stop == "limit" else "1h"
    server.behaviours.clear()
    server.tell(Behaviour(calls=_calls(folder, chance, ends=stop == "nothing")), Behaviour(pieces=("Done.",)))
    (folder / "w.md").write_text(FLOW.format(duration=duration, **says), encoding="utf-8")
    temporary, log = folder / "tmp", folder / f"log-{mark}"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {
        MARK: mark,
        "TMPDIR": str(temporary),
        "XDG_CONFIG_HOME": str(folder / "settings"),
        "FAKE_LOG": str(log),
        "CLAUDE_CONFIG_DIR": str(folder / "config"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "samovar", "run", "w.md", "-q"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _wait(lambda: log.exists() or process.poll() is not None, ENDED_S)
    if stop.startswith("SIG"):
        time.sleep(at_s)
        process.send_signal(signal.Signals[stop])
    try:
        _, said = process.communicate(timeout=ENDED_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return Left(stop=stop, at_s=at_s, started=0, wrong="it goes on")
    wrong = _wrong(stop, process.returncode, said.decode(errors="replace"))
    started = log.read_text().count("\n") if log.exists() else 0
    killed = stop == "SIGKILL"
    wrong = wrong or _left(mark, process.pid, temporary, wait_s=GONE_S if killed else 0.0)
    return Left(stop=stop, at_s=at_s, started=started, wrong=wrong)


def _calls(folder: Path, chance: random.Random, *, ends: bool) -> list[tuple[str, str]]:
    """What the model has tools do. `ends`: all of it comes to an end by itself."""
    stays = chance.choice(("", "stay")) if not ends else ""
    calls: list[tuple[str, object]] = [
        ("t__leaves", {"file": str(folder / "left")}),
        ("shell__run", {"command": [str(folder / "leaver"), *filter(None, [stays])]}),
    ]
    if not ends:
        calls.append(
            chance.choice([("t__sleeps", {"seconds": 600}), ("t__dies", {}), ("t__add", {"a": 1, "b": 2})])
        )
    chance.shuffle(calls)
    return [(name, json.dumps(arguments)) for name, arguments in calls]


def _wrong(stop: str, status: int, said: str) -> str:
    expected = {"SIGKILL": {-9}, "SIGTERM": {143, 0}, "SIGINT": {130, 0}, "nothing": {0}}
    if "Traceback" in said:
        return f"a traceback: {said[-300:]}"
    return "" if status in expected.get(stop, {0, 1}) else f"it exits with {status}: {said[-300:]}"


def _left(mark: str, number: int, temporary: Path, wait_s: float) -> str:
    """What is left, when it has had so long to be gone. `number`: of the run's process."""
    _wait(lambda: not alive(mark, number) and not folders_in(temporary), wait_s)
    found = alive(mark, number)
    said = [_said(one) for one in found]
    for one in found:
        one.kill()
    if found:
        return f"alive: {'; '.join(said)}"
    folders = folders_in(temporary)
    return f"temporary folders are left: {folders}" if folders else ""


def _said(process: psutil.Process) -> str:
    try:
        ports = len(process.net_connections("inet"))
        age_s = time.time() - process.create_time()
        words = " ".join(process.cmdline())[-80:]
        return f"{process.status()}, {age_s:.2f} s old, {ports} ports, {words!r}"
    except psutil.Error as error:
        return str(error)


def folders_in(temporary: Path) -> list[str]:
    """What is there, but for the folder by which all runs of a user know of each other."""
    return [path.name for path in temporary.iterdir() if path.name != f"samovar-{os.getuid()}"]


def alive(mark: str, number: int) -> list[psutil.Process]:
    """The processes that have the mark in their environment, and the guards of the run with the number."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = process.cmdline()
            if process.environ().get(MARK) == mark or (is_guard(words) and words[-1] == str(number)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait(until: Callable[[], bool], wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while not until() and time.monotonic() < end:
        time.sleep(0.02)


def stop_many(count: int, seed: int) -> list[Left]:
    """So many runs, one after the other; the same seed stops them in the same ways."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="samovar-left-behind-") as name, served() as server:
        folder = Path(name)
        (folder / ".git").mkdir()
        (folder / "leaver").write_text(LEAVER, encoding="utf-8")
        (folder / "leaver").chmod(0o755)
        file = folder / "settings" / "samovar" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(_settings(folder, server), encoding="utf-8")
        marks = (f"{os.getpid()}-{seed}-{number}" for number in range(count))
        return [stop_one(folder, server, chance, mark) for mark in marks]


def _settings(folder: Path, server: ScriptedServer) -> str:
    seen = f'environment = ["FAKE_LOG", "{MARK}"]'

    def command(program: str) -> str:
        return f"command = {json.dumps([sys.executable, str(TESTS / program)])}\n{seen}"

    return f"""{seen}
allow = ["tool:t.*", "shell:{folder / "leaver"}", "shell:{folder / "leaver"} stay"]

[executors.claude]
kind = "claude-code"
silence_s = 60
{command("fake_claude.py")}

[executors.agent]
kind = "acp"
silence_s = 60
{command("acp_agent_program.py")}

[executors.there]
kind = "openai"
url = "{server.url}/v1"
model = "m"

[servers.t]
{command("tool_server.py")}
timeout_s = 600
"""


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    not_ignored_by_children()
    runs = stop_many(given.runs, given.seed)
    for stop, count in sorted(Counter(one.stop for one in runs).items()):
        print(f"{count:4} × {stop}")
    wrong = [one for one in runs if one.wrong]
    for one in wrong:
        print(f"{one.stop} after {one.at_s:.2f} s: {one.wrong}")
    print(f"{len(runs)} runs, {sum(one.started for one in runs)} lines of programs, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
