"""All that a run reaches beside itself goes through one record, and comes from it: also the time of day."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import anyio
import pytest

from samovar.actions.clock import MachineClock
from samovar.actions.outside import FileState, ThisMachine, VisitOf
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import NO, Question, Reply
from samovar.events import Ending
from samovar.language.moment import moment
from samovar.running.runner import OWN_ABORT_FILE, RunnerSettings
from tests.bench import Bench, Told
from tests.test_layers import SOURCE

pytestmark = pytest.mark.anyio

NOON_S = 1_000_000_000.0


class Hours(MachineClock):
    """A clock that goes only while somebody sleeps."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.limits: list[float | None] = []

    def now_s(self) -> float:
        return NOON_S + self.passed_s

    def time_s(self) -> float:
        return self.passed_s

    async def sleep(self, duration_s: float) -> None:
        self.passed_s += duration_s

    def move_on_after(self, duration_s: float | None) -> anyio.CancelScope:
        self.limits.append(duration_s)
        return anyio.CancelScope()


class Elsewhere(ThisMachine):
    """A world of its own: nothing of it is on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = self.hours = Hours()
        self.asked: list[str] = []
        self.deleted: list[Path] = []
        self.ended: list[str] = []
        self.abort = False

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        self.asked.append(f"command {command.text} {at.number}")
        return CommandResult(
            stdout="out", stderr="", exit_code=0, duration_s=2.0, timed_out=False, is_cut=False
        )

    async def end(self, run: str) -> None:
        self.ended.append(run)

    async def ask_user(self, question: Question) -> Reply | None:
        self.asked.append(f"user {question.text} {question.visit}")
        return NO

    def state_of(self, file: Path) -> FileState | None:
        is_own = file.parent.name == OWN_ABORT_FILE.name
        return (1, 2, 3, 4) if self.abort and is_own else None

    def read_text(self, file: Path) -> str:
        return "Enough."

    def delete(self, file: Path) -> None:
        self.deleted.append(file)


async def test_commands_questions_time_and_limits_come_from_the_outside(bench: Bench) -> None:
    world = Elsewhere()
    bench.settings = RunnerSettings(folder=bench.folder, outside=world)
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> D: failure\nD --> [*]"
    actions = """A: Shell "there is no such command"
    B: Wait 2 hours
    C: Wait for user input "Go on?"
    D: Log "{{ 'now' | date: '%Y-%m-%d %H:%M' }} {{ now | date: '%H' }} {{ today }}" """
    run = await bench.run(bench.write("w", diagram, actions, front="limits: {duration: 1min}"), Told())
    assert run.ending is Ending.COMPLETED
    assert world.asked == ["command there is no such command 1", "user Go on? 3"]
    assert world.hours.limits == [60.0]
    there = datetime.fromtimestamp(NOON_S + 7200)
    assert bench.log == [f"{there:%Y-%m-%d %H:%M} {there:%H} {there.date()}"]
    assert (run.started_at, run.duration_s) == (NOON_S, 7200.0)
    assert run.id.startswith(f"{datetime.fromtimestamp(NOON_S):%Y%m%dT%H%M%S}")
    assert bench.events[-1].time == NOON_S + 7200
    assert world.ended == [run.id]


async def test_the_time_of_prompts_is_that_of_the_run_too(bench: Bench) -> None:
    bench.settings = RunnerSettings(folder=bench.folder, outside=Elsewhere())
    told = Told(["yes"])
    actions = "A: Prompt \"It is {{ 'now' | date: '%s' }}.\""
    await bench.run(bench.write("w", "[*] --> A\nA --> [*]", actions), told)
    assert told.requests[0].messages[-1].content == f"It is {int(NOON_S)}."
    assert abs((moment() - datetime.now()).total_seconds()) < 60, "outside of runs it is the time of day"


async def test_the_moment_of_an_error_in_an_old_file_is_by_the_clock_of_the_run(bench: Bench) -> None:
    bench.settings = RunnerSettings(folder=bench.folder, outside=Elsewhere())
    actions = 'A: Log "${nothing}"\nB: Log "${error_context.error_timestamp}"'
    await bench.run(bench.write("w", "[*] --> A\nA --> B: failure\nB --> [*]", actions))
    assert bench.log == ["2001-09-09T01:46:40+00:00"]


async def test_files_that_end_runs_are_those_of_the_outside(bench: Bench) -> None:
    world = Elsewhere()
    world.abort = True
    bench.settings = RunnerSettings(folder=bench.folder, outside=world)
    run = await bench.run(bench.write("w", "[*] --> A\nA --> [*]", "A: Log 'x'"))
    assert (run.ending, run.error and run.error.message) == (Ending.ABORTED, "Enough.")
    assert world.deleted == [bench.folder / OWN_ABORT_FILE / run.id]


CLOCKS = re.compile(r"\btime\.(time|monotonic|perf_counter|strftime)\b|datetime\.now|utcnow|today\(\)")
THIS_MACHINE = {
    "actions/clock.py",
    "actions/process.py",
}
"""What is behind the outside: the machine itself."""


def test_nothing_of_a_run_reads_a_clock_of_its_own() -> None:
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*.py")}
    own = {name: path for name, path in files.items() if name.startswith(("running/", "actions/"))}
    assert own.keys() > THIS_MACHINE
    found = {name for name, path in own.items() if CLOCKS.search(path.read_text(encoding="utf-8"))}
    assert found <= THIS_MACHINE
