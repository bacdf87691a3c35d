"""`finally`: the state that is performed at every ending, which stays what it was."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from anyio.lowlevel import checkpoint

from samovar.actions.outside import ThisMachine
from samovar.cli.checking import faults_of
from samovar.errors import FaultsError
from samovar.events import Ending
from samovar.preflight.preview import preview
from samovar.running.run import Run
from samovar.running.runner import RunnerSettings, first_defaults
from samovar.testing.case_file import parse_cases
from samovar.testing.clock import SimulatedClock
from samovar.testing.paths import Tree
from samovar.testing.trial import run_case
from tests.bench import Bench, Told, paths, statuses, text_of, unchecked

pytestmark = pytest.mark.anyio

LINE = "state Clean\n[*] --> A\nA --> B\nB --> C\nC --> [*]"
TELL = "Clean: Log \"{{ error.kind | default: 'fine' }}: {{ error.message | default: '' }}\""
FRONT = "finally: Clean"


@pytest.mark.parametrize(
    ("action", "front", "ending", "said"),
    [
        ('Log "a"', "", Ending.COMPLETED, "fine: "),
        ('Shell "exit 3"', "", Ending.FAILED, "shell: The command ended with status 3."),
        ('Abort "enough"', "", Ending.ABORTED, "aborted: enough"),
        (
            'Log "a"',
            "limits: {transitions: 1}",
            Ending.LIMITED,
            "limit: The run made more than 1 transition.",
        ),
        ("Wait 1 h", "limits: {duration: 10ms}", Ending.LIMITED, "limit: The run took longer than 10 ms"),
        ('Prompt "a"', "limits: {tokens: 1}", Ending.LIMITED, "limit: The run generated 2 tokens"),
    ],
)
async def test_it_is_performed_at_every_ending_and_may_read_why(
    action: str, front: str, ending: Ending, said: str, bench: Bench
) -> None:
    run = await bench.run(bench.write("w", LINE, f"A: {action}\n{TELL}", f"{FRONT}\n{front}"), Told(["x"]))
    assert run.ending is ending
    assert bench.log[-1].startswith(said), bench.warnings
    assert statuses(run)[-1] == "Clean success"
    assert [type(event).__name__ for event in bench.events][-1] == "RunEnded"
    if run.error is not None:
        assert run.error.message in bench.log[-1]


async def test_it_is_performed_where_a_run_is_stuck(bench: Bench) -> None:
    run = await bench.run(
        bench.write("w", LINE.replace("A --> B", "A --> B: n == 1"), f"A: Set n := 2\n{TELL}", FRONT)
    )
    assert run.ending is Ending.STUCK
    assert bench.log[0].startswith("stuck: No transition")


async def stopped(bench: Bench, actions: str, clean: str, turns: int = 20) -> Run:
    """A run that is stopped while its first state waits."""
    runner = bench.runner(Told(waits=True))
    records: list[Run] = []

    async def run() -> None:
        records.append(await runner.run(unchecked(bench.write("w", LINE, f"A: {actions}\n{clean}", FRONT))))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            for _ in range(turns):
                await checkpoint()
            runner.stop()
    return records[0]


async def test_a_stopped_run_performs_it_to_its_end_before_it_is_cancelled(bench: Bench) -> None:
    run = await stopped(bench, 'Prompt "a"', 'Clean: Shell "echo ${error.kind}" result="x"')
    assert run.ending is Ending.CANCELLED
    assert statuses(run) == ["A cancelled", "Clean success"]
    assert "x" not in run.variables


async def test_it_ends_by_its_own_time_limit_or_that_of_all_such_states(bench: Bench) -> None:
    run = await stopped(bench, 'Prompt "a"', "Clean: Wait 1 h timeout=10ms")
    assert (run.ending, statuses(run)[-1]) == (Ending.CANCELLED, "Clean failure")
    assert "longer than 10 ms" in bench.warnings[-1]
    machine = ThisMachine()
    machine.clock = SimulatedClock()
    bench.settings = replace(bench.settings, outside=machine)
    run = await bench.run(bench.write("v", LINE, "Clean: Wait 1 h", FRONT))
    assert (run.ending, statuses(run)[-1]) == (Ending.COMPLETED, "Clean cancelled")
    assert "longer than 30 s" in bench.warnings[-1]
    assert machine.clock.time_s() == 30


async def test_what_fails_in_it_is_a_warning_and_the_ending_stays(bench: Bench) -> None:
    actions = 'A: Set result="r"\nClean: Shell "exit 4"'
    run = await bench.run(bench.write("w", LINE, actions, FRONT))
    assert (run.ending, run.error, run.result) == (Ending.COMPLETED, None, "r")
    assert statuses(run)[-1] == "Clean failure"
    assert "'Clean' of `finally` failed: The command ended with status 4." in bench.warnings[-1]
    run = await bench.run(bench.write("v", LINE, 'A: Shell "exit 3"\nClean: Shell "exit 4"', FRONT))
    assert run.error is not None
    assert (run.ending, run.error.state) == (Ending.FAILED, "A")


async def test_what_it_answers_and_sets_is_not_the_result_of_the_run(bench: Bench) -> None:
    run = await bench.run(
        bench.write("w", LINE, 'A: Prompt "a"\nClean: Prompt "b" result="c"', FRONT), Told(["one", "two"])
    )
    assert run.result == "one"
    assert "c" not in run.variables
    run = await bench.run(
        bench.write("v", LINE, 'A: Prompt "a"\nClean: Set result="b"', FRONT), Told(["one"])
    )
    assert run.result == "one"


async def test_a_sub_workflow_has_its_own_before_that_of_its_caller(bench: Bench) -> None:
    bench.write("child", LINE, f'A: Shell "exit 3"\n{TELL}', FRONT)
    run = await bench.run(bench.write("w", LINE, f'A: Run workflow "child"\n{TELL}', FRONT))
    assert run.ending is Ending.FAILED
    assert paths(run) == ["A", "A/A", "A/Clean", "Clean"]
    assert bench.log == ["shell: The command ended with status 3."] * 2


async def test_a_sub_workflow_that_is_out_of_time_performs_it(bench: Bench) -> None:
    bench.write("child", LINE, f"A: Wait 1 h\n{TELL}", FRONT)
    run = await bench.run(bench.write("w", LINE, 'A: Run workflow "child" timeout=10ms'))
    assert run.ending is Ending.FAILED
    assert bench.log == ["timeout: Workflow 'child' took longer than 10 ms."]


async def test_it_may_run_a_workflow(bench: Bench) -> None:
    bench.write("child", "[*] --> A\nA --> [*]", 'A: Log "cleaned after ${why}"', "parameters: [{name: why}]")
    clean = 'Clean: Run workflow "child" with why="${error.kind}"'
    run = await bench.run(bench.write("w", LINE, f'A: Abort "x"\n{clean}', FRONT))
    assert run.ending is Ending.ABORTED
    assert bench.log == ["cleaned after aborted"]


async def test_what_a_listener_raises_is_not_followed_by_it(bench: Bench) -> None:
    class OddError(Exception):
        pass

    def listen(event: object) -> None:
        raise OddError

    runner = bench.runner(Told(), listen)
    with pytest.raises(OddError):
        await runner.run(unchecked(bench.write("w", LINE, TELL, FRONT)))
    assert not bench.log


@pytest.mark.parametrize(
    ("diagram", "actions", "said"),
    [
        (LINE, "Clean: Set x := 1\nA: Log 'a'", "sets (x) is lost"),
        (LINE.replace("Clean", "Cleen"), "", "Did you mean 'Cleen'?"),
        (LINE, "", "has no action"),
        (LINE + "\nB --> Clean: failure\nClean --> [*]", TELL, "alone in the diagram"),
        (LINE + "\nClean --> [*]", TELL, "alone in the diagram"),
        (LINE.replace("state Clean", "state Clean <<join>>"), TELL, "alone in the diagram"),
        (LINE + "\nstate C {\n[*] --> Clean\n}\nA --> C: n == 1", TELL, "alone in the diagram"),
        (LINE, "Clean: Abort 'x'", "cannot abort"),
    ],
)
def test_what_such_a_state_cannot_be_is_found_before_the_run(
    diagram: str, actions: str, said: str, bench: Bench
) -> None:
    try:
        found = bench.write("w", diagram, actions, FRONT).warnings
    except FaultsError as error:
        found = error.faults
    (fault,) = (one for one in found if one.code == "finally")
    assert said in fault.message
    assert fault.place.line == 2


def test_such_a_state_is_not_unreachable_and_its_dry_run_knows_nothing_for_sure(bench: Bench) -> None:
    workflow = bench.write(
        "w", LINE, 'B: Set n := 2\nClean: Log "${n}"', FRONT + "\nparameters: [{name: n, default: 1}]"
    )
    assert not workflow.warnings
    shown = preview(workflow, {"n": 1}, bench.library, first_defaults(workflow, RunnerSettings()))
    assert {one.name: one.what for one in shown} == {"B": "n := 2", "Clean": "${n}"}


def test_cases_have_it_in_their_path_and_their_coverage(bench: Bench) -> None:
    workflow = bench.write("w", LINE, 'A: Shell "make"\nClean: Shell "rm -r build"', FRONT)
    tree = Tree(workflow, bench.library)
    text = (
        "cases:\n  - name: one\n    commands: {A: {exit_code: 1}, Clean: ''}\n"
        "    expect: {error: {code: shell, state: A}, path: [A, Clean]}\n"
    )
    file = parse_cases(text, bench.folder / "w.test.yaml")
    result = anyio.run(run_case, file.cases[0], tree, bench.library)
    assert result.passed, result.differences


def test_in_a_case_a_branch_that_is_cancelled_performs_it_in_the_time_of_the_case(bench: Bench) -> None:
    bench.write("child", LINE, "A: Wait 1 h\nClean: Shell 'rm x' timeout=1min", FRONT)
    diagram = """state F <<fork>>
    state J <<join>>
    [*] --> F
    F --> A
    F --> B
    F --> C
    A --> J
    B --> J
    C --> J
    J --> [*]"""
    actions = 'A: Wait 1 s\nB: Run workflow "child"\nC: Run workflow "child"\nJ: Join first'
    tree = Tree(bench.write("w", diagram, actions), bench.library)
    left = "{B/Clean: {stdout: '', takes: 10s}, C/Clean: {stdout: '', takes: 20s}}"
    text = (
        f"cases:\n  - name: one\n    commands: {left}\n"
        "    expect: {path: [F, A, B, B/A, B/Clean, C, C/A, C/Clean, J]}\n"
    )
    file = parse_cases(text, bench.folder / "w.test.yaml")
    result = anyio.run(run_case, file.cases[0], tree, bench.library)
    assert result.passed, result.differences


def test_a_misspelt_state_is_one_error_and_nothing_else(bench: Bench) -> None:
    path = bench.folder / "w.md"
    for name in ("Cleen", "Tidy"):
        path.write_text(text_of(LINE, f'A: Shell "true"\n{TELL}', f"finally: {name}"), encoding="utf-8")
        (fault,) = faults_of(path)
        assert fault.code == "finally" and f"names the state {name!r}" in fault.message
