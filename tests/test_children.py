"""Programs that are spoken to: what they get, what is understood of them, and that none outlives us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from benchmarks.left_behind import stop_many

from samovar.processes import children as module
from samovar.processes.children import ChildProgram, ChildProgramError, ChildPrograms, ProgramToStart
from samovar.processes.given_variables import allowed
from samovar.processes.guard import Guard, is_guard
from samovar.processes.guard_program import marked, marked_by_ps
from tests.test_claude_code import is_running

pytestmark = pytest.mark.anyio
TIMEOUT_S = 60
ECHO = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)"
STUBBORN = """
import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(600)"])
print('{"numbers": [%d, %d]}' % (os.getpid(), child.pid), flush=True)
while True:
    time.sleep(60)
"""


def program(code: str, **more: Any) -> ProgramToStart:
    return ProgramToStart(
        words=(sys.executable, "-c", code), environment=allowed(), folder=Path.cwd(), **more
    )


async def heard(child: ChildProgram) -> dict[str, Any]:
    with anyio.fail_after(TIMEOUT_S):
        message = await child.receive()
    assert message is not None
    return message


async def test_what_is_said_comes_back_and_the_end_is_waited_for() -> None:
    async with ChildPrograms.open("r") as children:
        child = await children.start(program(ECHO))
        await child.send({"text": "ä\n"})
        assert await heard(child) == {"text": "ä\n"}
        await child.end()
        assert not is_running(child.number) and children.alive == 0
        with pytest.raises(ChildProgramError, match="does not hear"):
            await child.send({})
        assert await child.receive() is None


async def test_lines_that_are_no_objects_are_skipped_and_long_ones_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_LINE_BYTES", 100_000)
    code = "print('x')\nprint('[1]')\nprint('[' * 9000)\nprint('{\"a\": 1}')\nprint('y' * 200_000)"
    async with ChildPrograms.open("r") as children:
        child = await children.start(program(code))
        assert await heard(child) == {"a": 1}
        with pytest.raises(ChildProgramError, match="100000 bytes"):
            await child.receive()


async def test_only_the_end_of_the_standard_error_is_kept() -> None:
    code = "import sys\nsys.stderr.write('x' * 1_000_000 + ' the end')\nsys.exit(3)"
    async with ChildPrograms.open("r") as children:
        child = await children.start(program(code))
        said = await child.last_words()
        assert said.startswith("status 3, xxx") and said.endswith(" the end") and len(said) < 400


@pytest.mark.parametrize("before", ["", "x" * 10_000, "\\n" * 4068])
async def test_keys_that_a_program_was_given_are_not_in_its_last_words(before: str) -> None:
    key = "sk-ab-cdefghijklmn"
    code = f"import os, sys\nsys.stderr.write(os.environ['A_TOKEN'] + '{before}' + os.environ['A_TOKEN'])"
    words = (sys.executable, "-c", code)
    to_start = ProgramToStart(words=words, environment=allowed() | {"A_TOKEN": key}, folder=Path.cwd())
    async with ChildPrograms.open("r") as children:
        child = await children.start(to_start)
        said = await child.last_words()
        assert said.endswith("***") and not any(key[at : at + 4] in said for at in range(len(key) - 3))
        assert child.shown("y" * 490 + f"\n{key}") == "y" * 490 + " ***"


async def test_a_file_is_for_the_program_alone_and_gone_with_it() -> None:
    code = (
        "import json, os, sys\n"
        "mode = os.stat(os.path.dirname(sys.argv[1])).st_mode & 0o777\n"
        "found = {'text': open(sys.argv[1]).read(), 'mode': mode}\n"
        "print(json.dumps(found | {'path': sys.argv[1]}), flush=True)"
    )
    words = (sys.executable, "-c", code, "{text}")
    to_start = ProgramToStart(words=words, environment=allowed(), folder=Path.cwd(), files={"text": "hidden"})
    async with ChildPrograms.open("r") as children:
        child = await children.start(to_start)
        found = await heard(child)
        assert (found["text"], found["mode"]) == ("hidden", 0o700)
        await child.end()
        assert not Path(found["path"]).exists()


async def test_a_program_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    async with ChildPrograms.open("r") as children:
        for words, folder in ((("/no/such",), tmp_path), ((sys.executable,), tmp_path / "none")):
            with pytest.raises(ChildProgramError, match="could not be started"):
                await children.start(ProgramToStart(words=words, environment={}, folder=folder))
        assert children.alive == 0
        assert list(temporary.iterdir()) == []


async def test_one_that_hears_no_signal_is_killed_with_all_that_it_has_started() -> None:
    async with ChildPrograms.open("r") as children:
        child = await children.start(program(STUBBORN))
        numbers = (await heard(child))["numbers"]
        assert all(is_running(number) for number in numbers)
        await child.end(0.0)
        assert not is_running(numbers[0])
    assert not is_running(numbers[1]), "it is in a session of its own"


async def test_one_that_is_still_listened_to_is_ended_all_the_same() -> None:
    async with anyio.create_task_group() as tasks, ChildPrograms.open("r") as children:
        child = await children.start(program(ECHO))
        tasks.start_soon(child.receive)
        await anyio.wait_all_tasks_blocked()
        await child.end()
        assert not is_running(child.number)


KILLED = """
import os, sys
from pathlib import Path
import anyio
from samovar.processes.children import ChildPrograms
sys.path.insert(0, os.environ["TESTS"])
from tests.test_children import STUBBORN, heard, program

