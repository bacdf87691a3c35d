"""`for each`: what is done for each item of a list, together or in turn, and what is kept of each."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

import samovar
from samovar.engines.llama.counting import open_template
from samovar.errors import EngineError
from samovar.events import Ending, Event, ItemsProgressed, RunEnded, StateLeft, VisitStatus
from samovar.generation import Message
from samovar.running.frame import Frame
from samovar.running.run import Run
from samovar.running.visit_context import VisitContext
from tests.bench import Bench, Together, Told, paths, text_of, unchecked

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


class Asked(Together):
    """Prompts with `wait` in them are never answered."""

    async def hold(self, text: str) -> None:
        for _ in range(3):
            await checkpoint()
        if "wait" in text:
            self.is_waiting.set()
            await anyio.sleep_forever()


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
    assert run.variables["r"][0].part("exit_code") == 0


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
    rows = run.variables["r"]
    assert isinstance(rows, list)
    first, second, third = rows
    assert (first, third) == ({"ok": True, "value": "re a"}, {"ok": True, "value": "re c"})
    assert second["ok"] is False and second["error"]["state"] == "Each[1]"
    assert second["item"] == "bad"
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
    left = [one.error for one in bench.events if isinstance(one, StateLeft) and one.path == "Each"]
    assert left[-1] is not None and left[-1].state == "Each[1]"


async def test_whoever_listens_may_end_a_run_at_any_item_with_an_error_of_its_own(bench: Bench) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, ItemsProgressed) and event.done == 2:
            raise ZeroDivisionError

    workflow = bench.write("w", ONE, 'Each: Prompt "${x}" for each x in range(9)')
    with pytest.raises(ZeroDivisionError):
        await bench.runner(Asked(), listen).run(unchecked(workflow))


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


ASKING = """```mermaid
stateDiagram-v2
    [*] --> Ask
    Ask --> [*]
```

## Actions

