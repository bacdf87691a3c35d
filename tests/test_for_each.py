"""`for each`: what is done for each item of a list, together or in turn, and what is kept of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from samovar.errors import EngineError
from samovar.events import Ending, ItemsProgressed, StateLeft, VisitStatus
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.running.run import Run
from tests.bench import Bench, Told, paths, reply, unchecked

pytestmark = pytest.mark.anyio

ONE = """[*] --> Each
Each --> [*]"""
THEN = """[*] --> Each
Each --> Then
Each --> Late: failure
Then --> [*]
Late --> [*]"""
INSIDE = """[*] --> Each
state Each {
    [*] --> Write
    Write --> [*]
}
Each --> Then
Each --> Late: failure
Then --> [*]
Late --> [*]"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Asked(Told):
    """Answers what each prompt asks; `bad` fails, `wait` never comes. Keeps how many were asked at once."""

    def __init__(self) -> None:
        super().__init__()
        self.running = self.most = 0
        self.given_up: list[str] = []

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        text = request.messages[-1].content
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(3):
                await checkpoint()
            if "wait" in text:
                self.is_waiting.set()
                await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.given_up.append(text)
            raise
        finally:
            self.running -= 1
        if "bad" in text:
            raise EngineError("It went wrong.")
        return reply(f"re {text}")


async def run_of(
    bench: Bench, diagram: str, actions: str, told: Told | None = None, **variables: object
) -> Run:
    front = "" if not variables else f"parameters: [{', '.join(f'{{name: {name}}}' for name in variables)}]"
    return await bench.run(bench.write("w", diagram, actions, front=front), told or Asked(), **variables)


def texts(told: Told) -> Sequence[str]:
    return [request.messages[-1].content for request in told.requests]


async def test_a_prompt_is_asked_for_each_item_and_the_answers_come_in_the_order_of_the_list(
    bench: Bench,
) -> None:
    told = Told(["a", "b"])
    run = await run_of(bench, ONE, 'Each: Prompt "Look at ${f}" for each f in ["x", "y"] result="seen"', told)
    assert run.ending is Ending.COMPLETED
    assert run.variables["seen"] == run.variables["result"] == ["a", "b"]
    assert texts(told) == ["Look at x", "Look at y"]
    assert paths(run) == ["Each", "Each[0]", "Each[1]"]
    assert [visit.verb for visit in run.visits] == ["for each", "prompt", "prompt"]


async def test_the_inside_of_a_composite_is_performed_for_each_item_with_variables_of_its_own(
    bench: Bench,
) -> None:
    actions = """Each: For each x in [1, 2, 3] collect="row" result="rows"
    Write: Set row := x * 10 + x_index
    Then: Log "${rows}" """
    run = await run_of(bench, INSIDE, actions)
    assert run.variables["rows"] == [10, 21, 32]
    assert {"x", "x_index", "row"}.isdisjoint(run.variables)
    assert paths(run) == ["Each", *(f"Each[{number}]/Write" for number in range(3)), "Then"]
    assert bench.log == ["[10, 21, 32]"]


@pytest.mark.parametrize(("option", "most"), [("", 8), ("at_once=3", 3), ('at_once="${n}"', 2)])
async def test_so_many_items_are_worked_on_together(bench: Bench, option: str, most: int) -> None:
    told = Asked()
    run = await run_of(
        bench, ONE, f'Each: Prompt "${{x}}" for each x in range(20) {option} result="r"', told, n=2
    )
    assert told.most == most
    assert run.variables["r"] == [f"re {number}" for number in range(20)]


async def test_commands_and_workflows_are_run_in_turn_if_nothing_else_is_said(bench: Bench) -> None:
    bench.write("child", "[*] --> A\nA --> [*]", 'A: Prompt "${x}" result="y"')
    told = Asked()
    actions = 'Each: Run workflow "child" for each one in [1, 2, 3] with x="${one}" collect="y" result="r"'
    run = await run_of(bench, ONE, actions, told)
    assert told.most == 1
    assert run.variables["r"] == ["re 1", "re 2", "re 3"]
    assert paths(run) == ["Each", *(path for n in range(3) for path in (f"Each[{n}]", f"Each[{n}]/A"))]
    run = await run_of(bench, ONE, 'Each: Shell \'printf %s ${x}\' for each x in ["a b", "it\'s"] result=r')
    assert run.variables["r"] == ["a b", "it's"]
    assert run.variables["r"][0].part("exit_code") == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ([], []),
        ({"a": 1, "b": 2}, ["a", "b"]),
        ([None], [""]),
        (['say "hi"\nthere', "{{ x }} ${x}"], ['say "hi"\nthere', "{{ x }} ${x}"]),
    ],
)
async def test_lists_and_the_keys_of_maps_are_gone_through_and_items_stay_values(
    bench: Bench, value: object, items: list[str]
) -> None:
    told = Asked()
    run = await run_of(
        bench, THEN, 'Each: Prompt "${one}" for each one in v result="v"\nThen: Log "ok"', told, v=value
    )
    assert texts(told) == items
    assert run.variables["v"] == [f"re {item}" for item in items]
    assert bench.log == ["ok"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a\nb", "`v` is a text: write lines(v)"),
        (None, "`v` is null"),
        (3, "`v` is 3"),
    ],
)
async def test_what_is_not_a_list_is_a_failure_that_says_what_to_write(
    bench: Bench, value: object, said: str
) -> None:
    run = await run_of(bench, ONE, 'Each: Prompt "${one}" for each one in v', v=value)
    assert run.ending is Ending.FAILED and run.error is not None
    assert said in run.error.message


