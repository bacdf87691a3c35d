"""Forks while they run: branches at once, what they leave at the join, and how they end together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions.outside import ThisMachine
from samovar.actions.question import YES, Question, Reply
from samovar.engines.base import ModelSpec
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import EngineError
from samovar.events import Ending, Event, RunEnded, StateEntered, StateLeft, TransitionTaken, Warned
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.generation import Message
from samovar.language.names import BUILT_IN
from samovar.running.branches import Claims, merge
from samovar.running.run import Run
from samovar.running.runner import RunnerSettings
from samovar.running.wire import run_to_wire
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from samovar.values import Record
from tests.bench import Bench, Together, Told, paths, reply, statuses, unchecked

pytestmark = pytest.mark.anyio

BOTH = """state F <<fork>>
state J <<join>>
[*] --> F
F --> A
F --> B
A --> A2
A2 --> J
B --> J
J --> End
End --> [*]"""


class Held(Together):
    """Prompts with `slow` in them are only answered when `go` is set."""

    def __init__(self, slow: str = "slow") -> None:
        super().__init__()
        self.slow, self.go = slow, anyio.Event()

    async def hold(self, text: str) -> None:
        await checkpoint()
        if self.slow in text:
            await self.go.wait()


async def test_branches_are_answered_at_once_by_one_model(bench: Bench) -> None:
    arrived, all_here = 0, anyio.Event()

    async def pause() -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 2:
            all_here.set()
        await all_here.wait()

    async def locate(model: str, on_progress: OnFetchProgress) -> ModelSpec:
        return ModelSpec(reference=model, path=Path(model))

    def one_word(messages: Sequence[Message]) -> str:
        return messages[-1].content.upper()

    workflow = bench.write("w", BOTH, 'A: Prompt "a" result="x"\nB: Prompt "b" result="y"')
    with anyio.fail_after(60):
        async with Pool(ScriptedEngine(one_word, pause=pause), budget_bytes=1) as pool:
            sessions = Sessions(pool)
            run = await bench.run(workflow, LocalExecutor(sessions, locate, default_model="m"))
            assert pool.statistics().models[0].loads == 1
            sessions.check()
    assert run.ending is Ending.COMPLETED
    assert (run.variables["x"], run.variables["y"]) == ("A", "B")


async def test_each_branch_has_its_own_variables_until_the_join(bench: Bench) -> None:
    actions = """A: Set n := n + 1, a="1"
    A2: Log "A2 sees ${n} and {{ b | default: 'no b' }}"
    B: Set n := n, b := n + 10
    End: Log "${n} ${a} ${b}" """
    run = await bench.run(bench.write("w", BOTH, actions), n=5)
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["A2 sees 6 and no b", "6 1 15"]
    assert bench.warnings == []


async def test_the_result_at_the_join_is_a_record_by_first_state(bench: Bench) -> None:
    actions = """A: Prompt "a"
    A2: Prompt "then ${result}"
    B: Shell "echo b"
    J: Log "${result.A} / ${result.B}" """
    executor = Held()
    run = await bench.run(bench.write("w", BOTH, actions), executor)
    assert bench.log == ["re then re a / b"]
    assert paths(run) == ["F", "A", "B", "A2", "J", "End"]
    assert "stdout" not in run.variables, "names that actions set on their own are not merged"


async def test_two_values_for_one_name_are_a_warning_and_both_are_kept(bench: Bench) -> None:
    actions = """A: Set x="of A", same="s"
    B: Set x="of B", same="s"
    End: Log "${x} ${branches.A.x} ${branches.B.x}" """
    workflow = bench.write("w", BOTH, actions)
    run = await bench.run(workflow, x="before")
    assert bench.log == ["of B of A of B"]
    (warned,) = [event for event in bench.events if isinstance(event, Warned)]
    assert warned.message.startswith("The branches 'A' and 'B' changed 'x' to different values")
    assert "branches.A.x, branches.B.x" in warned.message
    assert warned.place == workflow.states["J"].place
    rest = {"same": "s", "ok": True, "cancelled": False}
    assert run.variables["branches"] == {"A": {"x": "of A", **rest}, "B": {"x": "of B", **rest}}


async def test_a_later_join_says_of_its_own_branches_only(bench: Bench) -> None:
    diagram = BOTH.replace("J --> End", "J --> F: n < 2\nJ --> End: default")
    actions = "A: Set x := 5\nB: Set x := n == 0 ? 6 : 5\nJ: Set n := n + 1\nEnd: Set seen := n"
    run = await bench.run(bench.write("w", diagram, actions), n=0)
    assert run.ending is Ending.COMPLETED
    assert len(bench.warnings) == 1, "of the first round"
    assert (run.variables["seen"], run.variables["x"]) == (2, 5)
    branch = {"x": 5, "ok": True, "cancelled": False}
    assert run.variables["branches"] == {"A": branch, "B": branch}


@pytest.mark.parametrize("answers", [("yes", "no"), ("yes", "yes")])
async def test_what_each_branch_set_is_always_there_behind_the_join(
    bench: Bench, answers: tuple[str, str]
) -> None:
    actions = 'A: Set v="{}"\nB: Set v="{}"\nEnd: Log "${{branches.A.v}} ${{branches.B.v}}"'.format(*answers)
    for front in ("", "parameters: [{name: v, default: 'yes'}]"):
        bench.events.clear()
        run = await bench.run(bench.write("w", BOTH, actions, front))
        assert run.ending is Ending.COMPLETED
        assert bench.log == [" ".join(answers)]


async def test_a_branch_that_set_nothing_is_there_too(bench: Bench) -> None:
    run = await bench.run(bench.write("w", BOTH, 'A: Log "a"'))
    assert run.variables["branches"] == {one: {"ok": True, "cancelled": False} for one in "AB"}


async def test_behind_a_join_that_took_a_failure_each_branch_says_how_it_ended(bench: Bench) -> None:
    diagram = BOTH.replace("J --> End", "J --> Bad: failure\nJ --> End: default\nBad --> [*]")
    actions = """A: Set a=1
    A2: Prompt "slow"
    B: Shell "exit 4"
    Bad: Set seen := [branches.A.a, branches.A.cancelled, branches.B.ok, branches.B.cancelled, exit_code] """
    run = await bench.run(bench.write("w", diagram, actions), Held())
    assert run.ending is Ending.COMPLETED
    assert run.variables["seen"] == [1, True, False, False, 4]
    assert "a" not in run.variables, "what the branches changed is given up"


async def test_a_failure_that_an_edge_to_the_join_took_may_be_read_there(bench: Bench) -> None:
    diagram = BOTH.replace("B --> J", "B --> J: failure\nB --> J: success")
    actions = """B: Shell "exit 4"
    J: Log "${error.state} ${exit_code} ${is_error} ${failure} ${branches.B.ok} ${branches.A.ok}"
    End: Log "{{ error.state | default: 'none' }} {{ exit_code | default: 'none' }}" """
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED
    assert bench.log[-1] == "none none"


async def test_a_fork_and_a_join_act_and_a_fork_that_fails_starts_nothing(bench: Bench) -> None:
    run = await bench.run(bench.write("w", BOTH, 'F: Set n="1"\nA: Log "${n}"\nJ: Log "met"'))
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["1", "met"]
    run = await bench.run(bench.write("v", BOTH, 'F: Shell "exit 3"'))
    assert (run.ending, paths(run)) == (Ending.FAILED, ["F"])


async def test_visits_say_their_branch_and_edges_are_told_in_order(bench: Bench) -> None:
    run = await bench.run(bench.write("w", BOTH))
    assert [(visit.path, visit.branch) for visit in run.visits] == [
        ("F", None), ("A", "A"), ("B", "B"), ("A2", "A"), ("J", None), ("End", None),
    ]  # fmt: skip
    assert [state.get("branch") for state in run_to_wire(run)["states"]] == [None, "A", "B", "A", None, None]
    taken = [(event.source, event.target) for event in bench.events if isinstance(event, TransitionTaken)]
    assert taken[:2] == [("F", "A"), ("F", "B")]
    assert sorted(taken[2:5], key=str) == [("A", "A2"), ("A2", "J"), ("B", "J")]
    assert run.transitions == len(taken) == 7


async def test_branches_that_wait_for_nothing_take_turns_in_the_same_order_each_time(bench: Bench) -> None:
    diagram = BOTH.replace("A --> A2", "A --> A: a < 100\nA --> A2: default")
    diagram = diagram.replace("B --> J", "B --> B: b < 100\nB --> J: default")
    workflow = bench.write("w", diagram, "A: Set a := a + 1\nB: Set b := b + 1")
    orders = [paths(await bench.run(workflow, a=0, b=0)) for _ in range(3)]
    assert orders[0] == orders[1] == orders[2]
    turns = [name for name, _ in groupby(path for path in orders[0] if path in ("A", "B"))]
    assert len(turns) > 4, "neither branch waits until the other has ended"


async def test_the_seeds_of_a_branch_do_not_depend_on_what_others_do_meanwhile(bench: Bench) -> None:
    diagram = BOTH.replace("B --> J", "B --> B2\nB2 --> J")
    actions = 'A: Prompt "a"\nA2: Prompt "aa"\nB: Prompt "b"\nB2: Prompt "bb"'
    workflow = bench.write("w", diagram, actions)
    bench.settings = RunnerSettings(folder=bench.folder, seed=1)
    seeds: list[dict[str, int]] = []
    for last in ("a", "b"):
        executor = Held(slow=last)

        def go_when_the_other_is_done(event: Event, executor: Held = executor, last: str = last) -> None:
            other = {"a": "B2", "b": "A2"}[last]
            if isinstance(event, StateLeft) and event.path == other:
                executor.go.set()

        with anyio.fail_after(60):
            await bench.runner(executor, go_when_the_other_is_done).run(unchecked(workflow))
        asked = {one.messages[-1].content: one.options.sampling.seed for one in executor.requests}
        seeds.append(asked)
    assert list(seeds[0]) != list(seeds[1])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0].values())) == 4


# How branches end.


async def test_a_branch_that_fails_cancels_the_others_and_the_run_says_where(bench: Bench) -> None:
    executor = Held()
    workflow = bench.write("w", BOTH, 'A: Prompt "slow"\nB: Prompt "bad"')
    run = await bench.run(workflow, executor)
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert (run.error.state, run.error.code) == ("B", "engine")
    assert statuses(run) == ["F success", "A cancelled", "B failure"]
    assert executor.given_up == ["slow"]
    assert (executor.most, executor.running) == (2, 0)
    assert executor.closed


async def test_a_failure_that_a_branch_takes_itself_cancels_nothing(bench: Bench) -> None:
    executor = Held()
    diagram = BOTH.replace("B --> J", "B --> J: success\nB --> Mend: failure\nMend --> J")
    actions = """A: Prompt "slow" result="a"
    B: Prompt "bad"
    Mend: Set mended="yes"
    End: Log "${success} ${is_error} ${a} ${mended}" """
    workflow = bench.write("w", diagram, actions)

    def go_when_mended(event: Event) -> None:
        bench.events.append(event)
        if isinstance(event, StateEntered) and event.state == "Mend":
            executor.go.set()

    with anyio.fail_after(60):
        run = await bench.runner(executor, go_when_mended).run(unchecked(workflow))
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["true false re slow yes"]


async def test_a_failure_that_a_branch_goes_on_after_is_known_behind_the_join(bench: Bench) -> None:
    diagram = BOTH.replace("J --> End", "J --> Bad: is_error\nJ --> End: success\nBad --> [*]")
    actions = 'B: Prompt "bad"\nBad: Log "${error.state} ${error.message}"\nJ: Log "${is_error}"'
    workflow = bench.write("w", diagram, actions, front="on_error: continue")
    run = await bench.run(workflow, Held())
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["true", "B It went wrong."]


async def test_a_branch_that_is_stuck_ends_the_run_as_stuck(bench: Bench) -> None:
    executor = Held()
    diagram = BOTH.replace("B --> J", "B --> J: n > 3")
    run = await bench.run(bench.write("w", diagram, 'A: Prompt "slow"'), executor, n=1)
    assert run.ending is Ending.STUCK
    assert run.error is not None
    assert run.error.state == "B"
    assert statuses(run) == ["F success", "A cancelled", "B success"]


async def test_an_abort_in_a_branch_ends_the_run(bench: Bench) -> None:
    run = await bench.run(bench.write("w", BOTH, 'A: Prompt "slow"\nB: Abort "enough"'), Held())
    assert run.ending is Ending.ABORTED
    assert run.error is not None
    assert (run.error.message, run.error.state) == ("enough", "B")
    assert statuses(run) == ["F success", "A cancelled", "B success"]


SPIN = BOTH.replace("B --> J", "B --> B: n < 100000000\nB --> J: default")


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("limits: {transitions: 30}", "more than 30 transitions"),
        ("limits: {duration: 300ms, transitions: 100000000}", "longer than 300 ms"),
        ("limits: {tokens: 9}", "of 9 (limits: tokens)"),
    ],
)
async def test_limits_cover_all_branches_together(bench: Bench, front: str, said: str) -> None:
    executor = Held()
    act = 'Prompt "quick"' if "tokens" in front else 'Log "x"'
    workflow = bench.write("w", SPIN, f'A: Prompt "slow"\nB: {act}', front=front)
    run = await bench.run(workflow, executor, n=0)
    assert run.ending is Ending.LIMITED
    assert run.error is not None
    assert said in run.error.message
    assert statuses(run)[1] == "A cancelled"
    assert executor.given_up == ["slow"]


async def test_a_stopped_run_ends_every_branch_and_gives_all_back(bench: Bench) -> None:
    executor = Held()
    workflow = bench.write("w", BOTH, 'A: Prompt "slow 1"\nB: Prompt "slow 2"')
    runner = bench.runner(executor)
    records: list[Run] = []

    async def run() -> None:
        records.append(await runner.run(unchecked(workflow)))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while executor.running < 2:
                await checkpoint()
            runner.stop()
    (record,) = records
    assert record.ending is Ending.CANCELLED
    assert statuses(record) == ["F success", "A cancelled", "B cancelled"]
    assert sorted(executor.given_up) == ["slow 1", "slow 2"]
    assert executor.closed == executor.opened
    assert isinstance(bench.events[-1], RunEnded)


@pytest.mark.parametrize("defect", [ZeroDivisionError, KeyboardInterrupt])
async def test_what_an_observer_raises_in_a_branch_comes_out_as_itself(
    bench: Bench, defect: type[BaseException]
) -> None:
    told: list[Event] = []

    def observe(event: Event) -> None:
        told.append(event)
        if isinstance(event, StateEntered) and event.state == "A2":
            raise defect

    executor = Held()
    workflow = bench.write("w", BOTH, 'B: Prompt "slow"')
    with anyio.fail_after(60), pytest.raises(defect):
        await bench.runner(executor, observe).run(unchecked(workflow))
    assert isinstance(told[-1], StateEntered), "nothing is told after it"
    assert executor.given_up == ["slow"]
    assert executor.closed


# Sub-workflows, people, sessions.


async def test_a_branch_may_run_a_workflow_that_forks_itself(bench: Bench) -> None:
    bench.write("child", BOTH, 'A: Prompt "slow ${n}" result="a"\nB: Prompt "b ${n}" result="b"')
    actions = """A: Run workflow "child" with n=1 result="one"
    B: Run workflow "child" with n=2 result="two"
    End: Log "${one.a}, ${two.a}" """
    executor = Held()
    workflow = bench.write("w", BOTH, actions)
    runner = bench.runner(executor)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run, unchecked(workflow))
            while executor.running < 2 or executor.most < 4:
                await checkpoint()
            executor.go.set()
    assert bench.log == ["re slow 1, re slow 2"]
    entered = [event for event in bench.events if isinstance(event, StateEntered)]
    assert {(event.path, event.branch) for event in entered if event.path.startswith("A/")} == {
        ("A/F", "A"), ("A/A", "A"), ("A/B", "B"), ("A/A2", "A"), ("A/J", "A"), ("A/End", "A"),
    }  # fmt: skip


async def test_a_user_is_asked_one_thing_at_a_time(bench: Bench) -> None:
    asked: list[str] = []
    asking = 0

    async def ask(question: Question) -> Reply:
        nonlocal asking
        asking += 1
        assert asking == 1
        for _ in range(20):
            await checkpoint()
        asked.append(question.text)
        asking -= 1
        return YES

    bench.settings = RunnerSettings(folder=bench.folder, outside=ThisMachine(ask))
    workflow = bench.write("w", BOTH, 'A: Wait for user input "a"\nB: Wait for user input "b"')
    assert (await bench.run(workflow)).ending is Ending.COMPLETED
    assert asked == ["a", "b"]


TALK = "[*] --> Talk\nTalk --> F\n" + BOTH.replace("[*] --> F\n", "")


async def test_branches_begin_with_copies_of_one_session(bench: Bench) -> None:
    actions = """Talk: Prompt "hello" using session="talk"
    A: Prompt "a" using session="mine" fork="talk"
    A2: Prompt "a2" using session="mine"
    B: Prompt "b" using fork="talk"
    End: Prompt "end" using session="talk" """
    executor = Held()
    run = await bench.run(bench.write("w", TALK, actions), executor)
    assert run.ending is Ending.COMPLETED
    assert [(one.messages[-1].content, one.session, one.fork) for one in executor.requests] == [
        ("hello", "talk", None),
        ("a", "mine", "talk"),
        ("b", None, "talk"),
        ("a2", "mine", None),
        ("end", "talk", None),
    ]
    states = {state["name"]: state for state in run_to_wire(run)["states"]}
    assert (states["A"]["session"], states["A"]["fork"], states["B"]["session"]) == ("mine", "talk", None)


async def test_sessions_and_copies_of_a_sub_workflow_are_its_own(bench: Bench) -> None:
    one = "[*] --> A\nA --> B\nB --> [*]"
    bench.write("child", one, 'A: Prompt "x" using session="s"\nB: Prompt "y" using fork="s"')
    call = "[*] --> Sub\nSub --> [*]"
    executor = Held()
    await bench.run(bench.write("w", call, 'Sub: Run workflow "child"'), executor)
    first, second = executor.requests
    assert first.session == second.fork
    assert first.session is not None
    assert first.session != "s"


@pytest.mark.parametrize(
    "actions",
    [
        'A: Prompt "a" using session="${s}"\nB: Prompt "b" using session="${s}"',
        'A: Prompt "a" using session="${s}"\nB: Prompt "b" using fork="${s}"',
        'A: Prompt "a" using fork="${s}"\nB: Prompt "b" using session="${s}"',
    ],
)
async def test_a_session_of_another_branch_is_a_failure_where_only_the_run_knows_it(
    bench: Bench, actions: str
) -> None:
    run = await bench.run(bench.write("w", BOTH, actions), Held(), s="talk")
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert "The branch 'A' uses the session 'talk' too" in run.error.message
    assert run.error.state == "B"
    assert run.error.place is not None


async def test_a_copy_of_a_session_that_is_not_there_fails_with_the_place_of_its_action(bench: Bench) -> None:
    executor = Told([EngineError("There is no session 'tlak'. Did you mean 'talk'?")])
    run = await bench.run(
        bench.write("w", "[*] --> A\nA --> [*]", 'A: Prompt "a" using fork="tlak"'), executor
    )
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert "'talk'" in run.error.message
    assert run.error.place is not None
    assert (run.error.place.path, run.error.place.line) == (bench.folder / "w.md", 11)


# Merging.


def test_what_did_not_change_is_no_change_and_types_count() -> None:
    record = Record("a", {"n": 1})
    before: dict[str, object] = {"x": 1, "list": [1, {"a": True}], "r": record}
    merged = merge(before, {"A": {**before, "list": [1, {"a": True}]}, "B": {**before, "x": True}})
    assert merged.changes == {"x": True}
    assert merged.changes["x"] is True
    assert not merged.doubts
    three = merge({}, {"A": {"x": 1}, "B": {"x": 2}, "C": {"x": 1, "y": 0}})
    assert three.kept == {"A": {"x": 1}, "B": {"x": 2}, "C": {"x": 1}}
    assert "'A', 'B' and 'C'" in three.doubts[0]
    assert "the value of 'C' is used" in three.doubts[0]


VALUES = st.integers(0, 2) | st.booleans() | st.sampled_from(["", "a"])
VARIABLES = st.dictionaries(st.sampled_from(["x", "y", "z", "result", "stdout"]), VALUES)


@given(VARIABLES, st.dictionaries(st.sampled_from(["A", "B", "C"]), VARIABLES))
def test_merging_is_applying_the_changes_of_one_branch_after_the_other(
    before: dict[str, object], sets: dict[str, dict[str, object]]
) -> None:
    merged = merge(before, {branch: {**before, **values} for branch, values in sets.items()})
    expected = dict(before)
    for values in sets.values():
        for name, value in values.items():
            is_change = name not in before or (type(value), value) != (type(before[name]), before[name])
            if name not in BUILT_IN and is_change:
                expected[name] = value
    assert {**before, **merged.changes} == expected
    for kept in merged.kept.values():
        assert set(kept) <= set(merged.changes)


def test_a_session_that_a_branch_continues_is_no_other_branchs() -> None:
    claims = Claims()
    assert claims.claim("s", "A", continues=False) is None
    assert claims.claim("s", "B", continues=False) is None
    assert claims.claim("s", "B", continues=True) == "A"
    assert claims.claim("t", "A", continues=True) is None
    assert claims.claim("t", "A", continues=False) is None
    assert claims.claim("t", "B", continues=False) == "A"


# Shapes and schedules made up by chance.


class Jittery(Told):
    """Answers each prompt after as many turns of the event loop as its text says."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        text = request.messages[-1].content
        for _ in range(int(text)):
            await checkpoint()
        return reply(text)


