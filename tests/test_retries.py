"""`retries` and `backoff`: an action is performed again after a failure that may pass, by the run's clock."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import yaml
from rich.console import Console

from samovar.actions import parse_action
from samovar.actions.base import Action
from samovar.actions.defaults import PromptDefaults
from samovar.actions.reached import VisitOf
from samovar.checks.checking import check_workflow
from samovar.cli.live import Lines
from samovar.errors import ContextError, FaultsError, ModelFetchError, Place
from samovar.events import AttemptFailed, Ending
from samovar.generation import FinishReason
from samovar.preflight.preview import preview
from samovar.running.runner import RunnerSettings
from samovar.running.wire import run_to_wire
from tests.bench import Bench, Idle, Told, reply, statuses
from tests.test_testing import Cases

pytestmark = pytest.mark.anyio
LINE = "[*] --> A\nA --> [*]"
HERE = Place(path=None, line=1)


@pytest.fixture
def idle() -> Idle:
    return Idle()


@pytest.fixture
def bench(tmp_path: Path, idle: Idle) -> Bench:
    bench = Bench(tmp_path)
    bench.settings = RunnerSettings(folder=tmp_path, outside=idle)
    return bench


def away() -> ModelFetchError:
    return ModelFetchError("The network is down.")


ASK = 'A: Prompt "x" result="v" retries=3 backoff=2s using temperature=0.5'


async def test_a_failure_that_may_pass_is_tried_again_after_waits_that_double(
    bench: Bench, idle: Idle
) -> None:
    told = Told([away(), reply("late", FinishReason.TIMEOUT), away(), "good"])
    run = await bench.run(bench.write("w", LINE, ASK), told)
    assert (run.ending, run.variables["v"]) == (Ending.COMPLETED, "good")
    assert idle.waits == [2, 4, 8]
    failed = run.visits[0].attempts
    assert [(one.error.code, one.wait_s) for one in failed] == [
        ("model-fetch", 2),
        ("timeout", 4),
        ("model-fetch", 8),
    ]
    assert [type(event) for event in bench.told(AttemptFailed)] == [AttemptFailed] * 3
    assert run.tokens.generated == 4  # two of the answer that came too late
    wire = run_to_wire(run)["states"][0]["attempts"]
    assert wire[0]["error"]["message"] == "The network is down."


async def test_after_the_last_attempt_the_state_fails_as_that_did(bench: Bench, idle: Idle) -> None:
    run = await bench.run(bench.write("w", LINE, ASK), Told([away() for _ in range(4)]))
    assert run.error is not None and run.error.code == "model-fetch"
    assert len(idle.waits) == len(run.visits[0].attempts) == 3


async def test_a_failure_that_does_not_pass_is_not_tried_again(bench: Bench, idle: Idle) -> None:
    told = Told([ContextError(prompt_tokens=9, context_tokens=8), "never"])
    run = await bench.run(bench.write("w", LINE, ASK), told)
    assert run.error is not None and run.error.code == "context" and idle.waits == []


async def test_an_answer_that_is_cut_off_from_its_form_is_not_asked_for_again(
    bench: Bench, idle: Idle
) -> None:
    cut = replace(reply('{"a":', FinishReason.LENGTH), cut="text")
    run = await bench.run(bench.write("w", LINE, ASK + ' schema="{a: text}"'), Told([cut, "never"]))
    assert run.error is not None and run.error.code == "cut-off" and idle.waits == []


async def test_each_attempt_has_a_seed_of_its_own_unless_the_prompt_says_one(bench: Bench) -> None:
    for own, distinct in (("", 3), (" seed=7", 1)):
        told = Told([away(), away(), "good"])
        await bench.run(bench.write("w", LINE, ASK + own), told)
        assert len({request.options.sampling.seed for request in told.requests}) == distinct


async def test_answers_that_did_not_pass_are_asked_for_from_the_beginning(bench: Bench, idle: Idle) -> None:
    told = Told(["a", "b", "good"])
    actions = 'A: Prompt "x" retries=1 using verify="grep -q good" repairs=1 temperature=1'
    run = await bench.run(bench.write("w", LINE, actions), told)
    assert run.ending is Ending.COMPLETED
    texts = [request.messages[-1].content[:6] for request in told.requests]
    assert texts == ["x", "Your a", "x"]
    assert [one.wait_s for one in run.visits[0].attempts] == [None, 1.0]


COMMAND = "echo x >> tries; test $(wc -l < tries) -ge 3"


async def test_a_command_that_may_be_run_again_is(bench: Bench, idle: Idle) -> None:
    actions = f'A: Shell "{COMMAND}" retry_safe=true retries=5 backoff=0'
    run = await bench.run(bench.write("w", LINE, actions), Told())
    assert run.ending is Ending.COMPLETED, run.error
    assert len((bench.folder / "tries").read_text().splitlines()) == 3 and idle.waits == [0, 0]


async def test_a_command_that_cannot_be_started_is_not_tried_again(bench: Bench, idle: Idle) -> None:
    actions = 'A: Command ["there-is-no-such-program"] retry_safe=true retries=5'
    run = await bench.run(bench.write("w", LINE, actions), Told())
    assert run.ending is Ending.FAILED and idle.waits == []


async def test_the_time_limit_is_that_of_each_attempt(bench: Bench, idle: Idle) -> None:
    actions = 'A: Command ["sleep", "600"] retry_safe=true timeout=10ms retries=2 backoff=1s'
    run = await bench.run(bench.write("w", LINE, actions), Told())
    assert run.error is not None and run.error.code == "timeout" and idle.waits == [1, 2]


async def test_a_workflow_is_run_again_if_its_failure_may_pass(bench: Bench, idle: Idle) -> None:
    bench.write("child", LINE, 'A: Prompt "x" result="v"', "returns: v")
    workflow = bench.write("w", LINE, 'A: Run workflow "child" result="v" retries=2')
    run = await bench.run(workflow, Told([away(), "good"]))
    assert (run.ending, run.variables["v"]) == (Ending.COMPLETED, "good")
    assert statuses(run) == ["A success", "A/A failure", "A/A success"]
    lost = await bench.run(workflow, Told([ContextError(prompt_tokens=9, context_tokens=8)]))
    assert lost.ending is Ending.FAILED and idle.waits == [1]


async def test_tags_around_an_action_keep_its_retries(bench: Bench, idle: Idle) -> None:
    actions = 'A: {% if n %}Prompt "x" retries=1{% else %}Log "x"{% endif %}'
    run = await bench.run(
        bench.write("w", LINE, actions, "parameters: [{name: n}]"), Told([away(), "y"]), n=1
    )
    assert run.ending is Ending.COMPLETED and idle.waits == [1]


async def test_how_often_and_how_long_may_be_values(bench: Bench, idle: Idle) -> None:
    front = "parameters: [{name: n}, {name: wait}]"
    workflow = bench.write("w", LINE, 'A: Prompt "x" retries="${n}" backoff="${wait}"', front)
    await bench.run(workflow, Told([away()] * 9), n=2, wait="200s")
    assert idle.waits == [200, 300]  # 5 minutes at most
    for n, wait, message in (
        ("many", "1s", "`retries` must be a whole number"),
        (1, "soon", "`backoff` must be a duration"),
    ):
        run = await bench.run(workflow, Told(), n=n, wait=wait)
        assert run.error is not None and run.error.message.startswith(message)


async def test_a_run_that_is_cancelled_while_it_waits_ends_at_once(bench: Bench) -> None:
    waiting = anyio.Event()

    class Endless(Idle):
        async def sleep(self, duration_s: float, at: VisitOf) -> None:
            waiting.set()
            await anyio.sleep_forever()

    bench.settings = RunnerSettings(folder=bench.folder, outside=Endless())
    workflow, scopes, told = bench.write("w", LINE, ASK), list[anyio.CancelScope](), Told([away(), "never"])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                with anyio.CancelScope() as scope:
                    scopes.append(scope)
                    await bench.run(workflow, told)

            tasks.start_soon(run)
            await waiting.wait()
            scopes[0].cancel()
    assert len(told.requests) == 1
    assert [str(event.status) for event in bench.events if hasattr(event, "status")] == ["cancelled"]


EACH = 'A: Prompt "${x}" for each x in ["a", "b"] at_once=1 result="v" '


async def test_each_item_of_a_list_is_tried_again_by_itself(bench: Bench, idle: Idle) -> None:
    told = Told(["one", away(), reply("late", FinishReason.TIMEOUT), "two"])
    run = await bench.run(bench.write("w", LINE, EACH + "retries=3"), told)
    assert (run.ending, run.variables["v"]) == (Ending.COMPLETED, ["one", "two"])
    assert {visit.path: len(visit.attempts) for visit in run.visits} == {"A": 0, "A[0]": 0, "A[1]": 2}
    assert idle.waits == [1, 2]


async def test_the_answer_of_each_item_is_verified_and_repaired(bench: Bench) -> None:
    told = Told(["good", "bad", "good"])
    run = await bench.run(bench.write("w", LINE, EACH + 'using verify="grep -q good"'), told)
    assert (run.ending, run.variables["v"]) == (Ending.COMPLETED, ["good", "good"])
    assert [len(visit.attempts) for visit in run.visits] == [0, 0, 1]


# What is said.


async def test_a_line_says_what_failed_and_when_it_is_tried_again(bench: Bench) -> None:
    await bench.run(bench.write("w", LINE, ASK), Told([away(), "good"]))
    console = Console(file=io.StringIO(), width=200)
    lines = Lines(console, verbose=0)
    for event in bench.events:
        lines(event)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "↻ A  The network is down.  again in 2 s" in written
    assert written.count("good") == 1


async def test_an_answer_that_did_not_pass_is_not_shown_with_the_one_that_did(bench: Bench) -> None:
    actions = 'A: Prompt "x" using verify="grep -q good"'
    await bench.run(bench.write("w", LINE, actions), Told(["a first one", "good"]))
    console = Console(file=io.StringIO(), width=300)
    lines = Lines(console, verbose=0)
    for event in bench.events:
        lines(event)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "The answer was: a first one  repairing the answer" in written
    assert written.splitlines()[-1] == "    good"


# Before a run.


def codes(bench: Bench, actions: str, diagram: str = LINE, rest: str = "") -> list[str]:
    workflow = bench.write("w", diagram, actions, rest=rest)
    return [f"{one.severity} {one.code}" for one in check_workflow(workflow, bench.library)]


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ('Shell "make" retries=3', ["error not-repeatable"]),
        ('Shell "make" retries=0', []),
        ('Shell "make" retry_safe=true retries=3 backoff=2s', []),
        ('Command ["make"] with retries=3', ["error not-repeatable"]),
        ('Command ["make"] with retry_safe=true retries=3', []),
        ('Write "a" append value="x" retries=3', ["error not-repeatable"]),
        ('Write "a" value="x" retries=3', []),
        ('Read "a" retries=3 timeout=2s', []),
        ('Prompt "x" retries=3', ["warning same-answer"]),
        ('Prompt "x" using retries=3 temperature=0', ["warning same-answer"]),
        ('Prompt "x" using retries=3 temperature=0.7', []),
        ('Prompt "x" using retries=3 temperature=0.7 seed=1', ["warning same-answer"]),
        ('Prompt "x" retries=0', []),
        ('Run workflow "careful" retries=1', []),
        ('Command ["x", "${x}"] for each x in ["a"] retries=1', ["error not-repeatable"]),
        ('Command ["x", "--", "${x}"] for each x in ["a"] retries=1 retry_safe=true', []),
        ('Run workflow "careless" retries=1', ["error not-repeatable"]),
        ('Run workflow "outer" retries=1', ["error not-repeatable"]),
        ('Run workflow "${default(n, 1)}" retries=1', ["error not-repeatable"]),
    ],
)
def test_check_knows_what_may_be_repeated(bench: Bench, action: str, found: list[str]) -> None:
    bench.write("careful", LINE, 'A: Shell "x" retry_safe=true')
    bench.write("careless", LINE, 'A: Shell "x"')
    bench.write("outer", LINE, 'A: Run workflow "careless"')
    assert [one for one in codes(bench, f"A: {action}") if "unset" not in one] == found


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ('Log "x" retries=-1', "`retries` must be a whole number from 0 to 100."),
        pytest.param(
            f'Log "x" retries={"9" * 5000}', "`retries` must be a whole number from 0 to 100.", id="very long"
        ),
        ('Log "x" retries=1.5', "`retries` must be a whole number from 0 to 100."),
        ('Log "x" retries=2 backoff=soon', "`backoff` must be a duration, as in 2, 2s or 500ms."),
        ('Log "x" backoff=2s', "`backoff` needs `retries`, which is missing."),
        ('Prompt "x" retries=1 using retries=2', "'retries' is given twice."),
        ('Log "x" timeout=2s timeout=3s', "'timeout' is given twice."),
        ('Log "x" timeout=2s retrys=3', "Did you mean 'retries'?"),
        ('Shell "x" retry_safe=true retires=2', "Did you mean 'retries'?"),
        ('Ask "x" bakcoff=2s', "Did you mean 'backoff'?"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(action: str, message: str) -> None:
    with pytest.raises(FaultsError) as caught:
        parse_action(action, HERE)
    assert message in caught.value.faults[0].message


def test_any_action_takes_them_with_its_time_limit() -> None:
    lines = (
        'Log "x"', 'Set a="x"', "Wait 5 s", 'Abort "x"', 'Ask "x"', 'Approve "x"', 'Read "a"', 'Find "a"',
        'Write "a" value="b"', 'Shell "x"', 'Command ["x"]', 'Prompt "x" result="v"', 'Run workflow "x"',
    )  # fmt: skip
    for line in lines:
        action = parse_action(f"{line} retries=3 timeout=5s backoff=1s", HERE)
        assert isinstance(action, Action) and action.retries is not None and action.timeout is not None, line
        assert action.retries.text == "retries=3 backoff=1s"


def test_a_parameter_of_that_name_is_not_hidden_in_silence(bench: Bench) -> None:
    rest = "## Prompts\n\n### p\n\n---\nparameters: [{name: retries, default: 1}]\n---\n\n{{ retries }}\n"
    found = codes(bench, 'A: Execute prompt "p" with retries=2 using temperature=1', rest=rest)
    assert found == ["warning missing-argument"]


def test_a_dry_run_says_so(bench: Bench) -> None:
    workflow = bench.write("w", LINE, 'A: Shell "x" retry_safe=true retries=2')
    (state,) = preview(workflow, {}, bench.library, PromptDefaults())
    assert (state.retries, state.is_repeatable) == ("retries=2", True)


# Cases and recordings.


def test_a_case_tells_each_attempt_and_its_time_passes_at_once(tmp_path: Path) -> None:
    cases = Cases(tmp_path)
    actions = 'A: Prompt "x" result="v" retries=2 backoff=1h using temperature=1\nB: Wait 1 s'
    tree = cases.write("[*] --> A\nA --> B\nB --> [*]", actions)
    ok = """
