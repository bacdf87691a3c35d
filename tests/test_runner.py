"""The runner: whole workflows, from text to ending, on an executor that says what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from samovar.actions.outside import ThisMachine
from samovar.actions.question import NO, YES, Question, Reply
from samovar.errors import ModelNotFoundError, UsageError
from samovar.events import (
    Ending,
    Event,
    Logged,
    RunEnded,
    RunStarted,
    StateEntered,
    StateLeft,
    TransitionTaken,
    VisitStatus,
)
from samovar.generation import FinishReason, PromptEvaluating, TextGenerated, TokenCounts
from samovar.running.run import Run
from samovar.running.runner import RunnerSettings
from samovar.values import Record
from tests.bench import Bench, Told, paths, reply, statuses, unchecked

pytestmark = pytest.mark.anyio


LINE = """[*] --> A
A --> B
B --> [*]"""


async def test_a_run_goes_from_state_to_state_and_tells_it_in_order(bench: Bench) -> None:
    workflow = bench.write("w", LINE, 'A: Set n=1\nB: Log "n is ${n}"')
    run = await bench.run(workflow)
    assert run.ending is Ending.COMPLETED
    assert run.error is None
    assert statuses(run) == ["A success", "B success"]
    assert [type(event) for event in bench.events] == [
        RunStarted, StateEntered, StateLeft, TransitionTaken,
        StateEntered, Logged, StateLeft, TransitionTaken, RunEnded,
    ]  # fmt: skip
    assert bench.log == ["n is 1"]
    assert run.variables["n"] == 1
    assert run.duration_s is not None
    assert run.duration_s >= 0


async def test_the_executor_is_opened_once_for_the_run_and_closed(bench: Bench) -> None:
    executor = Told(["a", "b"])
    run = await bench.run(bench.write("w", LINE, 'A: Prompt "x"\nB: Prompt "y"'), executor)
    assert executor.opened == executor.closed == [run.id]
    assert [(request.run, request.visit) for request in executor.requests] == [(run.id, 1), (run.id, 2)]


async def test_a_prompt_gives_a_value_that_is_text_and_record(bench: Bench) -> None:
    diagram = """[*] --> Ask
    Ask --> Yes: answer.contains("yes") && answer.tokens == 2 && result.json.ok
    Ask --> No: default
    Yes --> [*]
    No --> [*]"""
    workflow = bench.write(
        "w",
        diagram,
        'Ask: Prompt "q" result="answer"\nYes: Log "${answer} ${answer.model} {{ answer.json.ok }}"',
    )
    answer = '{"ok": true, "said": "yes"}'
    run = await bench.run(workflow, Told([answer]))
    assert paths(run) == ["Ask", "Yes"]
    assert bench.log == [f"{answer} m.gguf true"]
    assert isinstance(run.variables["answer"], Record)
    figures = run.visits[0].figures
    assert figures is not None
    assert figures.options.max_tokens == 512
    assert run.tokens == TokenCounts(evaluated=3, reused=1, generated=2)
    assert [event.piece for event in bench.events if isinstance(event, TextGenerated)] == [answer]
    assert len(bench.told(PromptEvaluating)) == 1


async def test_prompts_come_from_the_library_with_arguments_and_the_system_prompt(bench: Bench) -> None:
    (bench.folder / "prompts").mkdir()
    (bench.folder / "prompts" / "greet.md").write_text("Hello {{ name }}, ${x}\n")
    (bench.folder / "prompts" / ".system.md").write_text("You serve {{ who }}.\n")
    actions = """A: Execute prompt "greet" with name="${who}"
    B: Execute prompt "greet" with name="B" using system="Short, ${who}." """
    executor = Told(["a", "b"])
    await bench.run(bench.write("w", LINE, actions), executor, who="Ann")
    said = [
        [(message.role, message.content) for message in request.messages] for request in executor.requests
    ]
    assert said == [
        [("system", "You serve Ann."), ("user", "Hello Ann, ${x}")],
        [("system", "Short, Ann."), ("user", "Hello B, ${x}")],
    ]
    executor = Told(["a"])
    one = "[*] --> A\nA --> [*]"
    await bench.run(
        bench.write("v", one, 'A: Prompt "x"', front='system: "Own, {{ who }}"'), executor, who="Ann"
    )
    assert executor.requests[0].messages[0].content == "Own, Ann"


async def test_options_models_and_seeds_are_handed_on(bench: Bench) -> None:
    actions = """A: Prompt "x"
    B: Prompt "y" using model="other" seed=9 session="chat" choices="yes|no" timeout=2s"""
    workflow = bench.write("w", LINE, actions, front="model: mine\nseed: 4\nlimits: {prompt_timeout: 30s}")
    executor = Told(["a", "b"])
    await bench.run(workflow, executor)
    first, second = executor.requests
    assert (first.model, first.options.sampling.seed, first.options.timeout_s, first.session) == (
        "mine",
        4,
        30,
        None,
    )
    assert (second.model, second.options.sampling.seed, second.session) == ("other", 9, "chat")
    assert second.options.choices == ("yes", "no")
    assert second.options.timeout_s == 2
    bench.settings = RunnerSettings(folder=bench.folder, model="forced", seed=1)
    executor = Told(["a", "b"])
    await bench.run(workflow, executor)
    assert [request.model for request in executor.requests] == ["forced", "forced"]
    assert executor.requests[1].options.sampling.seed == 9


async def test_the_seed_of_a_run_gives_each_visit_its_own_and_the_same_ones_again(bench: Bench) -> None:
    diagram = '[*] --> A\nA --> A: n != "4"\nA --> B: default\nB --> [*]'
    workflow = bench.write("w", diagram, 'A: Prompt "x" result="n"\nB: Prompt "x"', front="seed: 4")

    async def seeds(seed: int | None) -> list[int]:
        bench.settings = RunnerSettings(folder=bench.folder, seed=seed)
        executor = Told(["2", "3", "4", "5"])
        assert (await bench.run(workflow, executor, n="")).ending is Ending.COMPLETED
        return [request.options.sampling.seed for request in executor.requests]

    one = await seeds(1)
    assert len(set(one)) == 4 and all(0 <= seed < 2**32 for seed in one)
    assert await seeds(1) == one
    assert not set(one) & set(await seeds(2))
    assert await seeds(None) == [4, 4, 4, 4]


async def test_a_model_that_is_a_file_is_looked_for_beside_the_workflow(bench: Bench) -> None:
    (bench.folder / "m.gguf").write_bytes(b"x")
    executor = Told(["a", "b"])
    await bench.run(
        bench.write("w", LINE, 'A: Prompt "x" using model="m.gguf"\nB: Prompt "x" using model="n.gguf"'),
        executor,
    )
    assert [request.model for request in executor.requests] == [str(bench.folder / "m.gguf"), "n.gguf"]


async def test_a_prompt_that_times_out_is_a_failure_and_one_cut_off_is_a_warning(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B\nB --> C: failure\nC --> [*]"
    workflow = bench.write(
        "w", diagram, 'A: Prompt "x"\nB: Prompt "y" using timeout=3s\nC: Log "${error.kind}"'
    )
    executor = Told([reply("cut", FinishReason.LENGTH), reply("", FinishReason.TIMEOUT)])
    run = await bench.run(workflow, executor)
    assert statuses(run) == ["A success", "B failure", "C success"]
    assert any("max_tokens" in warning for warning in bench.warnings)
    assert bench.log == ["timeout"]


FAILING = 'A: Shell "echo why >&2; exit 3" with result="v"'


async def test_a_failure_that_no_transition_takes_fails_the_run_and_says_where(bench: Bench) -> None:
    run = await bench.run(bench.write("w", LINE, FAILING))
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert (run.error.code, run.error.state) == ("shell", "A")
    assert "status 3: why" in run.error.message
    assert run.error.place is not None
    assert run.error.place.path == bench.folder / "w.md"
    assert paths(run) == ["A"]


async def test_a_failure_edge_takes_the_failure_and_its_variables_say_what_it_was(bench: Bench) -> None:
    diagram = """[*] --> A
    A --> B: On Failure
    A --> [*]
    B --> C
    C --> [*]"""
    names = "${v.exit_code} ${error.kind} ${error.state} ${is_error} ${failure} ${success} ${stderr}"
    seen = f'B: Log "{names}"\nC: Log "${{is_error}}"'
    run = await bench.run(bench.write("w", diagram, f"{FAILING}\n{seen}"))
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["3 shell A false false true why\n", "false"]


async def test_on_error_continue_lets_any_edge_take_a_failure(bench: Bench) -> None:
    run = await bench.run(bench.write("w", LINE, FAILING, front="on_error: continue"))
    assert run.ending is Ending.COMPLETED
    assert statuses(run) == ["A failure", "B success"]


async def test_what_a_prompt_cannot_have_is_a_failure_of_its_state(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B: failure\nB --> [*]"
    executor = Told([ModelNotFoundError("There is no model x.")])
    await bench.run(bench.write("w", diagram, 'A: Prompt "x"\nB: Log "${error.kind}: ${result}"'), executor)
    assert bench.log == ["model-not-found: There is no model x."]
    assert executor.closed


async def test_a_loop_counts_and_ends(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> A: n < 5\nA --> [*]"
    run = await bench.run(bench.write("w", diagram, "A: Set n := n + 1"), n=0)
    assert (run.ending, run.variables["n"], run.transitions) == (Ending.COMPLETED, 5, 5)


async def test_no_true_transition_is_stuck_with_the_values_shown(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B: n > 3\nA --> [*]: n < 0\nB --> [*]"
    run = await bench.run(bench.write("w", diagram, "A: Set n := 1"))
    assert run.ending is Ending.STUCK
    assert run.error is not None
    assert "`n > 3` is false where n = 1" in run.error.message
    assert "`n < 0` is false" in run.error.message
    assert run.error.state == "A"


async def test_a_condition_with_an_unknown_variable_is_false_with_a_warning(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B: nn > 3\nA --> [*]\nB --> [*]"
    run = await bench.run(bench.write("w", diagram, "A: Set n := 1"))
    assert run.ending is Ending.COMPLETED
    assert any("'nn'" in warning and "'n'" in warning for warning in bench.warnings)


@pytest.mark.parametrize("action", ['Log "${n}"', "Set m := n + 1", 'Log "{{ n }}"'])
async def test_a_parameter_that_was_not_given_is_told_from_a_name_that_nothing_has(
    bench: Bench, action: str
) -> None:
    front = "parameters:\n  - name: n\n    type: number"
    run = await bench.run(bench.write("w", LINE, f"A: {action}", front))
    assert run.error is not None
    assert "The parameter 'n' was not given and has no default: add one" in run.error.message
    assert "`default(n, …)`" in run.error.message or '`{{ n | default: "…" }}`' in run.error.message
    # A workflow that another one runs has parameters of its own, and none of that one's.
    bench.write("child", LINE, f"A: {action}")
    run = await bench.run(bench.write("w", CALL, 'Sub: Run workflow "child"', front))
    assert run.error is not None
    assert "There is no variable 'n'." in run.error.message


async def test_result_that_was_set_by_name_is_kept_by_what_makes_nothing_new(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> D\nD --> E\nE --> [*]"
    actions = 'A: Set result="mine"\nB: Log "a log"\nC: Wait 0\nD: Log "${result}"\nE: Shell "echo new"'
    run = await bench.run(bench.write("w", diagram, actions))
    assert bench.log == ["a log", "mine"]
    assert run.variables["result"] == "new"


async def test_abort_ends_the_run(bench: Bench) -> None:
    run = await bench.run(bench.write("w", LINE, 'A: Abort "no way"'))
    assert run.ending is Ending.ABORTED
    assert run.error is not None
    assert (run.error.message, run.error.state) == ("no way", "A")
    assert paths(run) == ["A"]


LOOP = "[*] --> A\nA --> A"


@pytest.mark.parametrize("by_settings", [True, False])
async def test_transitions_are_limited(bench: Bench, by_settings: bool) -> None:
    front = "limits: {transitions: 50}" if by_settings else "limits: {transitions: 7}"
    if by_settings:
        bench.settings = RunnerSettings(folder=bench.folder, transitions=7)
    run = await bench.run(bench.write("w", LOOP, 'A: Log "x"', front=front))
    assert run.ending is Ending.LIMITED
    assert run.error is not None
    assert "more than 7 transitions" in run.error.message
    assert len(run.visits) == 8


async def test_duration_is_limited_also_in_a_loop_that_never_waits(bench: Bench) -> None:
    front = "limits: {duration: 300ms, transitions: 100000000}"
    run = await bench.run(bench.write("w", LOOP, 'A: Log "x"', front=front))
    assert run.ending is Ending.LIMITED
    assert run.error is not None
    assert "longer than 300 ms" in run.error.message
    executor = Told(waits=True)
    run = await bench.run(bench.write("v", LINE, 'A: Prompt "x"', front=front), executor)
    assert run.ending is Ending.LIMITED
    assert statuses(run) == ["A cancelled"]
    assert executor.cancelled == 1
    assert executor.closed


async def test_tokens_are_limited(bench: Bench) -> None:
    workflow = bench.write("w", LOOP, 'A: Prompt "x"', front="limits: {tokens: 5}")
    run = await bench.run(workflow, Told(["a"] * 9))
    assert run.ending is Ending.LIMITED
    assert statuses(run) == ["A success"] * 3


# Sub-workflows.

CALL = "[*] --> Sub\nSub --> B\nB --> [*]"


async def test_a_sub_workflow_has_its_own_variables_and_gives_them_back(bench: Bench) -> None:
    count = "  - name: count\n    type: number\n    required: true"
    front = f"parameters:\n{count}\n  - name: tone\n    default: plain"
    bench.write("child", LINE, 'A: Set sum := count + 1, _hidden="x"\nB: Log "${tone} ${sum}"', front=front)
    workflow = bench.write(
        "w", CALL, 'Sub: Run workflow "child" with count="4" result="r"\nB: Log "${r.sum} ${sum}"', front=""
    )
    run = await bench.run(workflow, sum="outer")
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["plain 5", "5 outer"]
    assert statuses(run) == ["Sub success", "Sub/A success", "Sub/B success", "B success"]
    child = run.variables["r"]
    assert isinstance(child, dict)
    assert "_hidden" not in child
    assert run.transitions == 4


async def test_a_sub_workflow_inherits_model_seed_and_limits_but_not_sessions(bench: Bench) -> None:
    bench.write("child", LINE, 'A: Prompt "x" using session="s"\nB: Prompt "y" using session="s"')
    workflow = bench.write(
        "w", CALL, 'Sub: Run workflow "child"\nB: Prompt "z" using session="s"', front="model: mine\nseed: 5"
    )
    executor = Told(["a", "b", "c"])
    await bench.run(workflow, executor)
    assert {request.model for request in executor.requests} == {"mine"}
    assert {request.options.sampling.seed for request in executor.requests} == {5}
    first, second, third = (request.session for request in executor.requests)
    assert first == second != third == "s"
    assert len(executor.opened) == 1


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ('A: Shell "exit 4"', "shell: The command ended with status 4."),
        ('A: Log "${nothing}"', "template: There is no variable 'nothing'"),
        ("A: Wait 10s", "timeout: Workflow 'child' took longer than its limit of 50 ms."),
    ],
)
async def test_a_sub_workflow_that_fails_fails_its_state_and_names_its_own(
    bench: Bench, child: str, said: str
) -> None:
    bench.write("child", LINE, child, front="limits: {duration: 50ms}" if "Wait" in child else "")
    diagram = "[*] --> Sub\nSub --> B: failure\nB --> [*]"
    actions = 'Sub: Run workflow "child"\nB: Log "${error.kind}: ${error.message}"'
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED
    assert said in bench.log[0]


async def test_what_a_sub_workflow_is_given_wrongly_is_a_failure(bench: Bench) -> None:
    bench.write("child", LINE, front="parameters:\n  - name: n\n    type: number\n    required: true")
    for call, said in (
        ('Run workflow "child"', "Required parameters are missing"),
        ('Run workflow "child" with n="x"', "'n'"),
        ('Run workflow "chidl"', "Did you mean 'child'"),
        ('Run workflow "child" with n=1 timeout="${t}"', "`timeout` must be a duration"),
    ):
        run = await bench.run(bench.write("w", CALL, f"Sub: {call}"), t="soon")
        assert run.ending is Ending.FAILED
        assert run.error is not None
        assert said in run.error.message
        assert run.error.place is not None


async def test_a_timeout_on_a_sub_workflow_is_a_failure(bench: Bench) -> None:
    bench.write("child", LINE, "A: Wait 10s")
    run = await bench.run(bench.write("w", CALL, 'Sub: Run workflow "child" with timeout=20ms'))
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert (run.error.code, run.error.message) == ("timeout", "Workflow 'child' took longer than 20 ms.")
    assert statuses(run) == ["Sub failure", "Sub/A cancelled"]


async def test_abort_and_the_limits_of_the_run_end_every_level(bench: Bench) -> None:
    bench.write("child", LINE, 'A: Abort "deep"')
    run = await bench.run(bench.write("w", CALL, 'Sub: Run workflow "child"'))
    assert run.ending is Ending.ABORTED
    assert run.error is not None
    assert run.error.state == "Sub/A"
    assert statuses(run) == ["Sub cancelled", "Sub/A success"]
    bench.write("long", LOOP, 'A: Log "x"')
    run = await bench.run(
        bench.write("v", CALL, 'Sub: Run workflow "long"', front="limits: {transitions: 5}")
    )
    assert run.ending is Ending.LIMITED


async def test_a_sub_workflows_own_limit_fails_only_its_state(bench: Bench) -> None:
    bench.write("long", LOOP, 'A: Log "x"', front="limits: {transitions: 3}")
    diagram = "[*] --> Sub\nSub --> B: failure\nB --> [*]"
    run = await bench.run(bench.write("w", diagram, 'Sub: Run workflow "long"\nB: Log "${error.message}"'))
    assert run.ending is Ending.COMPLETED
    assert bench.log[-1].startswith(
        "The workflow 'long' made more than 3 transitions. If it should continue:"
    )


async def test_a_circle_of_workflows_is_refused_with_the_chain(bench: Bench) -> None:
    bench.write("one", CALL, 'Sub: Run workflow "two"')
    bench.write(
        "two", CALL, 'Sub: Run workflow "${which}"', front="parameters:\n  - name: which\n    default: one"
    )
    run = await bench.run(bench.library.workflow(str(bench.folder / "one.md")))
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert "one → two → one" in run.error.message


async def test_depth_is_limited(bench: Bench) -> None:
    for number in range(4):
        bench.write(f"w{number}", CALL, f'Sub: Run workflow "w{number + 1}"', front="limits: {depth: 2}")
    bench.write("w4", LINE)
    run = await bench.run(bench.library.workflow(str(bench.folder / "w0.md")))
    assert run.ending is Ending.LIMITED
    assert run.error is not None
    assert "more than 2 deep" in run.error.message
    ok = await bench.run(bench.library.workflow(str(bench.folder / "w2.md")))
    assert ok.ending is Ending.COMPLETED


# Waiting, choice states, variables.


async def test_choice_states_act_unless_the_front_matter_says_not(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B: n == 1\nA --> [*]: default\nA --> C: n == 2\nB --> [*]\nC --> [*]"
    assert paths(await bench.run(bench.write("w", diagram, "A: Set n := 1"), n=2)) == ["A", "B"]
    old = bench.write("v", diagram, "A: Set n := 1", front="choice_states_act: false")
    run = await bench.run(old, n=2)
    assert paths(run) == ["A", "C"]
    assert run.visits[0].verb is None


async def test_waiting_for_a_user(bench: Bench) -> None:
    workflow = bench.write("w", LINE, 'A: Wait for user input "Go?"')
    assert (await bench.run(workflow)).ending is Ending.FAILED
    bench.settings = RunnerSettings(folder=bench.folder, yes=True)
    assert (await bench.run(workflow)).ending is Ending.COMPLETED
    asked: list[str] = []

    async def ask(question: Question) -> Reply:
        asked.append(f"{question.path}: {question.text}")
        return NO if len(asked) > 1 else YES

    bench.settings = RunnerSettings(folder=bench.folder, outside=ThisMachine(ask))
    assert (await bench.run(workflow)).ending is Ending.COMPLETED
    run = await bench.run(workflow)
    assert run.ending is Ending.FAILED and run.error is not None and run.error.code == "refused"
    assert asked == ["A: Go?"] * 2


async def test_variables_are_typed_and_checked_before_anything_runs(bench: Bench) -> None:
    front = "parameters:\n  - name: n\n    type: number\n    required: true"
    workflow = bench.write("w", LINE, 'A: Log "${n}"', front=front)
    executor = Told()
    for variables in ({}, {"n": "many"}):
        with pytest.raises(UsageError):
            await bench.run(workflow, executor, **variables)
    assert not executor.opened
    assert not bench.events
    await bench.run(workflow, n="5", extra="x")
    assert bench.log == ["5"]


async def test_a_value_is_never_an_action_a_template_or_a_condition(bench: Bench) -> None:
    evil = '" result="n" {{ n }} ${n} {% if %} || true'
    diagram = "[*] --> A\nA --> B: v == 'x'\nA --> [*]: default\nB --> [*]"
    workflow = bench.write("w", diagram, 'A: Prompt "say ${v}" result="answer"')
    executor = Told([evil])
    run = await bench.run(workflow, executor, v=evil)
    assert executor.requests[0].messages[-1].content == f"say {evil}"
    assert run.variables["answer"] == evil
    assert paths(run) == ["A"]


# Cancellation, and what comes out.


async def test_a_cancelled_run_is_recorded_once_and_the_cancellation_goes_on(bench: Bench) -> None:
    bench.write("child", LINE, 'A: Prompt "x"')
    workflow = bench.write("w", CALL, 'Sub: Run workflow "child"')
    executor = Told(waits=True)
    went_on = False
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                nonlocal went_on
                try:
                    await bench.runner(executor).run(unchecked(workflow))
                except asyncio.CancelledError:
                    went_on = True
                    raise

            tasks.start_soon(run)
            await executor.is_waiting.wait()
            tasks.cancel_scope.cancel()
    assert went_on
    assert executor.cancelled == 1
    assert executor.closed
    endings = [event.ending for event in bench.events if isinstance(event, RunEnded)]
    assert endings == [Ending.CANCELLED]
    left = {event.path: event.status for event in bench.events if isinstance(event, StateLeft)}
    assert left == {"Sub": VisitStatus.CANCELLED, "Sub/A": VisitStatus.CANCELLED}
    assert isinstance(bench.events[-1], RunEnded)


async def test_a_stopped_run_returns_its_record_as_cancelled(bench: Bench) -> None:
    workflow = bench.write("w", LINE, 'A: Prompt "x"')
    executor = Told(waits=True)
    runner = bench.runner(executor)
    records: list[Run] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                records.append(await runner.run(unchecked(workflow, {"a": 1})))

            tasks.start_soon(run)
            await executor.is_waiting.wait()
            runner.stop()
    (record,) = records
    assert record.ending is Ending.CANCELLED
    assert record.ending.exit_status == 130
    assert record.variables["a"] == 1
    assert statuses(record) == ["A cancelled"]
    assert executor.closed
    executor.waits = False
    executor.answers = iter(["fine"])
    assert (await runner.run(unchecked(workflow))).ending is Ending.COMPLETED


async def test_a_busy_loop_can_be_stopped(bench: Bench) -> None:
    workflow = bench.write("w", LOOP, 'A: Log "x"', front="limits: {transitions: 100000000}")
    runner = bench.runner(Told(), lambda event: None)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run, unchecked(workflow))
            await checkpoint()
            runner.stop()


class ObserverError(Exception):
    pass


@pytest.mark.parametrize(
    "kind", [RunStarted, StateEntered, TextGenerated, StateLeft, TransitionTaken, RunEnded]
)
async def test_an_exception_of_on_event_comes_out_after_everything_is_given_back(
    bench: Bench, kind: type[Event]
) -> None:
    workflow = bench.write("w", LINE, 'A: Prompt "x"')
    executor = Told(["a"])
    told: list[Event] = []

    def observe(event: Event) -> None:
        told.append(event)
        if isinstance(event, kind):
            raise ObserverError

    with anyio.fail_after(60), pytest.raises(ObserverError):
        await bench.runner(executor, observe).run(unchecked(workflow))
    assert executor.opened == executor.closed
    assert isinstance(told[-1], kind), "nothing is told after it"


async def test_a_defect_ends_the_run_as_failed_and_comes_out(bench: Bench) -> None:
    workflow = bench.write("w", LINE, 'A: Prompt "x"')
    executor = Told([ZeroDivisionError("defect")])
    with pytest.raises(ZeroDivisionError):
        await bench.run(workflow, executor)
    assert executor.closed
    (end,) = [event for event in bench.events if isinstance(event, RunEnded)]
    assert end.ending is Ending.FAILED
    assert end.error is not None
    assert end.error.code == "internal"


async def test_an_executor_that_cannot_be_opened_fails_the_run(bench: Bench) -> None:
    class Shut(Told):
        @asynccontextmanager
        async def open(self, run: str) -> AsyncIterator[Told]:
            if run:
                raise ModelNotFoundError("Nothing here.")
            yield self

    run = await bench.run(bench.write("w", LINE), Shut())
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert run.error.code == "model-not-found"


async def test_runs_of_one_runner_do_not_mix(bench: Bench) -> None:
    workflow = bench.write("w", "[*] --> A\nA --> A: n < 200\nA --> [*]", "A: Set n := n + 1")
    runner = bench.runner(Told(), lambda event: None)
    records: list[Run] = []

    async def run(start: int) -> None:
        records.append(await runner.run(unchecked(workflow, {"n": start})))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for start in range(0, 100, 10):
                tasks.start_soon(run, start)
    assert sorted(len(record.visits) for record in records) == [200 - start for start in range(90, -1, -10)]
    assert len({record.id for record in records}) == 10


async def test_what_the_older_system_left_behind_is_there_where_a_file_reads_it(bench: Bench) -> None:
    diagram = "[*] --> Ask\nAsk --> Tell\nTell --> [*]"
    actions = 'Ask: Prompt "x"\nTell: Log "${claude_response} ${last_action_result}"'
    run = await bench.run(bench.write("w", diagram, actions), Told(["hello"]))
    assert bench.log == ["hello true"]
    plain = await bench.run(bench.write("v", diagram, 'Ask: Prompt "x"'), Told(["hello"]))
    assert "claude_response" in run.variables
    assert "claude_response" not in plain.variables


async def test_an_abort_is_told_with_its_reason_filled_in(bench: Bench) -> None:
    actions = 'A: Set n := 3\nB: Abort "Enough after ${n}"'
    await bench.run(bench.write("w", "[*] --> A\nA --> B", actions))
    left = [event for event in bench.events if isinstance(event, StateLeft)]
    assert left[-1].what == "Enough after 3"