async def test_a_failure_ends_the_other_items_and_is_one_of_the_state_that_names_the_item(
    bench: Bench,
) -> None:
    told = Asked()
    actions = """Each: Prompt "${x}" for each x in ["wait 1", "bad", "wait 2", "never"] at_once=3 result="r"
    Late: Log "${error.kind} in ${error.state}: ${error.message}" """
    run = await run_of(bench, THEN, actions, told)
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["engine in Each: Each[1] (bad): It went wrong."]
    assert sorted(told.given_up) == ["wait 1", "wait 2"]
    assert "never" not in texts(told)
    assert "r" not in run.variables
    left = {event.path: event.status for event in bench.told(StateLeft) if isinstance(event, StateLeft)}
    assert left["Each[0]"] is left["Each[2]"] is VisitStatus.CANCELLED
    assert left["Each[1]"] is left["Each"] is VisitStatus.FAILURE


async def test_failures_can_be_collected_with_the_values_of_the_others(bench: Bench) -> None:
    actions = """Each: Prompt "${x}" for each x in ["a", "bad", "c"] on_failure=collect result="r"
    Then: Log "${r.filter(one, !one.ok).map(one, one.error.kind)}" """
    run = await run_of(bench, THEN, actions)
    first, second, third = run.variables["r"]  # type: ignore[misc]
    assert (first, third) == ({"ok": True, "value": "re a"}, {"ok": True, "value": "re c"})
    assert second["ok"] is False and second["error"]["state"] == "Each[1]"
    assert second["error"]["message"] == "Each[1] (bad): It went wrong."
    assert bench.log == ['["engine"]']
    assert run.variables["failure"] is False


async def test_an_item_of_a_composite_may_loop_fork_fail_and_take_its_failure_itself(bench: Bench) -> None:
    diagram = """[*] --> Each
    state Each {
        state F <<fork>>
        state J <<join>>
        [*] --> Begin
        Begin --> Try
        Try --> F
        Try --> Mend: failure
        Mend --> Try
        F --> A
        F --> B
        A --> J
        B --> J
        J --> Sum
        Sum --> [*]
    }
    Each --> [*]"""
    actions = """Each: For each x in [1, 2] collect="sum" result="sums"
    Begin: Set word="bad"
    Try: Prompt "${word} ${x}"
    Mend: Set word="good"
    A: Set a := x
    B: Set b := x * 10
    Sum: Set sum := a + b + branches.A.a"""
    run = await run_of(bench, diagram, actions)
    assert run.ending is Ending.COMPLETED
    assert run.variables["sums"] == [12, 24]
    assert sum(visit.path == "Each[1]/Try" for visit in run.visits) == 2


async def test_lists_within_lists_and_in_sub_workflows_have_the_numbers_of_all_in_their_paths(
    bench: Bench,
) -> None:
    bench.write("child", "[*] --> Go\nGo --> [*]", 'Go: Prompt "${y}" for each y in ys result="out"')
    diagram = """[*] --> Outer
    state Outer {
        [*] --> Inner
        state Inner {
            [*] --> Call
            Call --> [*]
        }
        Inner --> [*]
    }
    Outer --> [*]"""
    actions = """Outer: For each a in [1, 2] collect="rows" result="all"
    Inner: For each b in [a, a * 10] collect="got" result="rows"
    Call: Run workflow "child" with ys="${[a, b]}" result="got" """
    run = await run_of(bench, diagram, actions)
    assert run.ending is Ending.COMPLETED, run.error
    assert "Outer[1]/Inner[0]/Call/Go[1]" in paths(run)
    all_ = run.variables["all"]
    assert [[got["out"] for got in rows] for rows in all_] == [  # type: ignore[attr-defined]
        [["re 1", "re 1"], ["re 1", "re 10"]],
        [["re 2", "re 2"], ["re 2", "re 20"]],
    ]


async def test_an_item_that_is_stuck_or_past_its_transitions_is_a_failure_of_the_state(bench: Bench) -> None:
    late = 'Late: Log "${error.kind}: ${error.message}"'
    stuck = INSIDE.replace("Write --> [*]", "Write --> [*]: x > 1")
    await run_of(bench, stuck, f"Each: For each x in [2, 1]\nWrite: Set y := x\n{late}")
    assert bench.log.pop().startswith("stuck: Each[1] (1): ")
    endless = INSIDE.replace("Write --> [*]", "Write --> Write: x > 1\nWrite --> [*]: default")
    await run_of(bench, endless, f"Each: For each x in [1, 2]\nWrite: Set y := x\n{late}")
    said = bench.log.pop()
    assert said.startswith("limit: Each[1] (2): The item Each[1] made more than 1000 transitions")