ACT = st.one_of(
    st.tuples(st.sampled_from("xyz"), st.integers(0, 3)).map(lambda one: f"Set {one[0]} := {one[1]}"),
    st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")).map(
        lambda one: f"Set {one[0]} := {one[1]} * 2 + 1"
    ),
    st.integers(0, 5).map(lambda turns: f'Prompt "{turns}"'),
)
SHAPE = st.lists(st.lists(ACT, min_size=1, max_size=4), min_size=1, max_size=4)


def forked(shape: list[list[str]], rounds: int) -> tuple[str, str]:
    """A diagram with these branches, run so many times, and its actions."""
    lines = ["state F <<fork>>", "state J <<join>>", "[*] --> F"]
    actions = ["J: Set round := round + 1"]
    for number, acts in enumerate(shape):
        names = [f"S{number}_{index}" for index in range(len(acts))]
        lines.append(f"F --> {names[0]}")
        lines += [f"{one} --> {other}" for one, other in zip(names, [*names[1:], "J"], strict=True)]
        actions += [f"{name}: {act}" for name, act in zip(names, acts, strict=True)]
    lines += [f"J --> F: round < {rounds}", "J --> End: default", "End --> [*]"]
    return "\n".join(lines), "\n".join(actions)


def one_after_the_other(shape: list[list[str]], rounds: int) -> dict[str, int]:
    """What the variables are when each branch starts from the same values and they are merged in order."""
    variables = {"x": 0, "y": 0, "z": 0}
    for _ in range(rounds):
        before = dict(variables)
        for acts in shape:
            own = dict(before)
            for act in acts:
                if act.startswith("Set"):
                    name, _, expression = act.removeprefix("Set ").partition(" := ")
                    own[name] = eval(expression, {}, dict(own))
            variables.update({name: value for name, value in own.items() if value != before[name]})
    return variables


