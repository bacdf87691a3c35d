"""Runs that are killed: at every kill point, at random instants, many times in a row.

    python -m benchmarks.surviving [--instants 200] [--rows 10] [--times 10] [--seed 1] [--points NAME,NAME]

The workflow has prompts (a tiny real model), commands, a fork, lists, a sub-workflow, a loop, a wait and a
question. After each kill it goes on with `samovar resume`, and at the end it must have the same variables,
visits and ending as a run that was not killed, each effect exactly once, and a journal without a fault.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.tiny import make_tiny
from tests.warm import import_all

from benchmarks.surviving_flow import ANSWERS, EFFECTS, write_flow
from samovar.journal.base import KeptVisit, RunStatus
from samovar.journal.kill_points import VARIABLE, KillPoint
from samovar.journal.sqlite import SqliteJournal
from samovar.language.grammar import grammar

LONGEST_S = 60.0
"""A process that takes longer hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """All that must be the same, however often a run was killed."""

    status: RunStatus
    variables: object
    visits: tuple[tuple[str, str, int, str], ...]
    effects: Counter[str]


class Process:
    """One `samovar` of its own, forked from this process, which has imported everything."""

    def __init__(self, folder: Path, arguments: Sequence[str], kill_at: str | None = None) -> None:
        self._said = folder / "said"
        self.pid = os.fork()
        if self.pid == 0:
            _become(folder, self._said, arguments, kill_at)

    def wait(self, longest_s: float = LONGEST_S) -> int | None:
        """The exit status, negative for a signal; None if it still runs."""
        until_s = time.monotonic() + longest_s
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= until_s:
                return None
            time.sleep(0.002)

    def kill_after(self, wait_s: float) -> int:
        """Kills it when so much time has passed, unless it has ended."""
        status = self.wait(wait_s)
        if status is None:
            os.kill(self.pid, signal.SIGKILL)
            status = self.wait()
        assert status is not None, "a killed process does not end"
        return status

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")


def _become(folder: Path, said: Path, arguments: Sequence[str], kill_at: str | None) -> None:
    """In the fork: it is `samovar` with these arguments, and ends."""
    status = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(HOME=str(folder), XDG_STATE_HOME=str(folder / "state"))
        os.environ.pop(VARIABLE, None)
        if kill_at is not None:
            os.environ[VARIABLE] = kill_at
        file = os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for number, one in enumerate((os.open(os.devnull, os.O_RDONLY), file, file)):
            os.dup2(one, number)
        from samovar.cli.entry import main

        sys.argv = ["samovar", *arguments]
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(status)


class Survivor:
    """One run, in a folder of its own, that is killed and goes on."""

    def __init__(self, folder: Path, model: Path) -> None:
        folder.mkdir()
        write_flow(folder)
        self.folder, self._model = folder, model
        self._db = folder / "j.db"
        self.kills = 0

    def begin(self, kill_at: str | None = None) -> Process:
        options = ("--model", str(self._model), "--seed", "7", "--deterministic")
        return self._start("run", "top.md", *options, kill_at=kill_at)

    def go_on(self, kill_at: str | None = None) -> Process | None:
        """The next process of the run; None if it is over. A run that was not begun is begun."""
        self._wait_for_commands()
        journal = SqliteJournal(self._db)
        found = next(journal.runs(), None)
        if found is None:
            return self.begin(kill_at)
        if found.status.is_over:
            return None
        self._expire()
        decision = self._decide(list(journal.visits(found.id)))
        return self._start("resume", found.id, *decision, kill_at=kill_at)

    def _start(self, *arguments: str, kill_at: str | None) -> Process:
        return Process(self.folder, [*arguments, "--journal", "j.db", "-q", *ANSWERS], kill_at)

    def _wait_for_commands(self) -> None:
        """Those of a process that was killed go on without it: a person would look, too."""
        until_s = time.monotonic() + LONGEST_S
        while time.monotonic() < until_s and any(
            one.info["cwd"] == str(self.folder) and one.info["status"] != psutil.STATUS_ZOMBIE
            for one in psutil.process_iter(["cwd", "status"])
        ):
            time.sleep(0.01)

    def _expire(self) -> None:
        """Lets the time of the lease pass."""
        with sqlite3.connect(self._db) as connection:
            connection.execute("UPDATE run SET until_s = 1 WHERE until_s > 0")
        connection.close()

    def _decide(self, visits: Sequence[KeptVisit]) -> list[str]:
        """As a person would who looks at what was done."""
        unknown = [one for one in visits if one.outcome is None and not one.intent.is_repeatable]
        if not unknown:
            return []
        assert len(unknown) == 1, f"several commands at once: {unknown}"
        return ["--skip" if EFFECTS[unknown[0].intent.key.path] in self.effects() else "--redo"]

    def effects(self) -> Counter[str]:
        file = self.folder / "effects"
        return Counter(file.read_text(encoding="utf-8").splitlines() if file.exists() else ())

    def ended(self) -> Ended:
        journal = SqliteJournal(self._db)
        [run] = journal.runs()
        with sqlite3.connect(self._db) as connection:
            for pragma in ("integrity_check", "foreign_key_check"):
                found = connection.execute(f"PRAGMA {pragma}").fetchall()
                assert found in ([], [("ok",)]), f"{pragma}: {found}"
        connection.close()
        ending = journal.ending(run.id)
        return Ended(
            status=run.status,
            variables=None if ending is None else _timeless(ending.variables),
            visits=tuple(sorted(map(_visit, journal.visits(run.id)))),
            effects=self.effects(),
        )