async def test_transitions_count_within_each_item(bench: Bench) -> None:
    actions = 'Each: For each x in range(1500) collect="y" result="ys"\nWrite: Set y := x'
    run = await run_of(bench, INSIDE, actions)
    assert run.ending is Ending.COMPLETED
    assert run.variables["ys"] == list(range(1500))


async def test_more_items_than_a_list_may_have_are_a_failure_before_the_first(bench: Bench) -> None:
    workflow = bench.write("w", ONE, 'Each: Prompt "${x}" for each x in range(4)', front="limits: {items: 3}")
    told = Asked()
    run = await bench.run(workflow, told)
    assert (
        run.error is not None
        and "has 4 items" in run.error.message
        and "limits: {items: 4}" in run.error.message
    )
    assert not told.requests


async def test_abort_ends_the_run_and_a_limit_of_tokens_too(bench: Bench) -> None:
    run = await run_of(bench, INSIDE, 'Each: For each x in [1, 2]\nWrite: Abort "No ${x}"')
    assert run.ending is Ending.ABORTED and run.error is not None and run.error.state == "Each[0]/Write"
    workflow = bench.write(
        "t", ONE, 'Each: Prompt "${x}" for each x in range(9)', front="limits: {tokens: 3}"
    )
    assert (await bench.run(workflow, Asked())).ending is Ending.LIMITED


async def test_a_time_limit_is_of_each_item_and_of_a_composite_as_a_whole(bench: Bench) -> None:
    actions = 'Each: Prompt "wait" for each x in [1] timeout=1ms\nLate: Log "${error.kind} ${error.message}"'
    await run_of(bench, THEN, actions)
    assert bench.log.pop().startswith("timeout Each[0] (1): It took longer")
    actions = 'Each: For each x in [1] timeout=1ms\nWrite: Prompt "wait"\nLate: Log "${error.kind}"'
    await run_of(bench, INSIDE, actions)
    assert bench.log.pop() == "timeout"


async def test_a_run_that_is_stopped_gives_up_all_items_that_are_worked_on(bench: Bench) -> None:
    told = Asked()
    workflow = bench.write("w", ONE, 'Each: Prompt "wait ${x}" for each x in range(50) at_once=4')
    runner = bench.runner(told)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def stop() -> None:
                await told.is_waiting.wait()
                runner.stop()

            tasks.start_soon(stop)
            run = await runner.run(unchecked(workflow))
    assert run.ending is Ending.CANCELLED
    assert len(told.given_up) == 4 == len(told.requests)
    assert not any(visit.status is VisitStatus.RUNNING for visit in run.visits)


async def test_a_conversation_goes_on_through_items_in_turn_and_not_beside_each_other(bench: Bench) -> None:
    line = 'Each: Prompt "${x}" for each x in [1, 2] at_once='
    told = Asked()
    run = await run_of(bench, ONE, f'{line}1 using session="s"', told)
    assert run.ending is Ending.COMPLETED
    assert len({request.session for request in told.requests}) == 1
    run = await run_of(bench, ONE, f'{line}2 using session="s"')
    assert run.error is not None and "uses the session 's' too" in run.error.message
    run = await run_of(bench, ONE, f'{line}2 using session="s-${{x_index}}"')
    assert run.ending is Ending.COMPLETED


async def test_parameters_called_like_options_are_given_by_args(bench: Bench) -> None:
    parameters = "parameters: [{name: result}, {name: at_once}, {name: args}]"
    bench.write("child", "[*] --> A\nA --> [*]", 'A: Set out="${result} ${at_once} ${args}"', parameters)
    args = '{"result": "${x}", "at_once": 5, "args": "it\'s \\"${x_index}\\""}'
    actions = f'Each: Run workflow "child" for each x in [7] with args={args} collect="out" result="r"'
    run = await run_of(bench, ONE, actions)
    assert run.variables["r"] == ['7 5 it\'s "0"']


async def test_how_far_a_list_has_come_is_told(bench: Bench) -> None:
    await run_of(bench, ONE, 'Each: Prompt "${x}" for each x in range(3) at_once=2')
    told = [one for one in bench.events if isinstance(one, ItemsProgressed)]
    assert {one.visit for one in told} == {1} and {one.total for one in told} == {3}
    assert (told[-1].done, told[-1].running, told[-1].failed) == (3, 0, 0)
    assert max(one.running for one in told) == 2
    bench.events.clear()
    await run_of(bench, INSIDE, "Each: For each x in range(5000)\nWrite: Set y := x")
    assert sum(isinstance(one, ItemsProgressed) for one in bench.events) < 1000


async def test_what_is_kept_of_all_items_is_bounded_as_any_value(bench: Bench) -> None:
    bench.settings = replace(bench.settings, settings=replace(bench.settings.settings, value_bytes=1000))
    told = Asked()
    run = await run_of(bench, ONE, 'Each: Prompt "${x} is a text" for each x in range(99) at_once=1', told)
    assert run.error is not None and run.error.code == "too-large"
    assert len(told.requests) < 60
