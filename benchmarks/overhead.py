"""What a workflow costs over the same calls made directly on the engine, and what a plain state costs.

    python -m benchmarks.overhead [--pairs 9] [--out FOLDER]

Each round is a process of its own; the two kinds alternate, so that a machine that speeds up or slows down
meets both. Time counts from the first prompt to the last answer: the load is in neither.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

from benchmarks.contenders import IDEALS
from benchmarks.results import save, spread
from benchmarks.rounds import IDEAL_ROUNDS, best_ideal, default_model, machine
from benchmarks.work import TOPICS, Direct, Measured, w12_workflow
from samovar.app import open_app
from samovar.config import load_settings
from samovar.events import Event
from samovar.generation import PromptEvaluating
from samovar.preflight.prepare import prepare
from samovar.running.runner import Runner


def direct_round(name: str) -> Measured:
    """`name`: of an ideal."""
    setting = next(one for one in IDEALS if one.name == name)
    return Direct(default_model(), setting).w12()


async def samovar_round() -> Measured:
    began: list[tuple[float, float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, PromptEvaluating) and not began:
            began.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w12.md"
        path.write_text(w12_workflow(), encoding="utf-8")
        settings = load_settings({"model": str(default_model()), "cache_folder": folder})
        async with open_app(settings) as app:
            prepared = prepare(str(path), {}, app.library, app.settings)
            run = await Runner(app.library, app.executor, on_event=listen).run(prepared)
            ended = time.perf_counter(), time.process_time()
            assert run.variables[f"answer_P{len(TOPICS) - 1}"]
            tokens = app.pool.statistics().models[0].tokens
    return Measured(
        wall_s=ended[0] - began[0][0],
        cpu_s=ended[1] - began[0][1],
        evaluated_tokens=tokens.evaluated,
        generated_tokens=tokens.generated,
        answers=[str(run.variables[f"answer_P{number}"]) for number in range(len(TOPICS))],
    )


def one_round(kind: str) -> Measured:
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", "--one", kind],
        check=True,
        capture_output=True,
        text=True,
    )
    return Measured(**json.loads(process.stdout))


async def state_cost_us(visits: int = 10_000) -> float:
    """Microseconds for one visit of a state that sets, with the condition behind it."""
    text = (
        "```mermaid\nstateDiagram-v2\n[*] --> Count\nCount --> Count: n < "
        f"{visits}\nCount --> [*]: default\n```\n\n## Actions\n\n- Count: Set n := n + 1\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "count.md"
        path.write_text("---\nlimits: {transitions: 1000000}\n---\n" + text, encoding="utf-8")
        async with open_app(load_settings({})) as app:
            prepared = prepare(str(path), {"n": 0}, app.library, app.settings)
            started = time.perf_counter()
            await Runner(app.library, app.executor, on_event=lambda event: None).run(prepared)
            return (time.perf_counter() - started) / visits * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=9, help="rounds of each kind")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write overhead.json there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        ours = arguments.one == "samovar"
        measured = anyio.run(samovar_round) if ours else direct_round(arguments.one)
        print(json.dumps({name: getattr(measured, name) for name in Measured.__slots__}))
        return
    ideal = best_ideal(min(arguments.pairs, IDEAL_ROUNDS))
    rounds = [(one_round(ideal), one_round("samovar")) for _ in range(arguments.pairs)]
    costs = [anyio.run(state_cost_us) for _ in range(5)]
    rows = [
        ("wall time, workflow / direct", str(spread([ours.wall_s / one.wall_s for one, ours in rounds]))),
        ("CPU time, workflow / direct", str(spread([ours.cpu_s / one.cpu_s for one, ours in rounds]))),
        (
            "prompt tokens evaluated, workflow / direct",
            f"{rounds[-1][1].evaluated_tokens} / {rounds[-1][0].evaluated_tokens}",
        ),
        ("a state that sets and evaluates a condition", f"{spread(costs)} microseconds"),
    ]
    print(f"W12, workflow over direct calls, {arguments.pairs} alternating pairs")
    for what, figure in rows:
        print(f"  {what}: {figure}")
    if arguments.out is not None:
        save(arguments.out, "overhead", {**machine(), "pairs": arguments.pairs, "rows": rows})


if __name__ == "__main__":
    main()
