"""A run that is killed anywhere, and goes on, ends as one that was not: see `benchmarks.surviving`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from samovar.journal import kill_points
from samovar.journal.kill_points import KillPoint, reach, reach_within

ROOT = Path(__file__).parent.parent
LONGEST_S = 600
"""Of one program, however busy the machine is."""


def program(name: str, *options: str) -> str:
    """What a program of the benchmarks says, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_survives_every_kill_point_and_some_instants() -> None:
    said = program("surviving", "--instants", "5", "--rows", "0")
    assert f"{len(KillPoint)} kill points, 5 instants" in said and "0 went wrong" in said


@pytest.mark.slow
def test_a_run_survives_being_killed_again_and_again() -> None:
    assert "0 went wrong" in program("surviving", "--points", "end", "--instants", "0", "--rows", "1")


@pytest.mark.slow
def test_processes_that_resume_the_same_runs_lose_none_and_do_nothing_twice() -> None:
    said = program("resuming", "--processes", "8", "--runs", "20", "--seconds", "0")
    assert "1 rounds of 20 runs" in said


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_kill_point_does_nothing_unless_it_is_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        raise Killed

    monkeypatch.setattr(kill_points, "_end", end)
    monkeypatch.setattr(kill_points, "_reached", kill_points._reached.copy())
    kill_points._reached.clear()
    monkeypatch.delenv(kill_points.VARIABLE, raising=False)
    reach(KillPoint.END)
    monkeypatch.setenv(kill_points.VARIABLE, "in-child:2")
    reach(KillPoint.END)
    reach_within("A", "")
    reach_within("A[3]/B", "")
    reach_within("A/B", "Left")
    reach_within("A/B", "")
    with pytest.raises(Killed):
        reach_within("A/B", "")
