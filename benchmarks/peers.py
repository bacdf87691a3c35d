"""Samovar, the ideal and the peers on the same work, in turn; a table of ratios.

    python -m benchmarks.peers [--pairs 9] [--quick] [--only NAME,NAME] [--install] [--out FOLDER]

`--out` also writes the rounds as JSON, from which `benchmarks.plots` makes the page. A peer that is not
installed is left out and named; `--install` fetches node-llama-cpp from npm and compiles llama-cpp-python
first. `load-each` takes long
and varies little: it runs in at most three of the rounds.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import llama_cpp_python, node
from benchmarks.contenders import ALL, Contender
from benchmarks.results import save, spread
from benchmarks.rounds import Rounds, interleaved, machine, ratios

OURS = "samovar-1"
"""What the others are compared with."""
MOST_LOADS = 3


def choose(only: str | None) -> list[Contender]:
    """The contenders to run. Exits for a name that there is not."""
    wanted = [one.name for one in ALL] if only is None else [OURS, *only.split(",")]
    unknown = set(wanted) - {one.name for one in ALL}
    if unknown:
        sys.exit(f"No contender is called {', '.join(sorted(unknown))}: {', '.join(one.name for one in ALL)}")
    return [one for one in ALL if one.name in wanted]


def measure(chosen: list[Contender], pairs: int) -> tuple[Rounds, dict[str, str]]:
    """The rounds, and the contenders that are missing or failed, each with why."""
    missing = {one.name: why for one in chosen if (why := one.missing()) is not None}
    names = [one.name for one in chosen if one.name not in missing]
    often = [name for name in names if name != "load-each"]
    rounds = interleaved(often, pairs, failed=missing)
    if "load-each" in names:
        rounds |= interleaved(["load-each"], min(MOST_LOADS, pairs), failed=missing)
    if OURS in missing:
        sys.exit(f"There is nothing to compare with: {missing[OURS]}")
    return rounds, missing


def table(chosen: list[Contender], rounds: Rounds, missing: dict[str, str]) -> str:
    """As text for the terminal. A ratio above 1 is slower than Samovar with sessions in turn."""
    lines = [f"{'':<50} {'times Samovar':>24} {'wall s':>8} {'CPU s':>7} {'evaluated':>10} {'generated':>10}"]
    for one in chosen:
        if one.name in missing:
            lines.append(f"{one.says:<50} not measured: {missing[one.name]}")
            continue
        done = rounds[one.name]
        times = ratios({**rounds, OURS: rounds[OURS][: len(done)]}, one.name, OURS)
        wall, cpu = spread([each.wall_s for each in done]), spread([each.cpu_s for each in done])
        evaluated = "-" if done[-1].evaluated_tokens is None else str(done[-1].evaluated_tokens)
        lines.append(
            f"{one.says:<50} {times!s:>24} {wall.median:>8.2f} {cpu.median:>7.2f}"
            f" {evaluated:>10} {done[-1].generated_tokens:>10}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=9, help="rounds of each contender")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--only", metavar="NAME,NAME", help="these contenders, beside Samovar in turn")
    parser.add_argument("--install", action="store_true", help="install the peers that are missing first")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write peers.json there")
    arguments = parser.parse_args()
    chosen = choose(arguments.only)
    if arguments.install and node.missing() and (why := node.install()):
        print(f"node-llama-cpp was not installed: {why}", file=sys.stderr)
    if arguments.install and llama_cpp_python.missing() and (why := llama_cpp_python.install()):
        print(f"llama-cpp-python was not installed: {why}", file=sys.stderr)
    pairs = 1 if arguments.quick else arguments.pairs
    rounds, missing = measure(chosen, pairs)
    print(f"W12, medians of {pairs} rounds in turn (and the middle half)")
    print(table(chosen, rounds, missing))
    if arguments.out is not None:
        done = {name: [asdict(one) for one in rounds[name]] for name in rounds}
        results = {**machine(), "pairs": pairs, "rounds": done, "missing": missing}
        save(arguments.out, "peers", results)


if __name__ == "__main__":
    main()
