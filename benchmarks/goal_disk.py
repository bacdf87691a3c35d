"""The goal of snapshots: what the second process of a workflow finds on disk.

Above: `goals.py`. Below: the command line, as a person uses it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import Finding, spread
from benchmarks.rounds import default_model
from benchmarks.work import TOPICS, w12_workflow

SHORTEST_S = 0.0005
"""A difference of two first tokens below this is noise; it counts as this much."""


def second_process(repeats: int) -> list[Finding]:
    """W12 in a new process, after one that had an empty cache.

    The workflow asks its first question once more at the end: by then all of it is in memory, so what the
    first token takes longer the first time, without the load, is what evaluating or restoring takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        workflow = Path(folder) / "w12.md"
        workflow.write_text(w12_workflow([*TOPICS, TOPICS[0]]), encoding="utf-8")
        first = _run(workflow, Path(folder) / "cache")
        later = [_run(workflow, Path(folder) / "cache") for _ in range(max(1, repeats))]
    evaluated_s = _first_s(first)
    restored = spread([_first_s(run) for run in later])
    faster = evaluated_s / restored.median
    shares = [1 - _evaluated(run) / _evaluated(first) for run in later]
    share = statistics.median(shares)
    return [
        Finding(
            what="the same workflow in a new process",
            measured=f"{100 * share:.1f} % of its distinct prompt tokens from disk "
            f"({_evaluated(first)} evaluated first, {_evaluated(later[-1])} later)",
            goal="at least 95 %",
            is_met=share >= 0.95,
            count=len(later),
        ),
        Finding(
            what="restoring, against evaluating",
            measured=f"{1000 * restored.median:.1f} ms against {1000 * evaluated_s:.0f} ms: "
            f"{faster:.0f} times faster",
            goal="at least 50 times faster",
            is_met=faster >= 50,
            count=restored.count,
        ),
    ]


def _run(workflow: Path, cache: Path) -> dict[str, Any]:
    """One run of the workflow by the command line, with this cache."""
    environment = {**os.environ, "SAMOVAR_CACHE_FOLDER": str(cache), "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", str(workflow), "--json", "--model", str(default_model())],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"samovar run failed: {done.stderr.strip()[-800:]}")
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def _evaluated(run: dict[str, Any]) -> int:
    return int(run["tokens"]["evaluated"])


def _first_s(run: dict[str, Any]) -> float:
    """What the first prompt waited for its first token: without the load, and beyond one held in memory."""
    first, last = run["states"][0], run["states"][-1]
    load_s = run["models"][0]["load_s"]
    return max(SHORTEST_S, float(first["first_token_s"] - load_s - last["first_token_s"]))