def run_of(act: Callable[[Bench], object]) -> object:
    """Something done on a bench of its own, on an event loop of its own."""
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))

        async def main() -> object:
            done = act(bench)
            return await done if hasattr(done, "__await__") else done

        return anyio.run(main)


@settings(max_examples=40)
@given(SHAPE, st.integers(1, 2))
def test_a_fork_ends_as_its_branches_one_after_the_other_would(shape: list[list[str]], rounds: int) -> None:
    diagram, actions = forked(shape, rounds)

    async def drive(bench: Bench) -> Run:
        return await bench.run(bench.write("w", diagram, actions), Jittery(), x=0, y=0, z=0, round=0)

    run = run_of(drive)
    assert isinstance(run, Run)
    assert run.ending is Ending.COMPLETED
    found: Mapping[str, object] = {name: run.variables[name] for name in "xyz"}
    assert found == one_after_the_other(shape, rounds)
    states = sum(map(len, shape))
    assert len(run.visits) == rounds * (states + 2) + 1
    assert run.transitions == rounds * (states + len(shape) + 1) + 1


@settings(max_examples=30)
@given(SHAPE, st.data())
def test_a_fork_always_comes_to_an_end_whatever_fails_or_stops_it(
    shape: list[list[str]], data: st.DataObject
) -> None:
    broken = [list(acts) for acts in shape]
    for acts in broken:
        if data.draw(st.booleans()):
            acts[data.draw(st.integers(0, len(acts) - 1))] = data.draw(
                st.sampled_from(['Log "${nothing}"', 'Abort "x"', 'Shell "exit 1"'])
            )
    turns = data.draw(st.integers(0, 60))
    diagram, actions = forked(broken, 1)

    async def drive(bench: Bench) -> Run:
        runner = bench.runner(Jittery())
        workflow = bench.write("w", diagram, actions)
        records: list[Run] = []

        async def run() -> None:
            records.append(await runner.run(unchecked(workflow, {"x": 0, "y": 0, "z": 0, "round": 0})))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                for _ in range(turns):
                    await checkpoint()
                runner.stop()
        assert [type(event) for event in bench.events].count(RunEnded) == 1
        return records[0]

    run = run_of(drive)
    assert isinstance(run, Run)
    assert run.ending is not None
    assert all(visit.duration_s is not None for visit in run.visits), "every visit has ended"
