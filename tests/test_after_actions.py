"""After an action: how long a failure says what it was, and whose failure it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.base import Outcome
from samovar.actions.defaults import PromptDefaults
from samovar.checks.checking import check_workflow
from samovar.errors import ModelFetchError, Place
from samovar.events import Ending, RunError, StateEntered, StateLeft, Warned
from samovar.expressions.expression import Expression
from samovar.language.workflow import MOST_TRANSITIONS, Limits, State, Transition, When, Workflow
from samovar.running.frame import Frame
from samovar.running.run import Run, VisitEnd
from samovar.running.spending import NEAR, Spending
from samovar.running.wire import event_to_wire, run_to_wire
from samovar.values import Record
from tests.bench import Bench, Told, paths, text_of

pytestmark = pytest.mark.anyio

FAILS = 'A: Shell "echo why >&2; exit 3" with result="v"'
SEEN = "${failure} ${is_error} ${success} {{ error.kind | default: '-' }} {{ exit_code | default: '-' }}"


def seen_by(*states: str) -> str:
    return "\n".join(f'{state}: Log "{SEEN}"' for state in states)


# A failure is taken by an edge.


@pytest.mark.parametrize(
    "label", ["failure", "exit_code == 3", 'error.kind == "shell"', "is_error", "always"]
)
async def test_a_failure_says_what_it_was_in_the_state_it_leads_to_and_no_further(
    bench: Bench, label: str
) -> None:
    diagram = f"[*] --> A\nA --> B: {label}\nA --> [*]: success\nB --> C\nC --> D\nD --> [*]: !is_error"
    workflow = bench.write("w", diagram, f"{FAILS}\n{seen_by('B', 'C')}")
    run = await bench.run(workflow)
    assert run.ending is Ending.COMPLETED, run.error
    assert bench.log == ["false false true shell 3", "false false true - -"]
    assert run.variables["error"] is None
    kept = run.variables["v"]
    assert isinstance(kept, Record)
    assert kept["exit_code"] == 3, "what has a name of its own stays"


async def test_the_edges_of_the_state_it_leads_to_may_read_it_too(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B: failure\nB --> C: exit_code == 3 && error.state == 'A'\nC --> [*]"
    run = await bench.run(bench.write("w", diagram, f'{FAILS}\nB: Log "x"'))
    assert paths(run) == ["A", "B", "C"]


async def test_a_condition_on_an_earlier_commands_status_is_false_and_says_so(bench: Bench) -> None:
    diagram = """[*] --> A
    A --> B: failure
    B --> C
    C --> Wrong: exit_code == 3
    C --> Right: default
    Wrong --> [*]
    Right --> [*]"""
    run = await bench.run(bench.write("w", diagram, f'{FAILS}\nB: Log "b"\nC: Log "c"'))
    assert paths(run)[-1] == "Right"
    assert any("'exit_code'" in warning for warning in bench.warnings)


async def test_the_status_of_a_command_that_succeeded_stays(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> [*]: exit_code == 0"
    run = await bench.run(bench.write("w", diagram, 'A: Shell "true"\nB: Log "b"'))
    assert run.ending is Ending.COMPLETED


async def test_a_command_that_has_no_status_does_not_show_that_of_an_earlier_one(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B\nB --> C: failure\nB --> [*]\nC --> [*]"
    actions = f'A: Shell "true"\nB: Shell "true" working_dir="nowhere"\n{seen_by("C")}'
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["false false true shell -"]


async def test_a_state_that_only_passes_through_hands_a_failure_on(bench: Bench) -> None:
    diagram = """[*] --> A
    A --> Which: failure
    Which --> Known: exit_code == 3
    Which --> Other: default
    Known --> Behind
    Behind --> [*]
    Other --> [*]"""
    run = await bench.run(bench.write("w", diagram, f"{FAILS}\n{seen_by('Known', 'Behind')}"))
    assert paths(run) == ["A", "Which", "Known", "Behind"]
    assert bench.log == ["false false true shell 3", "false false true - -"]


async def test_behind_always_a_state_that_passes_through_can_ask_how_it_went(bench: Bench) -> None:
    diagram = """[*] --> A
    A --> Which: always
    Which --> Bad: failure
    Which --> Good: success
    Bad --> [*]
    Good --> [*]"""
    run = await bench.run(bench.write("w", diagram, f"{FAILS}\n{seen_by('Bad')}"))
    assert paths(run) == ["A", "Which", "Bad"]
    assert bench.log == ["false false true shell 3"]


async def test_a_failure_says_what_it_was_in_the_whole_composite_it_leads_to(bench: Bench) -> None:
    diagram = """[*] --> A
    A --> Mend: failure
    state Mend {
        [*] --> One
        One --> Inner
        state Inner {
            [*] --> Two
            Two --> [*]
        }
        Inner --> [*]
    }
    Mend --> After
    After --> [*]"""
    run = await bench.run(bench.write("w", diagram, f"{FAILS}\n{seen_by('One', 'Two', 'After')}"))
    assert run.ending is Ending.COMPLETED
    told, gone = "false false true shell 3", "false false true - -"
    assert bench.log == [told, told, gone]


async def test_a_failure_of_the_state_it_leads_to_takes_its_place(bench: Bench) -> None:
    diagram = "[*] --> A\nA --> B: failure\nB --> C: failure\nB --> [*]\nC --> D\nD --> [*]"
    actions = f'{FAILS}\nB: Prompt "x"\n{seen_by("C", "D")}'
    run = await bench.run(bench.write("w", diagram, actions), Told([ModelFetchError("no network")]))
    assert run.ending is Ending.COMPLETED
    assert bench.log == ["false false true model-fetch -", "false false true - -"]


async def test_a_branch_of_a_fork_that_a_failure_leads_to_may_read_it(bench: Bench) -> None:
    diagram = """state F <<fork>>
    state J <<join>>
    [*] --> A
    A --> F: failure
    F --> B
    F --> C
    B --> J
    C --> J
    J --> D
    D --> [*]"""
    run = await bench.run(bench.write("w", diagram, f"{FAILS}\n{seen_by('B', 'C', 'D')}"))
    assert run.ending is Ending.COMPLETED
    assert sorted(bench.log) == ["false false true - -", *["false false true shell 3"] * 2]


async def test_with_on_error_continue_is_error_stays_until_an_edge_for_failures_is_taken(
    bench: Bench,
) -> None:
    diagram = """[*] --> A
    A --> B
    B --> C: is_error
    C --> D
    D --> E: failure
    E --> G
    G --> [*]"""
    actions = f'{FAILS}\n{seen_by("B", "C", "E", "G")}\nD: Shell "exit 5"'
    run = await bench.run(bench.write("w", diagram, actions, front="on_error: continue"))
    assert paths(run) == ["A", "B", "C", "D", "E", "G"]
    assert bench.log[:2] == ["true true false shell 3", "false true true shell 3"]
    assert bench.log[3] == "false false true - -"


@given(st.lists(st.tuples(st.sampled_from(["ok", "bad", "pass"]), st.sampled_from(["failure", "is_error"]))))
def test_whatever_is_performed_an_error_is_readable_for_one_state_and_flags_for_none(
    steps: list[tuple[str, str]],
) -> None:
    """States in a row, each left by an edge that takes what there is to take, as the loop has it."""
    frame = Frame.begin(
        Workflow(name="w", path=None, initial="S0", states={}, diagram=""),
        {},
        Spending(Limits()),
        folder=Path(),
        defaults=PromptDefaults(),
    )
    place = Place(path=None, line=1)
    since: int | None = None
    """States that act and were entered since the last failure."""
    for number, (kind, label) in enumerate(steps):
        action = None if kind == "pass" else parse_action("Set x=1", place)
        state = State(name=f"S{number}", description="", action=action, transitions=(), place=place)
        if action is not None:
            since = None if since is None else since + 1
            frame.begin_action()
            assert not frame.variables["failure"]
            assert (frame.variables["error"] is not None) == (since is not None and since <= 1)
            error = RunError(code="action", message="no", state=state.name) if kind == "bad" else None
            frame.leave_behind(state, Outcome(sets={} if error else {"x": number}), error)
            since = 0 if error else since
        failed = frame.failed
        frame.leave(state, _edge(state, f"S{number + 1}", label if failed else ""))
        assert not frame.variables["is_error"]
        assert (frame.variables["success"], frame.variables["failure"]) == (True, False)


def _edge(state: State, target: str, label: str) -> Transition:
    return Transition(
        source=state.name,
        target=target,
        label=label,
        when={"failure": When.FAILURE, "is_error": When.CONDITION}.get(label, When.ALWAYS),
        condition=Expression.parse(label, state.place) if label == "is_error" else None,
        place=state.place,
    )


def gone_in(bench: Bench, diagram: str, actions: str, front: str = "") -> list[int]:
    found = check_workflow(bench.write("w", diagram, actions, front), bench.library)
    return [fault.place.line for fault in found if fault.code == "error-gone"]


def test_an_error_that_is_read_where_it_is_gone_is_a_warning(bench: Bench) -> None:
    row = "[*] --> A\nA --> B: {}\nA --> [*]: success\nB --> C\nC --> [*]"
    reads = f'{FAILS}\nB: Log "${{error.message}}"\nC: Log "${{error.message}}"'
    for label in ("failure", "always", "exit_code == 3"):
        assert len(gone_in(bench, row.format(label), reads)) == 1
    assert gone_in(bench, row.format("failure"), reads, "on_error: continue") == []
    passing = reads.replace('B: Log "${error.message}"', "")
    assert gone_in(bench, row.format("failure"), passing) == [], "B only passes through"
    assert len(gone_in(bench, "[*] --> A\nA --> C\nC --> [*]", passing)) == 1
    choice = "[*] --> A\nA --> Which\nWhich --> C: error.kind == 'shell'\nWhich --> [*]\nC --> [*]"
    assert len(gone_in(bench, choice, FAILS)) == 1


# Names that the language sets.


def codes_of(bench: Bench, actions: str, front: str = "", path: str = "w.md") -> list[tuple[str, str, int]]:
    file = bench.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    diagram = "[*] --> A\nA --> [*]"
    file.write_text(text_of(diagram, actions, front), encoding="utf-8")
    workflow = bench.library.workflow(str(file))
    found = check_workflow(workflow, bench.library)
    return [(one.code, one.severity, one.place.column) for one in found if one.code == "reserved-name"]


@pytest.mark.parametrize(
    "name", ["success", "failure", "is_error", "error", "branches", "exit_code", "stdout", "duration_s"]
)
def test_a_name_that_the_language_sets_cannot_be_set(bench: Bench, name: str) -> None:
    assert codes_of(bench, f'A: Set x=1, {name}="no"') == [("reserved-name", "error", 15)]
    assert codes_of(bench, f"A: Set {name} := 1") == [("reserved-name", "error", 10)]
    for action in ('Prompt "x"', 'Shell "true" with', 'Run workflow "w2"'):
        assert codes_of(bench, f'A: {action} result="{name}"') == [("reserved-name", "error", 6)]
    assert codes_of(bench, f'A: Set {name}="no"', path=".sah/workflows/w.md") == [
        ("reserved-name", "warning", 10)
    ]
    front = f"parameters: [{{name: {name}, default: x}}]"
    assert [one[:2] for one in codes_of(bench, "A: Log 'x'", front)] == [("reserved-name", "warning")]


def test_result_can_be_set_and_what_commands_leave_is_no_fault(bench: Bench) -> None:
    assert codes_of(bench, 'A: Set result="fine"') == []
    assert codes_of(bench, 'A: Shell "true" with result="result"') == []
    assert codes_of(bench, 'A: Shell "true"') == []


@pytest.mark.parametrize("text", ["${empty}", "${empty}{{ 1 | minus: 1 }}"])
async def test_a_variable_called_like_a_word_of_liquid_is_itself_in_dollar_braces(
    bench: Bench, text: str
) -> None:
    front = "parameters: [{name: empty, default: E}]"
    run = await bench.run(bench.write("w", "[*] --> A\nA --> [*]", f'A: Log "{text}"', front))
    assert run.ending is Ending.COMPLETED
    assert bench.log[0].startswith("E")
    assert codes_of(bench, "A: Log 'x'", front) == [("reserved-name", "warning", 14)]


# A failure in a sub-workflow.


def child_run(bench: Bench, action: str, child_front: str = "", edges: str = "") -> str:
    bench.write("child", "[*] --> C1\nC1 --> C2\nC2 --> [*]", f"C2: {action}", front=child_front)
    bench.write("mid", "[*] --> M\nM --> [*]", 'M: Run workflow "child"')
    diagram = f"[*] --> Top\n{edges}\nTop --> Seen: failure\nTop --> [*]\nSeen --> [*]"
    told = "${error.kind} ${error.state} ${error.place} {{ error.chain | join: ' ' }}"
    bench.write("w", diagram, f'Top: Run workflow "mid"\nSeen: Log "{told}"')
    return diagram


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ('Shell "exit 4"', "shell"),
        ('Shell "sleep 9" timeout=0.05', "timeout"),
        ('Log "${nothing}"', "template"),
        ("Set n := 1 / 0", "expression"),
        ('Wait for user input "Go on?"', "unanswered"),
    ],
)
async def test_a_failure_in_a_sub_workflow_has_its_own_kind_and_place_and_the_chain(
    bench: Bench, action: str, kind: str
) -> None:
    child_run(bench, action)
    run = await bench.run(bench.library.workflow(str(bench.folder / "w.md")))
    assert run.ending is Ending.COMPLETED
    lines = {
        name: _line_of(bench, name, text) for name, text in (("w", "Run"), ("mid", "Run"), ("child", "C2:"))
    }
    seen_kind, state, place, *chain = bench.log[0].split()
    assert (seen_kind, state) == (kind, "Top")
    assert place.startswith(f"{bench.folder}/child.md:{lines['child']}:")
    assert [one.rpartition(":")[0] for one in chain] == [
        f"{bench.folder}/w.md:{lines['w']}",
        f"{bench.folder}/mid.md:{lines['mid']}",
    ]


def _line_of(bench: Bench, name: str, text: str) -> int:
    lines = (bench.folder / f"{name}.md").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


async def test_a_run_that_fails_within_a_sub_workflow_says_where_and_who_ran_it(bench: Bench) -> None:
    child_run(bench, 'Shell "exit 4"')
    run = await bench.run(bench.write("w", "[*] --> Top\nTop --> [*]", 'Top: Run workflow "mid"'))
    assert (run.ending, run.error and run.error.code) == (Ending.FAILED, "shell")
    wire = run_to_wire(run)["error"]
    assert (wire["state"], wire["place"]["path"]) == ("Top/M/C2", str(bench.folder / "child.md"))
    assert [(one["workflow"], one["state"]) for one in wire["chain"]] == [("w", "Top"), ("mid", "Top/M")]
    assert str(run.error).startswith(f"{bench.folder}/child.md:")
    assert str(run.error).index("run by Top/M at") < str(run.error).index("run by Top at")


async def test_conditions_of_the_caller_tell_kinds_of_a_childs_failure_apart(bench: Bench) -> None:
    edges = 'Top --> Late: error.kind == "timeout"\nLate --> [*]'
    child_run(bench, 'Shell "sleep 9" timeout=0.05', edges=edges)
    run = await bench.run(bench.library.workflow(str(bench.folder / "w.md")))
    assert paths(run)[-1] == "Late"


async def test_a_child_that_is_stuck_is_a_failure_of_that_kind(bench: Bench) -> None:
    child_run(bench, 'Log "x"')
    bench.write("child", "[*] --> C1\nC1 --> [*]: nope == 1", 'C1: Set nope="2"')
    run = await bench.run(bench.library.workflow(str(bench.folder / "w.md")))
    assert run.ending is Ending.COMPLETED
    assert bench.log[0].startswith("stuck Top ")


# Limits.


def counting(upto: int) -> tuple[str, str]:
    return f"[*] --> A\nA --> A: n < {upto}\nA --> [*]: default", "A: Set n := default(n, 0) + 1"


@pytest.mark.parametrize(("front", "ending"), [("limits: {transitions: 1000}", Ending.FAILED), ("", None)])
async def test_a_limit_that_a_sub_workflow_sets_counts_also_if_it_is_the_usual_one(
    bench: Bench, front: str, ending: Ending | None
) -> None:
    bench.write("child", *counting(1500), front=front)
    workflow = bench.write(
        "w", "[*] --> S\nS --> [*]", 'S: Run workflow "child"', "limits: {transitions: 9000}"
    )
    run = await bench.run(workflow)
    assert run.ending is (ending or Ending.COMPLETED)
    if ending:
        assert run.error is not None
        assert (run.error.code, run.transitions) == ("limit", 1001)


async def test_a_run_that_nobody_limits_says_before_its_end_how_to_let_it_go_on(bench: Bench) -> None:
    run = await bench.run(bench.write("w", *counting(5000)))
    assert run.ending is Ending.LIMITED
    assert run.error is not None
    assert "the default limit of a run" in run.error.message
    assert "limits: {transitions: 10000}" in run.error.message
    (warned,) = [event for event in bench.events if isinstance(event, Warned)]
    assert warned.message.startswith(
        f"The run has made {int(MOST_TRANSITIONS * NEAR)} of 1000 transitions. If"
    )
    assert run.variables["n"] == 1001, "what was done is kept"
    bench.events.clear()
    run = await bench.run(bench.write("w", *counting(5000), front="limits: {transitions: 6000}"))
    assert (run.ending, bench.warnings) == (Ending.COMPLETED, [])


# Events.


def assert_numbered(bench: Bench, run: Run) -> None:
    assert {event.run for event in bench.events} == {run.id}
    assert [event.number for event in bench.events] == list(range(1, len(bench.events) + 1))
    times = [event.time for event in bench.events]
    assert times == sorted(times)
    assert times[0] >= run.started_at > 0


async def test_every_event_says_its_run_its_number_and_its_time(bench: Bench) -> None:
    bench.write("child", "[*] --> C\nC --> [*]", 'C: Prompt "x"')
    diagram = "[*] --> A\nA --> S: failure\nA --> [*]\nS --> T\nT --> [*]: t > 1\nT --> [*]: default"
    actions = f'{FAILS}\nS: Run workflow "child"\nT: Log "${{failure}}"'
    run = await bench.run(bench.write("w", diagram, actions), Told(["an answer"]))
    assert_numbered(bench, run)
    lines = [json.loads(json.dumps(event_to_wire(event))) for event in bench.events]
    kinds = {line["event"] for line in lines}
    assert kinds >= {"run_started", "logged", "warned", "text_generated", "state_left", "run_ended"}
    assert all(line["run"] == run.id and line["number"] and line["time"] for line in lines)


async def test_what_an_action_gave_back_is_whole_in_its_event_and_not_kept_in_the_record(
    bench: Bench,
) -> None:
    long = "x" * 5000
    actions = f'A: Set v="{long}", n=3\nB: Log "${{n}}"'
    run = await bench.run(bench.write("w", "[*] --> A\nA --> B\nB --> [*]", actions))
    left = [event for event in bench.events if isinstance(event, StateLeft)]
    assert left[0].sets == {"v": long, "n": 3}
    assert (left[1].value, left[1].is_new) == ("3", False)
    assert event_to_wire(left[0])["sets"] == {"v": long, "n": 3}
    ends = [one for one in run.trail if isinstance(one, VisitEnd)]
    assert len(ends) == 2 and not any(isinstance(one, StateLeft) for one in run.trail)
    assert all(long not in repr(one) for one in run.trail)
    assert event_to_wire(bench.events[0])["variables"] == {}


async def test_a_secret_however_short_is_in_no_event(bench: Bench) -> None:
    front = "parameters: [{name: pin, secret: true}]"
    actions = 'A: Set pin="q7z", n=3'
    run = await bench.run(bench.write("w", "[*] --> A\nA --> [*]", actions, front), pin="j4x")
    assert run.ending is Ending.COMPLETED
    told = "".join(json.dumps(event_to_wire(event)) for event in bench.events if not event_is_entry(event))
    assert "j4x" not in told
    assert '"sets": {"pin": "***", "n": 3}' in told


def event_is_entry(event: object) -> bool:
    """What an action does stands there as it is written in the file."""
    return isinstance(event, StateEntered)