def _timeless(value: object) -> object:
    """A value without durations, which are never the same."""
    if isinstance(value, Mapping):
        return {key: _timeless(one) for key, one in value.items() if key != "duration_s"}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def _visit(one: KeptVisit) -> tuple[str, str, int, str]:
    key, outcome = one.intent.key, one.outcome
    how = "unknown" if outcome is None else outcome.error.code if outcome.error else "done"
    return key.path, key.line, key.nth, how


def finish(survivor: Survivor) -> Ended:
    """Goes on until the run is over, without a kill."""
    while (process := survivor.go_on()) is not None:
        status = process.wait()
        assert status == 0, f"{status}: {process.said}"
    return survivor.ended()


class Soak:
    """All rounds. Mutable: what was found."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._chance = folder, random.Random(seed)
        self._model = make_tiny(folder / "tiny.gguf", context=2048)
        self.wrong: list[str] = []
        self.kills = 0
        whole = self._survivor("whole")
        began_s = time.monotonic()
        status = (process := whole.begin()).wait()
        assert status == 0, f"{status}: {process.said}"
        self.whole_s = time.monotonic() - began_s
        self.whole = whole.ended()
        assert self.whole.effects == Counter(EFFECTS.values()), self.whole.effects
        assert self.whole.status is RunStatus.COMPLETED

    def _survivor(self, name: str) -> Survivor:
        return Survivor(self._folder / name, self._model)

    def at_point(self, point: KillPoint, times: int = 1) -> None:
        """Killed there, and ended by the next process."""
        survivor = self._survivor(f"at-{point}-{times}")
        status = survivor.begin(f"{point}:{times}").wait()
        if status != -signal.SIGKILL:
            self.wrong.append(f"{point}: it was not reached ({status})")
        self.kills += 1
        self._judge(f"{point}, time {times}", survivor)

    def at_instants(self, name: str, times: int) -> None:
        """Killed at random instants so many times in a row, and then ended."""
        survivor, killed = self._survivor(name), []
        process: Process | None = survivor.begin()
        for number in range(times):
            if process is None:
                break
            killed.append(self._chance.uniform(0.0, self.whole_s if times == 1 else self.whole_s / 2))
            self.kills += process.kill_after(killed[-1]) == -signal.SIGKILL
            try:
                process = survivor.go_on() if number + 1 < times else None
            except Exception:  # it is raised again, and reported, when the run is to be finished
                break
        self._judge(f"at {', '.join(f'{one:.3f}' for one in killed)} s", survivor)

    def _judge(self, what: str, survivor: Survivor) -> None:
        try:
            found = finish(survivor)
        except Exception as error:  # reported: the other rounds go on
            self.wrong.append(f"{what}: {type(error).__name__}: {error}")
            return
        differs = [name for name in Ended.__slots__ if getattr(found, name) != getattr(self.whole, name)]
        if differs:
            told = "; ".join(f"{name}: {_brief(found, self.whole, name)}" for name in differs)
            self.wrong.append(f"{what}: {told}")
        else:
            shutil.rmtree(survivor.folder)


def _brief(found: Ended, whole: Ended, name: str) -> str:
    one, other = getattr(found, name), getattr(whole, name)
    if name == "variables" and isinstance(one, dict) and isinstance(other, dict):
        differ = [key for key in one.keys() | other if one.get(key) != other.get(key)]
        return str({key: (str(one.get(key))[:60], str(other.get(key))[:60]) for key in differ})
    if name == "visits":
        return str(sorted(set(one) ^ set(other))[:6])
    return f"{one} for {other}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instants", type=int, default=200, help="runs that are killed once")
    parser.add_argument("--rows", type=int, default=10, help="runs that are killed many times in a row")
    parser.add_argument("--times", type=int, default=10, help="how often these are killed")
    parser.add_argument("--points", default=None, help="kill points, with commas; all without it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folders of what went wrong")
    given = parser.parse_args()
    points = list(KillPoint) if given.points is None else list(map(KillPoint, given.points.split(",")))
    import_all()
    grammar()  # made once, and not by each process
    gc.freeze()
    folder = Path(tempfile.mkdtemp(prefix="surviving-"))
    began_s = time.monotonic()
    try:
        soak = Soak(folder, given.seed)
        for point in points:
            soak.at_point(point)
        for number in range(given.instants):
            soak.at_instants(f"instant-{number}", 1)
        for number in range(given.rows):
            soak.at_instants(f"row-{number}", given.times)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    took_s = time.monotonic() - began_s
    print(
        f"{len(points)} kill points, {given.instants} instants, {given.rows} rows of up to {given.times}: "
        f"{soak.kills} kills in {took_s:.0f} s; a whole run takes {soak.whole_s:.2f} s; "
        f"{len(soak.wrong)} went wrong"
    )
    for one in soak.wrong:
        print(f"  {one}")
    if given.keep:
        print(f"  {folder}")
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()
