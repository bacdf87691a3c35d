"""How long `samovar --help` and completion take over bare Python: `python -m benchmarks.startup`.

Each is a process of its own; the rounds alternate, and medians are compared with that of `python -c pass`.
Startup is for people, so this is wall time: run it on a machine that does nothing else.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

import typer

PROGRAM = (
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'samovar'; from samovar.cli.entry import main; main()",
)
WAYS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "python -c pass": ((sys.executable, "-c", "pass"), ""),
    "samovar --help": ((*PROGRAM, "--help"), ""),
    "samovar run --help": ((*PROGRAM, "run", "--help"), ""),
    "completion of a command": (PROGRAM, "samovar ru"),
    "completion of an option": (PROGRAM, "samovar run --d"),
    "completion of a workflow": (PROGRAM, "samovar run tri"),
}
"""The command, and the line that is being typed."""


def took_s(command: tuple[str, ...], typed: str) -> float:
    environment = dict(os.environ)
    if typed:
        completing = {"_SAMOVAR_COMPLETE": "complete_bash", "COMP_WORDS": typed}
        environment |= completing | {"COMP_CWORD": str(len(typed.split()) - 1)}
    began = time.perf_counter()
    subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - began


def main(rounds: int = 15) -> None:
    """Prints the median of each over that of bare Python, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, (command, typed) in WAYS.items():
            times[name].append(took_s(command, typed))
    bare = statistics.median(times["python -c pass"])
    for name, taken in times.items():
        print(f"{name:26} {statistics.median(taken) - bare:6.3f} s over bare Python ({bare:.3f} s)")


if __name__ == "__main__":
    typer.run(main)
