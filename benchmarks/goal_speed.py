"""The goals that are ratios of rounds: in turn, in parallel, beside busy neighbours.

Above: `goals.py`. Below: `rounds.py`, `seconds.py`.
"""

from __future__ import annotations

from benchmarks import alternating, llama_cpp_python, seconds
from benchmarks.contenders import IDEALS, contender
from benchmarks.results import Finding, spread
from benchmarks.rounds import (
    Rounds,
    busy_neighbours,
    interleaved,
    one_round,
    ratios,
)
from samovar.engines.llama.cores import usable_cores

LOAD_ROUNDS = 3
"""At most, of loading for each prompt, which takes long and varies little."""


def in_turn(pairs: int) -> list[Finding]:
    """Twelve prompts one at a time, against the ideal and against loading for each."""
    found = alternating.measure(min(pairs, alternating.ROUNDS))
    ideal = alternating.best(found)
    all_, decoding, evaluating = (
        alternating.over_ideal(found, figure)
        for figure in (alternating.wall, alternating.decoding, alternating.evaluating)
    )
    evaluated = [alternating.evaluated(found[name]) for name in (alternating.SAMOVAR, ideal)]
    says = contender(ideal).says.rpartition(": ")[2]
    loads = interleaved(["samovar-1", "load-each"], min(pairs, LOAD_ROUNDS))
    over_loading = ratios(loads, "load-each", "samovar-1")
    return [
        Finding(
            what="12 prompts in turn, over the ideal",
            measured=f"{all_} times; evaluated {evaluated[0]} against {evaluated[1]} tokens; "
            f"the ideal is best with {says}",
            goal="at most 1.03 times",
            is_met=all_.median <= 1.03,
            count=all_.count,
        ),
        Finding(
            what="decoding a token, over the ideal's",
            measured=f"{decoding} times",
            goal="at most 1.08 times",
            is_met=decoding.median <= 1.08,
            count=decoding.count,
        ),
        Finding(
            what="evaluating a token, over the ideal's",
            measured=f"{evaluating} times",
            goal="at most 1.05 times",
            is_met=evaluating.median <= 1.05,
            count=evaluating.count,
        ),
        Finding(
            what="12 prompts in turn, against loading for each",
            measured=f"{over_loading} times faster",
            goal="at least 5 times faster",
            is_met=over_loading.median >= 5,
            count=over_loading.count,
        ),
    ]


def whole_process(pairs: int) -> list[Finding]:
    """W12 from the start of a process to its end, against llama-cpp-python's, in turn."""
    if (why := llama_cpp_python.missing()) is not None:
        return [Finding(what="W12 as a whole process", measured=why, goal="", is_met=False, count=0)]
    found = seconds.measure(pairs)
    over = spread(
        [ours["all"] / theirs["all"] for ours, theirs in zip(found["ours"], found["theirs"], strict=True)]
    )
    return [
        Finding(
            what="W12 as a whole process, over llama-cpp-python's",
            measured=f"{over} times; {spread([one['all'] for one in found['ours']])} s against "
            f"{spread([one['all'] for one in found['theirs']])} s",
            goal="at most 1.05 times",
            is_met=over.median <= 1.05,
            count=over.count,
        )
    ]


def in_parallel(pairs: int) -> list[Finding]:
    """As parallel sessions and as forks, against the server object with 4 slots."""
    ours = ["samovar-4", "samovar-12", "forks-4", "forks-12"]
    distinct_tokens = one_round(IDEALS[0].name).evaluated_tokens
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
            goal="at most 2.2 times",
            is_met=beside_spread.median <= 2.2,
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