- Ask: Prompt "{prefix} ${{note}}" for each note in notes result="said" at_once={at_once} using max_tokens=6
"""


@pytest.mark.parametrize("at_once", [1, 2, 8])
async def test_what_the_prompts_of_a_list_have_in_common_is_evaluated_once(
    tmp_path: Path, tiny_model: Path, at_once: int
) -> None:
    prefix, notes = "Say what this is about. " * 12, [f"{number} is the note" for number in range(24)]
    path = tmp_path / "asking.md"
    path.write_text(ASKING.format(prefix=prefix, at_once=at_once), encoding="utf-8")
    with open_template(tiny_model) as template:
        prompts = [template.tokens([Message(role="user", content=f"{prefix} {note}")]) for note in notes]
    distinct = {tuple(tokens[:end]) for tokens in prompts for end in range(1, len(tokens) + 1)}
    cache = tmp_path / "cache"
    async with samovar.open(model=str(tiny_model), context_tokens=4096, cache_folder=cache) as app:
        run = await app.run(path, {"notes": notes})
    assert run.ending is Ending.COMPLETED
    assert run.tokens.evaluated == len(distinct)
    assert len(run.variables["said"]) == 24  # type: ignore[arg-type]


@pytest.mark.slow
async def test_what_is_held_does_not_grow_with_the_list_but_for_results_and_the_record(bench: Bench) -> None:
    most = 0

    def count(event: Event) -> None:
        nonlocal most
        if isinstance(event, ItemsProgressed) and not event.done % 50:
            gc.collect()
            held = [one for one in gc.get_objects() if type(one) in (Frame, VisitContext, asyncio.Task)]
            most = max(most, len(held))

    actions = 'Each: For each x in range(400) at_once=4 collect="y" result="ys"\nWrite: Set y := x'
    workflow = bench.write("w", INSIDE, actions)
    before = sum(type(one) in (Frame, VisitContext, asyncio.Task) for one in gc.get_objects())
    run = await bench.runner(Told(), count).run(unchecked(workflow))
    assert run.variables["ys"] == list(range(400))
    assert most - before <= 4 * 3 + 4  # of each task: itself, its frame, its visit; and those of the run


async def test_secrets_in_items_are_shown_to_nobody(bench: Bench) -> None:
    front = "parameters: [{name: tokens, secret: true}]"
    actions = """Each: Prompt "Use ${one} ${one_index}" for each one in tokens.split(",") result="r" at_once=1
    Late: Log "${error.message}" """
    workflow = bench.write("w", THEN, actions, front=front)
    told = Told(["fine", EngineError("It went wrong.")])
    run = await bench.run(workflow, told, tokens="sesame-1,sesame-2")
    assert bench.log == ["Each[1] (***): It went wrong."]
    assert all(message.secret for request in told.requests for message in request.messages)
    shown = str([one for one in bench.events if not isinstance(one, RunEnded)])
    assert "sesame" not in shown and "sesame" not in str(run.visits)


async def test_a_run_without_effects_refuses_a_list_of_commands(bench: Bench) -> None:
    bench.settings = replace(bench.settings, no_effects=True)
    run = await run_of(bench, ONE, "Each: Shell 'echo hello' for each x in [1]")
    assert run.error is not None and run.error.code == "refused"


async def test_what_a_run_is_for_is_all_that_the_prompts_of_a_list_said(bench: Bench) -> None:
    run = await run_of(bench, ONE, 'Each: Prompt "${x}" for each x in [1, 2]')
    assert run.answer == '["re 1", "re 2"]'
    run = await run_of(bench, INSIDE, 'Each: For each x in [1, 2]\nWrite: Prompt "${x}"')
    assert run.answer == '["re 1", "re 2"]'


async def test_failed_items_may_be_read_where_the_failure_edge_of_their_list_leads(bench: Bench) -> None:
    bench.write("child", "[*] --> Go\nGo --> [*]", "Go: Shell 'exit 3'")
    actions = 'Each: Run workflow "child" for each x in [1]\nLate: Log "${error.kind} ${error.chain.size()}"'
    run = await run_of(bench, THEN, actions)
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["shell 1"]
    left = [one.error for one in bench.events if isinstance(one, StateLeft) and one.path == "Each"]
    assert left[0] is not None and left[0].state == "Each[0]/Go"


async def test_an_item_has_a_copy_of_the_variables_and_of_results_before_it(bench: Bench) -> None:
    diagram = INSIDE.replace("[*] --> Each", "[*] --> First\nFirst --> Each", 1)
    actions = """First: Set rows := [1, 2], seen := 0
    Each: For each row in rows collect="seen" result="rows"
    Write: Set seen := seen + row, rows := []
    Then: Log "${rows} ${seen}" """
    await run_of(bench, diagram, actions)
    assert bench.log == ["[1, 2] 0"]


async def test_tags_may_stand_around_a_list_and_its_action(bench: Bench) -> None:
    actions = """Each: Prompt "{{ x }} {% if n > 1 %}many{% endif %}" for each x in [1] result="r"
    Then: {% if n > 1 %}Prompt "${x} {{ n }}" for each x in xs result="s"{% else %}Log "no"{% endif %}"""
    run = await run_of(bench, THEN, actions, n=2, xs=["a"])
    assert run.variables["r"] == ["re 1 many"]
    assert run.variables["s"] == ["re a 2"]


async def test_questions_of_items_are_answered_by_the_state_or_for_each_item_in_turn(bench: Bench) -> None:
    actions = """Each: For each x in [1, 2] collect="v" result="r"
    Write: Ask "What of ${x}?" result="v" """
    for answers, wanted in (
        ({"Each/Write": ["a"]}, ["a", "a"]),
        ({"Each/Write": ["a", "b"]}, ["a", "b"]),
        ({"Each/Write": ["a"], "Each[1]/Write": ["c"]}, ["a", "c"]),
    ):
        bench.settings = replace(bench.settings, answers=answers)
        assert (await run_of(bench, INSIDE, actions)).variables["r"] == wanted


async def test_the_text_of_what_is_done_for_each_item_may_be_a_block(bench: Bench) -> None:
    told = Asked()
    line = 'Each: Prompt for each x in [1, 2] result="r"'
    block = '\n  ```\n  Say "${x}" for each y in z\n  ```'
    path = bench.folder / "w.md"
    path.write_text(text_of(ONE, line).replace(line, line + block), encoding="utf-8")
    run = await bench.run(bench.library.workflow(str(path)), told)
    assert run.ending is Ending.COMPLETED
    assert texts(told) == ['Say "1" for each y in z', 'Say "2" for each y in z']
