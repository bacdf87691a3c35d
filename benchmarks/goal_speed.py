"""The goals that are ratios of rounds: in turn, in parallel, beside busy neighbours.

Above: `goals.py`. Below: `rounds.py`.
"""

from __future__ import annotations

from benchmarks.results import Finding, spread
from benchmarks.rounds import Rounds, busy_neighbours, interleaved, one_round, ratios
from samovar.engines.llama.cores import usable_cores

LOAD_ROUNDS = 3
"""At most, of loading for each prompt, which takes long and varies little."""


def in_turn(pairs: int) -> list[Finding]:
    """Twelve prompts one at a time, against the ideal and against loading for each."""
    rounds = interleaved(["ideal", "samovar-1"], pairs)
    over_ideal = ratios(rounds, "samovar-1", "ideal")
    cpu = spread(
        [ours.cpu_s / one.cpu_s for ours, one in zip(rounds["samovar-1"], rounds["ideal"], strict=True)]
    )
    evaluated = [rounds[name][-1].evaluated_tokens for name in ("samovar-1", "ideal")]
    loads = interleaved(["samovar-1", "load-each"], min(pairs, LOAD_ROUNDS))
    over_loading = ratios(loads, "load-each", "samovar-1")
    return [
        Finding(
            what="12 prompts in turn, over the ideal",
            measured=f"{over_ideal} times; CPU {cpu}; evaluated {evaluated[0]} against {evaluated[1]} tokens",
            goal="at most 1.03 times",
            is_met=over_ideal.median <= 1.03,
            count=over_ideal.count,
        ),
        Finding(
            what="12 prompts in turn, against loading for each",
            measured=f"{over_loading} times faster",
            goal="at least 5 times faster",
            is_met=over_loading.median >= 5,
            count=over_loading.count,
        ),
    ]


def in_parallel(pairs: int) -> list[Finding]:
    """As parallel sessions and as forks, against the server object with 4 slots."""
    ours = ["samovar-4", "samovar-12", "forks-4", "forks-12"]
    distinct_tokens = one_round("ideal").evaluated_tokens
    rounds = interleaved([*ours, "server-4"], pairs)
    return [_parallel(rounds, name, distinct_tokens) for name in ours]


def _parallel(rounds: Rounds, name: str, distinct_tokens: int | None) -> Finding:
    kind, at_once = name.split("-")
    faster = ratios(rounds, "server-4", name)
    evaluated = max(one.evaluated_tokens or 0 for one in rounds[name])
    return Finding(
        what=f"12 prompts as {'forks of one session' if kind == 'forks' else 'sessions'}, {at_once} at once",
        measured=f"{faster} times faster than the server object with 4 slots; "
        f"{evaluated} tokens evaluated at most, of {distinct_tokens} distinct ones",
        goal="at least 1.8 times faster; each distinct token evaluated once",
        is_met=faster.median >= 1.8 and evaluated == distinct_tokens,
        count=faster.count,
    )


def beside_others(pairs: int) -> list[Finding]:
    """Beside one busy process per core, and alone against each fixed number of threads."""
    slower: list[float] = []
    for _ in range(pairs):
        alone = interleaved(["samovar-1"], 1)["samovar-1"][0].wall_s
        beside = interleaved(["samovar-1"], 1, beside=busy_neighbours)["samovar-1"][0].wall_s
        slower.append(beside / alone)
    fixed = [f"fixed-{threads}" for threads in range(1, usable_cores() + 1)]
    rounds = interleaved(["samovar-1", *fixed], pairs)
    best = min(fixed, key=lambda name: spread([one.wall_s for one in rounds[name]]).median)
    over_best = ratios(rounds, "samovar-1", best)
    beside_spread = spread(slower)
    return [
        Finding(
            what="beside one busy process per core, over alone",
            measured=f"{beside_spread} times as long",
            goal="at most 2.5 times",
            is_met=beside_spread.median <= 2.5,
            count=beside_spread.count,
        ),
        Finding(
            what="alone, over the best fixed number of threads",
            measured=f"{over_best} times as long as {best.removeprefix('fixed-')} threads",
            goal="at most 1.05 times",
            is_met=over_best.median <= 1.05,
            count=over_best.count,
        ),
    ]
