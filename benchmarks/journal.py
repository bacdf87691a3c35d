"""What the journal costs: a step, beside its peers; long lists; bytes; memory.

    python -m benchmarks.journal [--steps 2000] [--visits 1000000] [--flat 50000] [--peers FOLDER]

`--peers` is where LangGraph and DBOS are, or are installed in an environment of their own; without it they
are left out. A step is the intent and the outcome of one visit with a text of 1.5 kB, both kept before it
goes on; one that may not be repeated is synced, and counted apart.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import anyio

from samovar.cli.kept_showing import Narrowed, show_run
from samovar.cli.runs import WantedRuns, list_runs
from samovar.journal.base import Intent, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.connecting import connect
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.sqlite_run import SqliteRun
from samovar.memory import resident_bytes

TEXT = "x" * 1_500
PACKAGES = ("langgraph>=1.0", "langgraph-checkpoint-sqlite>=3.0", "dbos>=2.0")
PEERS = Path(__file__).with_name("journal_peers.py")
VISITS_OF_A_RUN = 1_000
MOST_STEP_MS, MOST_LIST_S, MOST_GROWTH_BYTES = 0.5, 0.3, 4_000_000


async def _visit(run: SqliteRun, number: int, *, is_repeatable: bool = True) -> float:
    """One step. Gives the milliseconds it took."""
    key = VisitKey(path="A", nth=number)
    began_s = time.perf_counter()
    await run.intend(
        Intent(key=key, number=number, verb="prompt", entered_at=1.0, is_repeatable=is_repeatable)
    )
    await run.leave(key, VisitOutcome(value=f"{number} {TEXT}", sets={"number": number}))
    return 1000 * (time.perf_counter() - began_s)


async def steps(file: Path, count: int, *, is_repeatable: bool = True) -> list[float]:
    """The milliseconds of each step of a run."""
    journal = SqliteJournal(file)
    head = RunHead(id=f"r{is_repeatable}", workflow="w", path=None, folder="/", started_at=1.0)
    async with journal.begin(head) as run:
        taken = [await _visit(run, number + 1, is_repeatable=is_repeatable) for number in range(count)]
        await run.end(RunStatus.COMPLETED)
    journal.close()
    return taken


async def growth_bytes(file: Path, count: int) -> int:
    """What the memory has grown by between the tenth part of so many steps and the last."""
    journal, early = SqliteJournal(file), 0
    head = RunHead(id="flat", workflow="w", path=None, folder="/", started_at=1.0)
    async with journal.begin(head) as run:
        for number in range(1, count + 1):
            await _visit(run, number)
            if number == count // 10:
                early = resident_bytes()
        grown = resident_bytes() - early
    journal.close()
    return grown


async def fill(file: Path, visits: int) -> None:
    """A journal of so many visits: one run as the journal writes it, and copies of its rows."""
    journal = SqliteJournal(file)
    head = RunHead(id="run-0", workflow="w", path=Path("/w.md"), folder="/", started_at=1.0)
    async with journal.begin(head) as run:
        for number in range(1, VISITS_OF_A_RUN + 1):
            await _visit(run, number)
        await run.end(RunStatus.COMPLETED)
    journal.close()
    connection = connect(file)
    for table in ("run", "visit"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        changed = {"run": {"number": ":n + 1", "id": "'run-' || :n", "started_at": "started_at + :n"}}
        taken = changed.get(table, {"run": ":n + 1"})
        values = ", ".join(taken.get(name, name) for name in columns)
        where = "number = 1" if table == "run" else "run = 1"
        connection.execute("BEGIN")
        for number in range(1, visits // VISITS_OF_A_RUN):
            connection.execute(
                f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {where}", {"n": number}
            )
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def in_process_s(command: Callable[[], object]) -> float:
    """The seconds that a command takes within this process; the best of five."""

    def once() -> float:
        began_s = time.perf_counter()
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            command()
        return time.perf_counter() - began_s

    return min(once() for _ in range(5))


def peers(place: Path, count: int) -> dict[str, float | str]:
    """The median milliseconds of a step of each peer, or why there is none."""
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", *PACKAGES], capture_output=True, text=True
        )
        if done.returncode:
            return {"peers": f"not installed: {done.stderr[-300:]}"}
    found: dict[str, float | str] = {}
    for name in ("langgraph", "dbos"):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [python, PEERS, name, str(count)],
                cwd=folder,
                env={name: one for name, one in os.environ.items() if name != "PYTHONPATH"},
                capture_output=True,
                text=True,
                timeout=600,
            )
        lines = done.stdout.strip().splitlines()
        found[name] = (
            json.loads(lines[-1])["median_ms"] if not done.returncode and lines else done.stderr[-300:]
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--visits", type=int, default=1_000_000)
    parser.add_argument("--flat", type=int, default=50_000)
    parser.add_argument("--peers", type=Path, default=None)
    given = parser.parse_args()
    missed: list[str] = []

    def report(what: str, value: float, unit: str, most: float | None = None) -> None:
        goal = "" if most is None else f"  (at most {most:g})"
        if most is not None and value > most:
            missed.append(what)
        print(f"{what:<64} {value:10.3f} {unit}{goal}", flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        taken = anyio.run(steps, folder / "steps.db", given.steps)
        report("a step, median", statistics.median(taken), "ms", MOST_STEP_MS)
        report("a step, 99 of 100", statistics.quantiles(taken, n=100)[98], "ms")
        synced = anyio.run(lambda: steps(folder / "synced.db", given.steps // 10, is_repeatable=False))
        report("a step that may not be repeated, median", statistics.median(synced), "ms")
        if given.peers is not None:
            for name, value in peers(given.peers, given.steps // 10).items():
                if isinstance(value, str):
                    print(f"{name}: {value}")
                else:
                    report(f"a step of {name}, median", value, "ms")
            again = anyio.run(steps, folder / "again.db", given.steps)
            report("a step, median, once more", statistics.median(again), "ms", MOST_STEP_MS)
        grown = anyio.run(growth_bytes, folder / "flat.db", given.flat)
        report(f"memory grown over {given.flat} steps", grown / 1e6, "MB", MOST_GROWTH_BYTES / 1e6)
        flat = (folder / "flat.db").stat().st_size / given.flat
        report("bytes a visit with a text of its own of 1.5 kB", flat, "B")
        file = folder / "large.db"
        anyio.run(fill, file, given.visits)
        settings = {"journal_file": file}
        report(
            f"bytes a visit, of {given.visits}, without the texts", file.stat().st_size / given.visits, "B"
        )
        listing = in_process_s(lambda: list_runs(settings, WantedRuns(), most=None, as_json=False))
        report("`runs`", listing, "s", MOST_LIST_S)
        showing = in_process_s(lambda: show_run(settings, "run-7", Narrowed(), as_json=False))
        report(f"`runs show` of a run of {VISITS_OF_A_RUN} visits", showing, "s", MOST_LIST_S)
    if missed:
        sys.exit(f"Missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
