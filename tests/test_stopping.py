"""Stopping is stopping: what a run has started ends with it, and the exit status says what ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from benchmarks.stopping import stop_many

from samovar.events import Ending, Event, RunStarted
from samovar.running.runner import ABORT_FILE, OWN_ABORT_FILE
from tests.bench import Bench, Told, unchecked
from tests.test_cli import TIMEOUT_S, environment, folder, is_running, start, until, write

__all__ = ["folder"]
pytestmark = pytest.mark.anyio


@pytest.mark.slow
def test_runs_that_are_stopped_at_random_instants_leave_nothing() -> None:
    stops = stop_many(10, seed=7)
    assert [stop for stop in stops if stop.wrong] == []


def test_an_interrupt_while_a_module_makes_a_class_is_one(folder: Path) -> None:
    code = (
        "from samovar.cli import entry\n"
        "class Stopped:\n    def __set_name__(self, owner, name):\n        raise KeyboardInterrupt\n"
        "entry.app = lambda *_, **__: type('Made', (), {'part': Stopped()})\n"
        "entry.main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_exit_status_is_that_of_the_signal(folder: Path, number: signal.Signals) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Shell "sleep 60"')
    process = start(folder, "run", "w.md", "--events")
    until(process, "state_entered")
    process.send_signal(number)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("started", ["{}", "trap '' INT TERM HUP; (setsid sh -c '{}' &); sleep 60"])
def test_the_second_signal_ends_a_command_that_hears_none(folder: Path, started: str) -> None:
    command = started.format(r"trap \"\" INT TERM HUP; echo $$ > child; while true; do sleep 1; done")
    write(folder, "[*] --> A\nA --> [*]", f'- A: Shell "{command}"')
    process = start(folder, "run", "w.md", "--events")
    until(process, "state_entered")
    child = folder / "child"
    while not (child.exists() and child.read_text().strip()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT_S)
    # Signals that come together may be heard in any order.
    assert process.returncode in (130, 143)
    assert "stopped at once; the run is kept; continue it with `samovar resume " in said
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(child.read_text())).wait(TIMEOUT_S)  # a killed process ends when it is its turn


LEAVES = """
import os, subprocess
from pathlib import Path
import anyio
from anyio.lowlevel import checkpoint
from samovar.processes.process_groups import ProcessGroups

groups = ProcessGroups()
groups.expect("r")
command = "(setsid sh -c 'trap \\"\\" TERM; echo $$ > child; while :; do sleep 1; done' &)"
subprocess.run(["sh", "-c", command], env={**os.environ, "SAMOVAR_RUN": "r"}, check=True)
while not (Path("child").exists() and Path("child").read_text().strip()):
    pass

async def main():
    async with anyio.create_task_group() as tasks:
        if ENDS:
            tasks.start_soon(groups.end, "r")
        for _ in range(10):
            await checkpoint()
        groups.kill()
        os._exit(0)

anyio.run(main)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="found on Linux only")
@pytest.mark.parametrize("ends", [False, True], ids=["while it starts", "while the run ends"])
def test_a_session_of_its_own_is_killed_before_its_group_is_known_and_while_it_is_asked_to_end(
    folder: Path, ends: bool
) -> None:
    code = LEAVES.replace("ENDS", str(ends))
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=TIMEOUT_S)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int((folder / "child").read_text())).wait(10)