answers: {A: [{error: model-fetch}, {error: timeout}, good]}
expect: {path: [A, B], variables: {v: good}}
"""
    result = cases.result(tree, ok)
    assert result.passed, result.differences
    late = cases.result(tree, ok + "limits: {duration: 2h}\n")
    assert "limit" in late.differences[0].message
    other = cases.result(tree, "answers: {A: {error: context}}\nexpect: {error: context}")
    assert other.passed, other.differences


def test_a_case_tells_the_attempts_of_an_item_by_its_path(tmp_path: Path) -> None:
    cases = Cases(tmp_path)
    tree = cases.write(LINE, EACH + 'retries=1 using verify="t" temperature=1')
    case = """
answers: {"A[0]": good, "A[1]": [{error: timeout}, bad, good]}
commands: {"A[0]": ok, "A[1]": [{exit_code: 1}, ok]}
expect: {variables: {v: [good, good]}}
"""
    result = cases.result(tree, case)
    assert result.passed, result.differences


def test_a_list_within_a_composite_cannot_begin_again(bench: Bench) -> None:
    diagram = "[*] --> A\nstate A {\n[*] --> B\nB --> [*]\n}\nA --> [*]"
    found = codes(bench, 'A: For each x in ["a"] retries=2\nB: Log "${x}"', diagram)
    assert found == ["error not-repeatable"]


def test_a_recorded_run_has_every_attempt(tmp_path: Path) -> None:
    cases, path = Cases(tmp_path), tmp_path / "w.test.yaml"
    tree = cases.write(LINE, f'A: Shell "{COMMAND}" retry_safe=true retries=2 backoff=0')
    run, doubts = cases.record(tree, lambda messages: "", path)
    assert (run.ending, doubts) == (Ending.COMPLETED, [])
    told = yaml.safe_load(path.read_text())["cases"][0]["commands"]["A"]
    assert [one["exit_code"] for one in told[:2]] == [1, 1] and told[2] == ""
