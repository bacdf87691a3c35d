"""Many processes that continue the same interrupted runs: each run is driven by one at a time, to its end.

    python -m benchmarks.resuming [--processes 8] [--runs 20] [--seconds 120] [--seed 1]

A process that drives a run lets go of it now and then, so that the next one takes it over. At the end no
command of a run may be missing or done twice, and no process may have found the journal locked. `--seconds`:
new runs are made and ended until so much time has passed; 0: once.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio
import anyio.lowlevel

from samovar.actions import parse_action
from samovar.actions.outside import ThisMachine
from samovar.actions.process import Command, CommandResult
from samovar.actions.reached import VisitOf
from samovar.app import open_scripted
from samovar.errors import LeaseError, NotFoundError
from samovar.events import Event, StateLeft
from samovar.journal.base import RunHead, RunStatus
from samovar.journal.sqlite import SqliteJournal
from samovar.language.reading import parse_workflow
from samovar.library import Library
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.runner import Runner, RunnerSettings

LOOPS = 5
"""Commands of one run."""
FLOW = f"""```mermaid
stateDiagram-v2
    [*] --> Begin
    Begin --> Count
    Count --> Do
    Do --> Count: n < {LOOPS}
    Do --> [*]
```

## Actions

- Begin: Set n := 0
- Count: Set n := n + 1
- Do: Shell "do ${{n}}"
"""
LETS_GO = 0.08
"""How likely a process lets go of its run after a state."""


class LetGo(Exception):
    """The process drives the run no further."""


class Noted(ThisMachine):
    """Runs nothing, and notes each command of a run in one file of all processes."""

    def __init__(self, file: Path, run: str) -> None:
        super().__init__()
        self._file, self._run = file, run

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        values = (one for name, one in command.environment.items() if name.startswith("SAMOVAR_VALUE_"))
        number = next(values, command.text.split()[-1])
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{self._run} {number}\n")
        await anyio.lowlevel.checkpoint()
        return CommandResult(stdout="", stderr="", exit_code=0, duration_s=0.0, timed_out=False, is_cut=False)


async def drive(
    folder: Path, journal: SqliteJournal, name: str, head: RunHead | None, chance: random.Random
) -> str:
    """One try to drive a run. Gives what came of it."""
    workflow = parse_workflow(FLOW, name="flow", path=folder / "flow.md", parse_action=parse_action)

    def on_event(event: Event) -> None:
        if isinstance(event, StateLeft) and (head is None or chance.random() < LETS_GO):
            raise LetGo

    settings = RunnerSettings(
        keeping=Keeping(journal=journal, goes_on=head), outside=Noted(folder / "effects", name), folder=folder
    )
    async with open_scripted(lambda messages: "said") as executor:
        library = Library([], parse_action, start=folder)
        runner = Runner(library, executor, on_event=on_event, settings=settings)
        try:
            run = await runner.run(Prepared(workflow=workflow, variables={}))
        except LetGo:
            return "let go"
    if run.error is None:
        return "ended"
    return "refused" if run.error.code in (LeaseError.code, NotFoundError.code) else str(run.error.message)


async def resume_all(folder: Path, chance: random.Random) -> Counter[str]:
    """Goes on with any run that is not over, until all are."""
    journal, found = SqliteJournal(folder / "j.db"), Counter[str]()
    try:
        while left := [one for one in journal.runs() if not one.status.is_over]:
            one = chance.choice(left)
            if one.status is RunStatus.RUNNING and chance.random() < 0.7:
                await anyio.sleep(0.005)
                continue
            head = journal.head(one.id)
            found[await drive(folder, journal, one.id, head, chance)] += 1
    finally:
        journal.close()
    return found


async def make_interrupted(folder: Path, runs: int, chance: random.Random) -> None:
    journal = SqliteJournal(folder / "j.db")
    for _ in range(runs):
        assert await drive(folder, journal, "", None, chance) == "let go"
    journal.close()


def one_round(folder: Path, processes: int, runs: int, seed: int) -> Counter[str]:
    """What came of all tries of all processes. Raises `AssertionError` if anything is not as it must be."""
    folder.mkdir()
    (folder / "flow.md").write_text(FLOW, encoding="utf-8")
    anyio.run(make_interrupted, folder, runs, random.Random(seed))
    pids = [_fork(folder, seed * 100 + number) for number in range(processes)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert not any(statuses), f"processes failed: {statuses}"
    found = Counter[str]()
    for file in folder.glob("found-*"):
        found.update(_read(file))
    listed = list(SqliteJournal(folder / "j.db").runs())
    assert [one.status for one in listed] == [RunStatus.COMPLETED] * runs, [one.status for one in listed]
    done = Counter((folder / "effects").read_text(encoding="utf-8").splitlines())
    expected = Counter(f"{one.id} {number}" for one in listed for number in range(1, LOOPS + 1))
    assert done == expected, f"missing: {expected - done}; twice: {done - expected}"
    unknown = set(found) - {"ended", "let go", "refused"}
    assert not unknown, unknown
    assert found["ended"] >= runs
    with sqlite3.connect(folder / "j.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return found


def _read(file: Path) -> dict[str, int]:
    lines = (line.rpartition(" ") for line in file.read_text(encoding="utf-8").splitlines())
    return {what: int(count) for what, _, count in lines}


def _fork(folder: Path, seed: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        found = anyio.run(resume_all, folder, random.Random(seed))
        lines = "".join(f"{what} {count}\n" for what, count in found.items())
        (folder / f"found-{seed}").write_text(lines, encoding="utf-8")
        status = 0
    finally:
        os._exit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began_s, rounds, found = time.monotonic(), 0, Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        while not rounds or time.monotonic() - began_s < given.seconds:
            folder = Path(place, str(rounds))
            found += one_round(folder, given.processes, given.runs, given.seed + rounds)
            rounds += 1
    print(
        f"{given.processes} processes, {rounds} rounds of {given.runs} runs in "
        f"{time.monotonic() - began_s:.0f} s: {dict(found)}; none lost, none twice, never locked"
    )
    sys.exit()


if __name__ == "__main__":
    main()