async def main():
    async with ChildPrograms.open("r") as children:
        numbers = (await heard(await children.start(program(STUBBORN))))["numbers"]
        folder = next(iter(children._alive)).folder.name
        print(*numbers, folder, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sessions are found on Linux only")
def test_nothing_outlives_us_when_we_are_killed() -> None:
    root = str(Path(__file__).parent.parent)
    ours = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, env=os.environ | {"TESTS": root}
    )
    assert ours.stdout is not None
    head, child, folder = ours.stdout.readline().split()
    guards = [one for one in psutil.Process(ours.pid).children() if is_guard(one.cmdline())]
    assert len(guards) == 1 and Path(folder).exists()
    ours.send_signal(signal.SIGKILL)
    ours.wait(TIMEOUT_S)
    ours.stdout.close()
    left = [one for number in (int(head), int(child)) if (one := _process(number)) is not None]
    _, alive = psutil.wait_procs([*left, *guards], timeout=TIMEOUT_S)
    assert not alive and not Path(folder).exists()


COMMAND = """
import os, sys
from pathlib import Path
import anyio
from samovar.actions.outside import ThisMachine
from samovar.actions.process import Command
from samovar.actions.reached import VisitOf

LINE = sys.argv[2] + " sleep 600 & echo $! $$ >numbers.part; mv numbers.part numbers; sleep 600"

async def main():
    command = Command(
        text=LINE,
        words=("sh", "-c", LINE),
        environment={"PATH": os.environ["PATH"]},
        folder=Path(sys.argv[1]),
        is_guarded=True,
    )
    await ThisMachine().run_command(command, VisitOf(run="r", number=1))

anyio.run(main)
"""


@pytest.mark.parametrize("start", ["setsid", "env -u SAMOVAR_CHILDREN"])
def test_no_program_that_a_model_runs_outlives_us_when_we_are_killed(tmp_path: Path, start: str) -> None:
    """By its mark in a session of its own, and by its group without a mark."""
    ours = psutil.Popen([sys.executable, "-c", COMMAND, str(tmp_path), start])
    numbers = tmp_path / "numbers"
    for _ in range(TIMEOUT_S * 100):
        if numbers.exists():
            break
        with suppress(psutil.TimeoutExpired):
            assert ours.wait(0.01) is None
    guards = [one for one in ours.children() if is_guard(one.cmdline())]
    left = [psutil.Process(int(number)) for number in numbers.read_text().split()]
    ours.kill()
    ours.wait(TIMEOUT_S)
    _, alive = psutil.wait_procs([*left, *guards], timeout=TIMEOUT_S)
    assert len(guards) == 1 and not alive


def _process(number: int) -> psutil.Process | None:
    try:
        return psutil.Process(number)
    except psutil.NoSuchProcess:
        return None


async def test_a_guard_that_is_told_goodbye_ends_nothing(tmp_path: Path) -> None:
    guard = Guard()
    await guard.close()  # it was never started
    words = [sys.executable, "-c", "input()"]
    other = await anyio.open_process(words, start_new_session=True)
    await guard.watch("folder", str(tmp_path))
    await guard.watch("group", str(other.pid))
    await guard.forget("group", str(other.pid))
    await guard.close()
    assert other.returncode is None and tmp_path.exists()
    await other.aclose()  # which ends its input


def test_a_mark_is_found_with_and_without_proc() -> None:
    ours = os.environ | {"SAMOVAR_TEST_MARK": "a-b"}
    words = [sys.executable, "-c", "input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=ours, start_new_session=True) as process:
        for find in (marked, marked_by_ps) if shutil.which("ps") else (marked,):
            assert find({b"SAMOVAR_TEST_MARK=a-b"}) == [process.pid]
            assert find({b"SAMOVAR_TEST_MARK=a"}) == find(set()) == []
        process.kill()


async def test_a_guard_that_was_killed_keeps_nothing_from_being_started() -> None:
    async with ChildPrograms.open("r") as children:
        first = await children.start(program(ECHO))
        for one in psutil.Process().children():
            if is_guard(one.cmdline()):
                one.kill()
                one.wait(TIMEOUT_S)
        second = await children.start(program(ECHO))
        await second.send({"a": 1})
        assert await heard(second) == {"a": 1}
        await first.end()


@pytest.mark.slow
def test_runs_whose_executors_are_programs_leave_nothing_however_they_are_stopped() -> None:
    runs = stop_many(5, seed=3)
    assert [one for one in runs if one.wrong] == []
    assert sum(one.started for one in runs) > 5
