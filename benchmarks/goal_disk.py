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


def second_process(repeats: int) -> list[Finding]:
    """W12 in a new process, after one that had an empty cache, and after two.

    What its prompts share is on disk after the first, and all of it after the second: what was asked for once
    is not written. For each token: what the first process took to evaluate prompts, and the later ones to
    bring them back from disk, as the engine has counted both.
    """
    with tempfile.TemporaryDirectory() as folder:
        workflow = Path(folder) / "w12.md"
        workflow.write_text(w12_workflow([*TOPICS, TOPICS[0]]), encoding="utf-8")
        first = _run(workflow, Path(folder) / "cache")
        second = _run(workflow, Path(folder) / "cache")
        later = [_run(workflow, Path(folder) / "cache") for _ in range(max(1, repeats))]
    evaluated_s = first["models"][0]["evaluate_s"] / _evaluated(first)
    restored = spread([_restored_s(run) for run in later])
    faster = evaluated_s / restored.median
    shares = [1 - _evaluated(run) / _evaluated(first) for run in later]
    share = statistics.median(shares)
    shared = 1 - _evaluated(second) / _evaluated(first)
    return [
        Finding(
            what="a workflow that has run once, in a new process",
            measured=f"{100 * shared:.1f} % of its distinct prompt tokens from disk "
            f"({_evaluated(first)} evaluated first, {_evaluated(second)} then)",
            goal="at least 75 %, what its prompts share",
            is_met=shared >= 0.75,
            count=1,
        ),
        Finding(
            what="a workflow that has run twice, in a new process",
            measured=f"{100 * share:.1f} % of its distinct prompt tokens from disk "
            f"({_evaluated(first)} evaluated first, {_evaluated(later[-1])} later)",
            goal="at least 95 %",
            is_met=share >= 0.95,
            count=len(later),
        ),
        Finding(
            what="restoring, against evaluating",
            measured=f"{1e6 * restored.median:.1f} microseconds a token against {1e6 * evaluated_s:.0f}: "
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


def _restored_s(run: dict[str, Any]) -> float:
    """Seconds for each token that came from disk."""
    model = run["models"][0]
    return float(model["restored_s"] / model["restored_tokens"]) if model["restored_tokens"] else float("inf")
