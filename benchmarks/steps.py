"""What a step costs that sets a variable and evaluates a condition: here, in Burr and in LangGraph; and how
long `samovar check` takes on files of thousands of states.

    python -m benchmarks.steps [--rounds 5] [--steps 5000] [--install] [--out FOLDER]

Each round is a process of its own and the contenders take turns. One that is not installed is left out and
named; `--install` puts Burr and LangGraph into a virtual environment in the user's cache first. None of them
keeps anything on disk here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import platformdirs

from benchmarks.results import save, spread
from benchmarks.rounds import machine

SAMOVAR = """
import sys, tempfile, time
from pathlib import Path
import anyio
from samovar.app import open_app
from samovar.config import load_settings
from samovar.preflight.prepare import prepare
from samovar.running.runner import Runner

TEXT = '''---
limits: {transitions: 1000000}
---
```mermaid
stateDiagram-v2
[*] --> Count
Count --> Count: n < STEPS
Count --> [*]: default
```

## Actions

- Count: Set n := n + 1
'''.replace("STEPS", str(steps))

async def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "count.md"
        path.write_text(TEXT, encoding="utf-8")
        async with open_app(load_settings({})) as app:
            prepared = prepare(str(path), {"n": 0}, app.library, app.settings)
            began = time.perf_counter()
            run = await Runner(app.library, app.executor).run(prepared)
            took_s = time.perf_counter() - began
    assert run.variables["n"] == steps
    return took_s

took_s = anyio.run(main)
"""
BURR = """
import time
from burr.core import ApplicationBuilder, action, default, expr

@action(reads=["n"], writes=["n"])
def count(state):
    return state.update(n=state["n"] + 1)

@action(reads=["n"], writes=[])
def end(state):
    return state

app = (
    ApplicationBuilder()
    .with_actions(count=count, end=end)
    .with_transitions(("count", "count", expr(f"n < {steps}")), ("count", "end", default))
    .with_state(n=0)
    .with_entrypoint("count")
    .build()
)
began = time.perf_counter()
_, _, state = app.run(halt_after=["end"])
took_s = time.perf_counter() - began
assert state["n"] == steps
"""
LANGGRAPH = """
import time
from typing import TypedDict
from langgraph.graph import END, START, StateGraph

class Counted(TypedDict):
    n: int

graph = StateGraph(Counted)
graph.add_node("count", lambda state: {"n": state["n"] + 1})
graph.add_edge(START, "count")
graph.add_conditional_edges("count", lambda state: "count" if state["n"] < steps else END)
app = graph.compile()
began = time.perf_counter()
state = app.invoke({"n": 0}, {"recursion_limit": steps + 10})
took_s = time.perf_counter() - began
assert state["n"] == steps
"""
PEERS = {"Burr": (BURR, "apache-burr", "burr"), "LangGraph": (LANGGRAPH, "langgraph", "langgraph")}


def folder() -> Path:
    """Of the virtual environment with the peers."""
    return platformdirs.user_cache_path("samovar") / "benchmarks" / "steps"


def python() -> Path:
    return folder() / "bin" / "python"


def install() -> None:
    """Raises `CalledProcessError` where pip fails."""
    venv.create(folder(), with_pip=True)
    packages = [package for _, package, _ in PEERS.values()]
    subprocess.run([python(), "-m", "pip", "install", "-q", *packages], check=True)


def version_of(package: str) -> str | None:
    """None where it is not installed."""
    if not python().exists():
        return None
    program = f"from importlib.metadata import version; print(version({package!r}))"
    process = subprocess.run([python(), "-c", program], capture_output=True, text=True)
    return process.stdout.strip() if process.returncode == 0 else None


def one_round(interpreter: Path, program: str, steps: int) -> float:
    """Milliseconds for one step, by a process of its own."""
    text = f"steps = {steps}\n{program}\nprint(took_s / steps * 1e3)"
    process = subprocess.run([interpreter, "-c", text], check=True, capture_output=True, text=True)
    return float(process.stdout)


def large(states: int) -> str:
    """A workflow of so many states, each with an action, a condition and a second way out."""
    edges = [f"S{i} --> S{i + 1}: x > {i}\nS{i} --> [*]: default" for i in range(states - 1)]
    actions = [f"- S{i}: Set x := x + {i}" for i in range(states)]
    diagram = "\n".join(("[*] --> S0", *edges, f"S{states - 1} --> [*]"))
    bullets = "\n".join(actions)
    head = "---\nparameters: [{name: x}]\n---"
    return f"{head}\n```mermaid\nstateDiagram-v2\n{diagram}\n```\n\n## Actions\n\n{bullets}\n"


def check_s(states: int) -> float:
    """Seconds that `samovar check` takes as a process, from start to exit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.md"
        path.write_text(large(states), encoding="utf-8")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "samovar", "check", path], check=True, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each contender")
    parser.add_argument("--steps", type=int, default=5000, help="of each round")
    parser.add_argument("--install", action="store_true", help="install Burr and LangGraph first")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write steps.json there")
    arguments = parser.parse_args()
    if arguments.install:
        install()
    contenders = {"Samovar": (Path(sys.executable), SAMOVAR)}
    for name, (program, package, _) in PEERS.items():
        version = version_of(package)
        if version is None:
            print(f"{name} is not installed: --install does that", file=sys.stderr)
        else:
            contenders[f"{name} {version}"] = (python(), program)
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, (interpreter, program) in contenders.items():
            found[name].append(one_round(interpreter, program, arguments.steps))
    checks: dict[int, list[float]] = {states: [] for states in (100, 2500, 5000, 10_000)}
    for _ in range(arguments.rounds):
        for states, values in checks.items():
            values.append(check_s(states))
    rows = [(f"a step in {name}", f"{spread(values)} ms") for name, values in found.items()]
    rows += [
        (f"`samovar check`, {states:,} states", f"{spread(values)} s") for states, values in checks.items()
    ]
    print(f"{arguments.steps} steps, {arguments.rounds} rounds")
    for what, figure in rows:
        print(f"  {what}: {figure}")
    if arguments.out is not None:
        save(arguments.out, "steps", {**machine(), "rounds": arguments.rounds, "rows": rows})


if __name__ == "__main__":
    main()