async def test_what_a_command_left_behind_ends_with_the_run(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B\nB --> [*]"
    actions = 'A: Shell "sleep 60 & echo $!" with result="left"\nB: Shell "kill -0 ${left}"'
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED  # it was there until the end
    assert not is_running(int(str(run.variables["left"])))


@pytest.fixture(params=["linux", "other"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is here, and without what only Linux has."""
    if request.param == "other":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("trap", ["", 'trap "" TERM HUP; '])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_session_of_its_own_ends_with_the_run(bench: Bench, trap: str, ends: bool) -> None:
    """However the run ends, and whether it hears that it is asked to or not."""
    command = f"setsid sh -c '{trap}echo $$ > child; exec >&- 2>&-; while :; do sleep 1; done' &"
    wait = " while ! test -s child; do :; done" + ("" if ends else "; exit 3")
    text = (command + wait).replace('"', '\\"')
    workflow = bench.write("w", "[*] --> A\nA --> [*]", f'A: Shell "{text}"')
    run = await bench.run(workflow)
    assert run.ending is (Ending.COMPLETED if ends else Ending.FAILED), run.error
    assert not is_running(int((bench.folder / "child").read_text()))


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(("start", "more"), [("setsid", " detach=true"), ("env -u SAMOVAR_RUN setsid", "")])
async def test_a_session_of_its_own_stays_where_that_is_said(bench: Bench, start: str, more: str) -> None:
    command = f"{start} sleep 60 > /dev/null 2>&1 & echo $!"
    diagram = "[*] --> A\nA --> B\nB --> [*]"
    actions = f'A: Shell "{command}" with result="left"{more}\nB: Shell "true"'
    run = await bench.run(bench.write("w", diagram, actions))
    left = psutil.Process(int(str(run.variables["left"])))
    assert left.is_running()
    left.kill()


async def test_what_is_detached_stays(bench: Bench) -> None:
    actions = 'A: Shell "sleep 60 & echo $!" with result="left" detach=true'
    run = await bench.run(bench.write("w", "[*] --> A\nA --> [*]", actions))
    left = psutil.Process(int(str(run.variables["left"])))
    assert left.is_running()
    left.kill()


async def test_the_end_of_a_run_leaves_the_commands_of_another_alone(bench: Bench) -> None:
    keeps = bench.write("keeps", "[*] --> A\nA --> B\nB --> [*]", (
        'A: Shell "sleep 60 & echo $!" with result="left"\n'
        'B: Run workflow "other" with left="${left}"'
    ))  # fmt: skip
    bench.write(
        "other",
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Shell "true"\nB: Shell "kill -0 ${left}"',
        front="parameters: [{name: left, required: true}]",
    )
    assert (await bench.run(keeps)).ending is Ending.COMPLETED


async def test_an_abort_file_ends_the_runs_that_began_before_it(bench: Bench) -> None:
    file = bench.folder / ABORT_FILE
    file.parent.mkdir()
    file.write_text("old")
    os.utime(file, (1, 1))
    workflow = bench.write("w", "[*] --> A\nA --> B\nB --> [*]", 'A: Log "a"\nB: Log "b"')
    assert (await bench.run(workflow)).ending is Ending.COMPLETED
    assert file.read_text() == "old"  # it is another's to delete
    actions = f'A: Shell "echo now > {ABORT_FILE}"\nB: Log "b"'
    aborts = bench.write("aborts", "[*] --> A\nA --> B\nB --> [*]", actions)
    run = await bench.run(aborts)
    assert run.ending is Ending.ABORTED and run.error is not None and run.error.message == "now"
    assert file.exists()


async def test_a_run_has_an_abort_file_of_its_own(bench: Bench) -> None:
    folder = bench.folder / OWN_ABORT_FILE
    folder.mkdir(parents=True)
    (folder / "another-run").write_text("not mine")

    def on_event(event: Event) -> None:
        if isinstance(event, RunStarted):
            (folder / event.run).write_text("mine")

    workflow = bench.write("w", "[*] --> A\nA --> [*]", 'A: Log "a"')
    run = await bench.runner(Told(), on_event).run(unchecked(workflow))
    assert run.ending is Ending.ABORTED and run.error is not None and run.error.message == "mine"
    assert [path.name for path in folder.iterdir()] == ["another-run"]


def test_an_interrupt_before_anything_is_imported_is_quiet(tmp_path: Path) -> None:
    # The program interrupts itself where its first import begins.
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "w.md"],
        cwd=tmp_path,
        env=environment(tmp_path) | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
