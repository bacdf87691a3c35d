"""docs/performance.md from the results: no figure in it is typed by hand.

Above: `plots.py`. Below: `results.py`, and `contenders.py` for what each is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import ALL
from benchmarks.results import Spread, saved, spread

OURS = "samovar-1"
"""What the contenders are compared with."""
PLOT = "performance.svg"
RESULTS = ("goals", "seconds", "peers", "overhead", "load", "latency", "steps", "for_each")
"""In the order of the page."""


def times_ours(rounds: dict[str, list[dict[str, Any]]], name: str) -> Spread:
    """A contender's wall time over ours, by the rounds that ran next to each other."""
    theirs = rounds[name]
    pairs = zip(theirs, rounds[OURS][: len(theirs)], strict=True)
    return spread([one["wall_s"] / ours["wall_s"] for one, ours in pairs])


def page(results: Path) -> str:
    """The whole page. Raises `FileNotFoundError` when there are no results at all."""
    found = {name: saved(results, name) for name in RESULTS}
    there = [one for one in found.values() if one is not None]
    if not there:
        raise FileNotFoundError(f"There are no results in {results}: run a benchmark with --out {results}")
    here = there[0]
    versions = dict.fromkeys(version for one in there for version in one["versions"].split(", "))
    dates = [one["date"] for one in [*there, *(found["goals"] or {"lines": {}})["lines"].values()]]
    when = f"on {dates[0]}" if len(set(dates)) == 1 else f"between {min(dates)} and {max(dates)}"
    parts = [
        "# What it costs\n",
        f"Measured {when} with the default model ({here['model']}) on a shared machine: "
        f"{here['machine']}. Ratios and medians carry over to other machines; absolute times do "
        "not. The middle half of the measurements is in brackets. Each round is a separate process, and the "
        f"contenders take turns. {', '.join(versions)}. This page is written by "
        "`python -m benchmarks.plots RESULTS`.\n",
    ]
    for name in RESULTS:
        if (one := found[name]) is None:
            continue
        if name == "goals":
            parts += _goals(one)
        elif name == "peers":
            parts += _peers(one)
        else:
            parts += _section(name, one)
    parts.append("[engine.md](engine.md) explains the cost of busy neighbours.")
    return "\n".join(parts).rstrip() + "\n"


SECTIONS = {
    "seconds": (
        "Where the seconds go",
        "`python -m benchmarks.seconds`, W12 as a whole process with an empty cache, {pairs} rounds of each "
        "in turn, in seconds.",
    ),
    "overhead": (
        "A workflow, over the same calls made directly",
        "`python -m benchmarks.overhead`, W12 as a workflow file, {pairs} pairs:",
    ),
    "load": (
        "Loading",
        "`python -m benchmarks.load`, {rounds} rounds. The parts are timed one after the other; a run does "
        "the interpreter's parts beside the engine's.",
    ),
    "latency": ("Sessions and cancels", "`python -m benchmarks.latency`:"),
    "steps": (
        "The language",
        "`python -m benchmarks.steps`, {rounds} rounds. A step sets a variable and evaluates a condition; "
        "nothing is kept on disk.",
    ),
    "for_each": (
        "For each item of a list",
        "`python -m benchmarks.for_each`, {rounds} rounds. 48 prompts behind one prefix of some 600 tokens, "
        "at most 24 tokens each, greedy, with the model loaded; and items that set a variable.",
    ),
}
"""By result that is one table: its heading, and what is said of it."""
HEADS = {"seconds": ("", "Samovar", "llama-cpp-python")}


def _section(name: str, results: dict[str, Any]) -> Iterator[str]:
    heading, says = SECTIONS[name]
    rows = results["rows"]
    yield f"## {heading}\n"
    yield says.format_map(results) + "\n"
    yield from _table(HEADS.get(name, ("", ""))[: len(rows[0])], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    yield "\n".join(f"| {line} |" for line in lines) + "\n"


def _goals(goals: dict[str, Any]) -> Iterator[str]:
    yield "## Goals\n"
    yield (
        "`python -m benchmarks.goals`. W12 is twelve prompts behind one system prompt of some 600 tokens, "
        "at most 24 tokens each, greedy, from the first prompt to the last answer, with the model loaded. "
        "The ideal evaluates each distinct token once by direct calls on the engine, one prompt at a time, "
        "with the settings that were the fastest of all in the same minutes. "
        "`of` is the number of measurements of a median.\n"
    )
    rows = [
        [one["what"], one["measured"], str(one["count"]), one["goal"], "yes" if one["is_met"] else "**no**"]
        for line in goals["lines"].values()
        for one in line["findings"]
    ]
    yield from _table(["", "measured", "of", "goal", "met"], rows)


def _peers(peers: dict[str, Any]) -> Iterator[str]:
    yield "## Beside others, on the same work\n"
    yield (
        f"`python -m benchmarks.peers`: W12 by each, {peers['pairs']} rounds (loading for each prompt: "
        "at most 3). Above 1 is slower than Samovar's sessions in turn. All are greedy, have one thread per "
        "core, and have loaded the model before; Samovar chooses its threads itself.\n"
    )
    yield f"![Times relative to Samovar]({PLOT})\n"
    rows = []
    for one in ALL:
        if not (done := peers["rounds"].get(one.name)):
            continue
        evaluated = done[-1]["evaluated_tokens"]
        rows.append(
            [
                one.says,
                str(times_ours(peers["rounds"], one.name)),
                f"{spread([each['wall_s'] for each in done]).median:.2f}",
                f"{spread([each['cpu_s'] for each in done]).median:.2f}",
                "not reported" if evaluated is None else str(evaluated),
            ]
        )
    yield from _table(["", "times Samovar in turn", "wall s", "CPU s", "prompt tokens evaluated"], rows)
    says = {one.name: one.says for one in ALL}
    missing = "; ".join(f"{says[name]} ({why})" for name, why in peers["missing"].items())
    if missing:
        yield f"Not measured: {missing}.\n"
