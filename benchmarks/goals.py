"""What Samovar is to reach, measured: each line says what, how much, the goal, and whether it is met.

    python -m benchmarks.goals [--only fork,cancel] [--pairs 9] [--quick] [--out FOLDER]

Each line has a process of its own; in square brackets is how many measurements a figure is of. `--quick`
is for trying the code: figures of single rounds say little. The exit status is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import goal_disk, goal_sessions, goal_speed
from benchmarks.results import Finding, save, saved
from benchmarks.rounds import empty_cache, machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is measured together."""

    name: str
    measure: Callable[[int], list[Finding]]
    """Takes how often."""
    quick: int = 1
    """How often with `--quick`."""
    times: int | None = None
    """How often otherwise; None for that of `--pairs`."""


LINES = (
    Line(name="sequence", measure=goal_speed.in_turn),
    Line(name="process", measure=goal_speed.whole_process),
    Line(name="parallel", measure=goal_speed.in_parallel),
    Line(name="fork", measure=goal_sessions.fork),
    Line(name="disk", measure=goal_disk.second_process),
    Line(name="many", measure=goal_sessions.many, quick=100, times=1000),
    Line(name="cancel", measure=goal_sessions.cancel),
    Line(name="busy", measure=goal_speed.beside_others),
    Line(name="models", measure=goal_sessions.two_models),
)


def measure(line: Line, times: int) -> list[Finding]:
    """The findings of a line, measured in a process of its own; one that failed is a finding too."""
    command = [sys.executable, "-m", "benchmarks.goals", "--line", line.name, "--times", str(times)]
    with empty_cache() as environment:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        why = f"the measurement failed (exit status {done.returncode}); its error is above"
        return [Finding(what=line.name, measured=why, goal="", is_met=False, count=0)]
    return [Finding(**one) for one in json.loads(done.stdout.splitlines()[-1])]


def show(finding: Finding) -> str:
    met = "met   " if finding.is_met else "MISSED"
    measured = f"measured: {finding.measured} [{finding.count}]"
    return f"{met}  {finding.what}\n        {measured}\n        goal:     {finding.goal}"


def main() -> None:
    names = ", ".join(line.name for line in LINES)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME,NAME", help=f"these lines: {names}")
    parser.add_argument("--pairs", type=int, default=9, help="rounds of each contender")
    parser.add_argument("--quick", action="store_true", help="one round of each, fewer sessions")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write goals.json there")
    parser.add_argument("--line", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    lines = {line.name: line for line in LINES}
    if arguments.line:
        findings = lines[arguments.line].measure(arguments.times)
        print(json.dumps([asdict(one) for one in findings]))
        return
    chosen = list(lines) if arguments.only is None else arguments.only.split(",")
    if unknown := set(chosen) - set(lines):
        parser.error(f"no line is called {', '.join(sorted(unknown))}: {names}")
    found: dict[str, list[Finding]] = {}
    for name in chosen:
        line = lines[name]
        times = line.quick if arguments.quick else line.times or arguments.pairs
        found[name] = measure(line, times)
        print("\n".join(map(show, found[name])), flush=True)
        if arguments.out is not None:
            write(arguments.out, machine(), name, found[name], times)
    sys.exit(0 if all(one.is_met for findings in found.values() for one in findings) else 1)


def write(folder: Path, here: dict[str, str], name: str, findings: list[Finding], times: int) -> None:
    """Puts a line into `goals.json`; what was measured earlier of the other lines stays."""
    measured = (saved(folder, "goals") or {"lines": {}})["lines"]
    measured[name] = {"date": here["date"], "times": times, "findings": [asdict(one) for one in findings]}
    in_order = {line.name: measured[line.name] for line in LINES if line.name in measured}
    save(folder, "goals", {**here, "lines": in_order})


if __name__ == "__main__":
    main()
