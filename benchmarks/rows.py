"""A run for each row: `samovar run --each` beside four `samovar run` at once by xargs.

    python -m benchmarks.rows [--rows 12] [--rounds 1] [--at-once 8] [--out FOLDER]

Five states, each with a prompt behind a beginning of its own, of the default model. Both begin with an empty
cache and keep their runs; four processes at once each load the model, and find the beginnings that another
process has left on disk. Wall time and CPU time are of all processes together, from start to end.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer

from benchmarks.results import save, spread
from benchmarks.rounds import default_model, machine
from samovar.engines.llama.counting import open_template
from samovar.generation import Message

STATES, AT_ONCE, GOAL = 5, 4, 0.6
RULES = (
    "You read what people say about a program, and name what it is about. ",
    "You read notes of a service desk, and say how urgent each of them is. ",
    "You look at reports of faults, and say which part of a program they are about. ",
    "You write short answers to people who have a question about a program. ",
    "You check answers before they are sent, and say what is wrong with them. ",
)
PROGRAM = (sys.executable, "-c", "from samovar.cli.entry import main; main()")


def workflow() -> str:
    """Five prompts, one after the other."""
    arrows = "\n".join(f"S{n} --> S{n + 1}" for n in range(STATES - 1))
    actions = "\n".join(
        f'- S{n}: Prompt "{rule * 12} Note: ${{note}}" using max_tokens=12 temperature=0'
        for n, rule in enumerate(RULES)
    )
    diagram = f"stateDiagram-v2\n[*] --> S0\n{arrows}\nS{STATES - 1} --> [*]"
    front = "---\nparameters: [{name: note, required: true}]\n---\n"
    return f"{front}```mermaid\n{diagram}\n```\n\n## Actions\n\n{actions}\n"


def notes(rows: int) -> list[str]:
    """One short text for each row."""
    return [f"{number} people have said that button {number * 7} does nothing" for number in range(rows)]


def measured(command: str, folder: Path) -> tuple[float, float]:
    """Seconds of wall time and of CPU time of a shell command with all its children."""
    state = folder / "state"
    environment = os.environ | {
        "SAMOVAR_MODEL": str(default_model()),
        "SAMOVAR_CACHE_FOLDER": str(folder / "cache"),
        "XDG_STATE_HOME": str(state),
    }
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, shell=True, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def of_rows(rows: int, at_once: int) -> tuple[float, float, int]:
    """One process for all rows, and how many tokens of prompts it evaluated."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "w.md").write_text(workflow(), encoding="utf-8")
        lines = "".join(json.dumps({"note": note}) + "\n" for note in notes(rows))
        (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
        options = f"--each rows.jsonl --at-once {at_once} --out out.jsonl -q"
        wall_s, cpu_s = measured(f"{shlex.join(PROGRAM)} run w.md {options}", folder)
        done = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(done) == rows, "each row has a line"
        return wall_s, cpu_s, sum(one["tokens"]["evaluated"] for one in done)


def distinct_tokens(rows: int) -> int:
    """Tokens of all prompts, those counted once that come after the same beginning."""
    found: set[bytes] = set()
    with open_template(default_model()) as template:
        for rule in RULES:
            for note in notes(rows):
                prompt = template.tokens([Message(role="user", content=f"{rule * 12} Note: {note}")])
                digest = hashlib.sha256()
                for token in prompt:
                    digest.update(token.to_bytes(4, "little"))
                    found.add(digest.digest())
    return len(found)


def of_xargs(rows: int) -> tuple[float, float]:
    """A process for each row, four of them at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "w.md").write_text(workflow(), encoding="utf-8")
        (folder / "notes.txt").write_text("".join(f"{note}\n" for note in notes(rows)), encoding="utf-8")
        one = f"{shlex.join(PROGRAM)} run w.md -q --note {{}}"
        return measured(f"xargs -P{AT_ONCE} -I{{}} {one} < notes.txt", folder)


def main(rows: int = 12, rounds: int = 1, at_once: int = 8, out: Path | None = None) -> None:
    """Prints both, and how they compare."""
    found: dict[str, list[tuple[float, float]]] = {"--each": [], f"xargs -P{AT_ONCE}": []}
    evaluated: list[int] = []
    for _ in range(rounds):
        *took, tokens = of_rows(rows, at_once)
        found["--each"].append((took[0], took[1]))
        evaluated.append(tokens)
        found[f"xargs -P{AT_ONCE}"].append(of_xargs(rows))
    print(f"{rows} rows of {STATES} states")
    for name, rounds_of in found.items():
        wall, cpu = (spread([one[kind] for one in rounds_of]) for kind in (0, 1))
        print(f"{name:10} {wall} s, {cpu} s of CPU")
    distinct = distinct_tokens(rows)
    print(f"--each evaluated {', '.join(f'{one:,}' for one in evaluated)} tokens; distinct: {distinct:,}")
    ours, theirs = found.values()
    share = spread([one[0] / other[0] for one, other in zip(ours, theirs, strict=True)])
    print(f"{share} of the time of xargs (goal: at most {GOAL})")
    if out is not None:
        save(
            out,
            "rows",
            {
                **machine(),
                "rows": rows,
                "at_once": at_once,
                "rounds": found,
                "evaluated": evaluated,
                "distinct": distinct,
            },
        )


if __name__ == "__main__":
    typer.run(main)
