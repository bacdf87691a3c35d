"""Where each second of W12 goes, as a whole process: Samovar's command line and llama-cpp-python, in turn.

    python -m benchmarks.seconds [--pairs 5] [--out FOLDER]

Each round is a process of its own with an empty cache, from its start to its end. Seconds are counted around
the calls of either (the engine's, tokenizing, sampling); what is in none of them is Python beside. Above:
`goals.py`. Below: `llama_cpp_python.py`, the command line.
"""

from __future__ import annotations

import argparse
import compileall
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import samovar
from benchmarks import llama_cpp_python
from benchmarks.results import save, spread
from benchmarks.rounds import default_model, empty_cache, machine
from benchmarks.work import w12_workflow

Stages = dict[str, float]
"""Seconds by stage; `all` from start to end."""
STAGES = {
    "start": "the interpreter's start",
    "imports": "imports before the load",
    "before": "settings, files and checks",
    "load": "loading: header, weights, context, template",
    "tokenizing": "tokenizing",
    "evaluating": "evaluating prompts, in the engine",
    "decoding": "decoding, in the engine",
    "sampling": "sampling",
    "beside": "Python beside, between the first prompt and the last answer",
    "closing": "from the last answer to the end: copies on disk, giving back, exit",
    "all": "the whole process",
}
"""In the order of the table."""

_OURS = """
import time; started_s = time.time(); began = time.perf_counter()
import json, os, sys
from collections import defaultdict
stages = defaultdict(float)
marks = {}
from samovar.cli.entry import main
import samovar.cli.run
import samovar.engines.llama.engine as engine, samovar.serving.pool
from samovar.engines.llama import arena, context, sampling, tokenizing
stages['imports'] = time.perf_counter() - began

def counted(owner, name, stage_of):
    original = getattr(owner, name)
    def replacement(self, *arguments, **named):
        began = time.perf_counter()
        marks.setdefault(stage_of(self, *arguments), began)
        try:
            return original(self, *arguments, **named)
        finally:
            ended = time.perf_counter()
            stages[stage_of(self, *arguments)] += ended - began
            marks['last'] = ended
    setattr(owner, name, replacement)

counted(tokenizing.TokenizingThread, 'run', lambda *_: 'tokenizing')
counted(sampling.Sampler, 'pick', lambda *_: 'sampling')
prompts = [True]
def stage(self, batch):
    return 'evaluating' if prompts[0] else 'decoding'
original = arena.Arena._plan
def plan(self):
    original(self)
    prompts[0] = self._batch.evaluates_prompts
arena.Arena._plan = plan
counted(context.Context, 'decode', stage)
load = engine.LlamaEngine.load
async def timed(self, *arguments):
    began = time.perf_counter()
    marks['load'] = began
    try:
        return await load(self, *arguments)
    finally:
        stages['load'] += time.perf_counter() - began
        marks['loaded'] = time.perf_counter()
engine.LlamaEngine.load = timed

def told():
    stages['before'] = marks['load'] - began - stages['imports']
    asked = sum(stages[one] for one in ('tokenizing', 'evaluating', 'decoding', 'sampling'))
    stages['beside'] = marks['last'] - marks['loaded'] - asked
    with open(os.environ['BENCHMARK_STAGES'], 'w') as file:
        last_s = marks['last'] - began + started_s
        json.dump({'stages': stages, 'started_s': started_s, 'last_s': last_s}, file)

sys.argv = ['samovar', *sys.argv[1:]]
try:
    main()
finally:
    told()
"""


def ours() -> Stages:
    """One run of W12 by the command line. Raises `RuntimeError`."""
    with tempfile.TemporaryDirectory() as folder, empty_cache() as environment:
        workflow, figures = Path(folder) / "w12.md", Path(folder) / "stages.json"
        workflow.write_text(w12_workflow(), encoding="utf-8")
        command = [sys.executable, "-c", _OURS, "run", str(workflow), "--json"]
        began, began_s = time.perf_counter(), time.time()
        environment["XDG_CACHE_HOME"] = environment.pop("SAMOVAR_CACHE_FOLDER")  # as if nothing were set
        done = subprocess.run(
            [*command, "--model", str(default_model())],
            env={**environment, "BENCHMARK_STAGES": str(figures)},
            capture_output=True,
            text=True,
        )
        all_s, ended_s = time.perf_counter() - began, time.time()
        if done.returncode:
            raise RuntimeError(f"samovar run failed: {done.stderr.strip()[-800:]}")
        said = json.loads(figures.read_text(encoding="utf-8"))
    stages: Stages = said["stages"]
    return {
        **stages,
        "start": said["started_s"] - began_s,
        "closing": ended_s - said["last_s"],
        "all": all_s,
    }


def theirs() -> Stages:
    """One run of W12 by llama-cpp-python. Raises `RuntimeError`."""
    began, began_s = time.perf_counter(), time.time()
    said: dict[str, Any] = llama_cpp_python.run(default_model(), None)
    all_s, ended_s = time.perf_counter() - began, time.time()
    stages: Stages = said["stages"]
    asked = sum(stages.get(one, 0) for one in ("tokenizing", "evaluating", "decoding", "sampling"))
    return {
        **stages,
        "start": said["started_s"] - began_s,
        "before": 0.0,
        "beside": said["figures"]["wall_s"] - asked,
        "closing": stages["closing"] + ended_s - said["ended_s"],
        "all": all_s,
    }


def measure(pairs: int) -> dict[str, list[Stages]]:
    """Rounds of both, in turn; every other pair in the opposite order. Ours alone if theirs is missing."""
    compileall.compile_dir(Path(samovar.__file__).parent, quiet=2)  # as installing a package does
    ways = {"ours": ours}
    if llama_cpp_python.missing() is None:
        ways["theirs"] = theirs
    found: dict[str, list[Stages]] = {name: [] for name in ways}
    for number in range(pairs):
        for name in ways if number % 2 == 0 else reversed(ways):
            found[name].append(ways[name]())
            print(
                f"  {number + 1}/{pairs} {name}: {found[name][-1]['all']:.2f} s", file=sys.stderr, flush=True
            )
    return found


def rows_of(found: dict[str, list[Stages]]) -> list[tuple[str, ...]]:
    """By stage: in words, then the seconds of each."""
    return [
        (says, *(str(spread([one.get(stage, 0.0) for one in rounds])) for rounds in found.values()))
        for stage, says in STAGES.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5, help="rounds of each")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write seconds.json there")
    arguments = parser.parse_args()
    if (why := llama_cpp_python.missing()) is not None:
        print(f"Samovar alone: {why}", file=sys.stderr)
    found = measure(arguments.pairs)
    rows = rows_of(found)
    print(f"W12, seconds, {arguments.pairs} rounds of each in turn: Samovar, llama-cpp-python")
    for says, *figures in rows:
        print(f"  {says:<66} " + " ".join(f"{figure:>26}" for figure in figures))
    if "theirs" in found:
        pairs = zip(found["ours"], found["theirs"], strict=True)
        print(f"  ratio: {spread([one['all'] / other['all'] for one, other in pairs])}")
    if arguments.out is not None:
        save(arguments.out, "seconds", {**machine(), "pairs": arguments.pairs, "rows": rows})


if __name__ == "__main__":
    main()
