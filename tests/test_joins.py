"""Joins that need only some branches, and forks that start only some."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.checks.checking import check_workflow
from samovar.errors import FaultsError, Place
from samovar.events import Ending
from samovar.language.joins import read_join
from samovar.preflight.preview import preview
from samovar.running.arrivals import Arrivals
from samovar.running.branches import BranchEnd
from samovar.running.ends import End
from samovar.running.runner import RunnerSettings, first_defaults
from tests.bench import Bench, Told, paths, statuses

pytestmark = pytest.mark.anyio

THREE = """state F <<fork>>
state J <<join>>
[*] --> F
F --> A
F --> B
F --> C
A --> J
B --> J
C --> J
J --> End
End --> [*]"""
REGIONS = """[*] --> Try
state Try {
[*] --> A
A --> [*]
--
[*] --> B
B --> [*]
}
Try --> End
Try --> Sorry: failure
End --> [*]
Sorry --> [*]"""
SLOW = "B: Wait 1 h\nC: Wait 1 h"


def faults(bench: Bench, diagram: str, actions: str, front: str = "") -> list[str]:
    """The codes of the errors of a workflow."""
    try:
        workflow = bench.write("w", diagram, actions, front)
    except FaultsError as error:
        return [fault.code for fault in error.faults if fault.severity == "error"]
    return [one.code for one in check_workflow(workflow, bench.library) if one.severity == "error"]


async def test_the_first_branch_ends_the_others_and_only_what_it_set_is_merged(bench: Bench) -> None:
    actions = (
        'A: Set v="a", w="a"\nB: Set v="b"\nB2: Wait 1 h\nC: Wait 1 h\nJ: Join first, then Log "met ${v}"\n'
        'End: Set left := branches, done := result == "met a"'
    )
    diagram = THREE.replace("B --> J", "B --> B2\nB2 --> J").replace("A --> J", "A --> A2\nA2 --> J")
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert bench.log == ["met a"]
    assert sorted(statuses(run)[1:-2]) == [
        "A success",
        "A2 success",
        "B success",
        "B2 cancelled",
        "C cancelled",
    ]
    assert [run.variables[name] for name in "vw"] == ["a", "a"]
    assert run.variables["left"] == {
        "A": {"v": "a", "w": "a", "ok": True, "cancelled": False},
        "B": {"v": "b", "ok": False, "cancelled": True},
        "C": {"ok": False, "cancelled": True},
    }
    assert not bench.warnings, "values that are not merged do not differ"


async def test_as_many_as_are_needed_are_merged_in_the_order_of_the_file(bench: Bench) -> None:
    actions = 'A: Set v="a"\nB: Wait 1 h\nC: Set v="c"\nJ: join 2\nEnd: Set got := result.map(one, one)'
    run = await bench.run(bench.write("w", THREE, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert (run.variables["v"], run.variables["got"]) == ("c", ["A", "C"])
    assert len(bench.warnings) == 1
    assert "'A' and 'C' changed 'v'" in bench.warnings[0]


async def test_a_branch_that_fails_ends_alone_as_long_as_enough_others_can_come(bench: Bench) -> None:
    actions = 'A: Shell "exit 3"\nB: Set v="b"\nC: Shell "exit 4"\nJ: Join 2\nEnd: Log "never"'
    run = await bench.run(bench.write("w", THREE, actions.replace("Join 2", "Join first")))
    assert run.ending is Ending.COMPLETED, run.error
    assert run.variables["v"] == "b"
    run = await bench.run(bench.write("v", THREE, actions))
    assert run.ending is Ending.FAILED
    assert run.error is not None
    assert run.error.state in ("A", "C")
    left = run.variables["branches"]
    assert isinstance(left, dict)
    assert left["B"] == {"v": "b", "ok": True, "cancelled": False}


async def test_too_few_branches_is_a_failure_that_an_edge_behind_the_join_takes(bench: Bench) -> None:
    diagram = THREE.replace("J --> End", "J --> End\nJ --> Sorry: failure\nSorry --> [*]")
    actions = 'A: Shell "exit 3"\nB: Shell "exit 3"\nJ: Join 2\nC: Wait 1 h\nSorry: Log "${error.kind}"'
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert bench.log == ["shell"]
    assert "C cancelled" in statuses(run)


async def test_a_branch_that_is_stuck_ends_the_run_though_others_could_come(bench: Bench) -> None:
    diagram = THREE.replace("A --> J", "A --> J: v == 1")
    run = await bench.run(bench.write("w", diagram, f"A: Set v := 2\nJ: Join first\n{SLOW}"))
    assert run.ending is Ending.STUCK


async def test_a_composite_with_regions_waits_for_one_of_them(bench: Bench) -> None:
    actions = 'A: Set v="a"\nB: Wait 1 h\nTry: Join first, then Log "one of them: ${v}"'
    run = await bench.run(bench.write("w", REGIONS, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert bench.log == ["one of them: a"]
    assert paths(run) == ["Try", "A", "B", "Try [*]", "End"]


async def test_a_fork_within_a_branch_that_ends_at_the_same_join_needs_all_its_branches(bench: Bench) -> None:
    diagram = THREE.replace("A --> J", "A --> G\nstate G <<fork>>\nG --> A1\nG --> A2\nA1 --> J\nA2 --> J")
    actions = 'A1: Set v="1"\nA2: Set w="2"\nB: Wait 1 h\nC: Wait 1 h\nJ: Join first'
    workflow = bench.write("w", diagram, actions)
    assert {name: fork.needed is not None for name, fork in workflow.forks.items()} == {"F": True, "G": False}
    run = await bench.run(workflow)
    assert run.ending is Ending.COMPLETED, run.error
    assert (run.variables["v"], run.variables["w"]) == ("1", "2")


async def test_a_prompt_that_is_not_needed_any_more_is_given_up(bench: Bench) -> None:
    told = Told(waits=True)
    diagram = THREE.replace("A --> J", "A --> A2\nA2 --> J")
    actions = 'A: Wait 0 s\nA2: Log "x"\nB: Prompt "x"\nC: Prompt "y"\nJ: Join first'
    run = await bench.run(bench.write("w", diagram, actions), told)
    assert run.ending is Ending.COMPLETED, run.error
    assert told.cancelled == len(told.requests)


@pytest.mark.parametrize(
    ("diagram", "actions", "code"),
    [
        (THREE, "J: Join 4", "join-count"),
        (THREE, "End: Join first", "join-count"),
        (THREE, "F: Join first", "join-count"),
        (REGIONS.replace("--\n[*] --> B\nB --> [*]\n", ""), "Try: Join first", "join-count"),
        (THREE, "J: Join 0", "action-syntax"),
        (THREE, "J: Join", "action-syntax"),
        (THREE, "J: Join frist", "action-syntax"),
        (THREE, "J: Join first, then", "action-syntax"),
        (THREE, "J: Join first then Log 'x'", "action-syntax"),
        (THREE, "J: Join first, then Lag 'x'", "unknown-action"),
    ],
)
def test_what_cannot_be_joined_is_found_before_the_run(
    diagram: str, actions: str, code: str, bench: Bench
) -> None:
    assert faults(bench, diagram, actions) == [code]


def test_a_join_may_be_written_in_the_diagram_and_has_its_place(bench: Bench) -> None:
    workflow = bench.write("w", THREE + '\nJ: Join 2, then Log "x"')
    needed = workflow.forks["F"].needed
    assert needed is not None
    assert (needed.count, needed.place.line) == (2, 16)
    action = workflow.states["J"].action
    assert action is not None
    assert (action.place.line, action.place.column - needed.place.column) == (16, len("Join 2, then "))


def test_a_dry_run_says_how_many_branches_a_join_waits_for(bench: Bench) -> None:
    workflow = bench.write("w", THREE, 'A: Log "a"\nJ: Join 2, then Log "met"')
    shown = preview(workflow, {}, bench.library, first_defaults(workflow, RunnerSettings()))
    assert [(one.name, one.verb, one.what) for one in shown] == [
        ("J", "join", "waits for 2 of 3 branches and cancels the others"),
        ("J", "log", "met"),
        ("A", "log", "a"),
    ]


@given(st.text(max_size=20), st.sampled_from(["", "Join ", "join first", "JOIN 2, then ", "Join first,"]))
def test_any_text_is_a_join_with_a_count_or_none_or_a_fault(text: str, begin: str) -> None:
    whole = begin + text
    try:
        found = read_join(whole, Place(path=None, line=1))
    except FaultsError:
        assert whole.strip().lower().startswith("join")
        return
    assert found is None or (found.needed.count >= 1 and not whole[found.offset :].startswith(" "))
    assert read_join(whole, Place(path=None, line=1), is_old=True) == found


ENDS = st.lists(st.sampled_from([Ending.COMPLETED, Ending.FAILED, Ending.STUCK]), min_size=1, max_size=6)


@given(ENDS, st.integers(1, 6))
def test_a_fork_joins_if_and_only_if_enough_come_before_too_few_can(
    ends: Sequence[Ending], needed: int
) -> None:
    needed = min(needed, len(ends))
    arrivals = Arrivals([str(number) for number in range(len(ends))], needed)
    came, left = 0, len(ends)
    over = False
    for number, ending in enumerate(ends):
        if not over:
            left -= 1
            came += ending is Ending.COMPLETED
            over = came == needed or ending is Ending.STUCK or came + left < needed
        assert arrivals.note(str(number), End(ending=ending)) is over
    assert over
    assert arrivals.is_enough is (came == needed)
    assert (arrivals.end is None) is arrivals.is_enough
    assert len(arrivals.came) == came
    assert sum(end is not BranchEnd.CANCELLED for end in arrivals.ends.values()) <= len(ends)


# Conditions on the edges of a fork.

SOME = THREE.replace("F --> A\nF --> B\nF --> C", "F --> A: n > 1\nF --> B: n > 2\nF --> C: default")


@pytest.mark.parametrize(("n", "branches"), [(3, ["A", "B"]), (2, ["A"]), (1, ["C"])])
async def test_a_condition_on_an_edge_starts_its_branch(n: int, branches: list[str], bench: Bench) -> None:
    run = await bench.run(bench.write("w", SOME, f"F: Set n := {n}\nEnd: Set all := branches.map(b, b)"))
    assert run.ending is Ending.COMPLETED, run.error
    assert run.variables["all"] == branches
    assert paths(run) == ["F", *branches, "J", "End"]
    assert run.transitions == 2 * len(branches) + 2


async def test_a_fork_that_starts_no_branch_is_stuck_and_says_why(bench: Bench) -> None:
    diagram = SOME.replace("F --> C: default", "F --> C: n > 3")
    run = await bench.run(bench.write("w", diagram, "F: Set n := 0"))
    assert run.ending is Ending.STUCK
    assert run.error is not None
    assert run.error.message.count("n = 0") == 3
    assert paths(run) == ["F"]


async def test_every_default_edge_starts_and_always_is_no_default(bench: Bench) -> None:
    diagram = SOME.replace("F --> B: n > 2", "F --> B: else")
    run = await bench.run(bench.write("w", diagram, "F: Set n := 0"))
    assert paths(run)[1:-2] == ["B", "C"]
    diagram = SOME.replace("F --> B: n > 2", "F --> B: always")
    run = await bench.run(bench.write("v", diagram, "F: Set n := 0"))
    assert paths(run)[1:-2] == ["B"]


async def test_regions_start_by_the_condition_on_their_first_edge(bench: Bench) -> None:
    diagram = REGIONS.replace("[*] --> B", '[*] --> B: mode == "both"')
    workflow = bench.write("w", diagram, front="parameters: [{name: mode, default: one}]")
    assert paths(await bench.run(workflow)) == ["Try", "A", "Try [*]", "End"]
    assert paths(await bench.run(workflow, mode="both")) == ["Try", "A", "B", "Try [*]", "End"]


async def test_fewer_branches_than_a_join_needs_is_a_failure_before_any_starts(bench: Bench) -> None:
    diagram = SOME + "\nJ --> Sorry: failure\nSorry --> [*]"
    actions = 'F: Set n := 2\nJ: Join 2\nSorry: Log "${error.kind} in ${error.state}: ${error.message}"'
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert bench.log == ["join in J: The join needs 2 branches, but only 1 started."]
    assert paths(run) == ["F", "Sorry"]


def test_conditions_of_forks_are_checked_like_any_other(bench: Bench) -> None:
    front = "parameters: [{name: mode, type: choice, choices: [a, b], default: a}]"
    edge = "F --> A: mode == 'c'"
    assert faults(bench, THREE.replace("F --> A", edge), "", front) == ["type-mismatch"]
    assert faults(bench, THREE.replace("F --> A", "F --> A: moed"), "", front) == ["unknown-label"]
    both = THREE.replace(
        "F --> A\nF --> B\nF --> C",
        "F --> A: mode == 'a'\nF --> B: mode == 'a'\nF --> C: mode == 'a' && true",
    )
    assert faults(bench, both, "", front) == ["value-without-edge"]


async def test_old_files_ignore_labels_there_with_a_warning(bench: Bench) -> None:
    diagram = THREE.replace("F --> A", "F --> A: 1 == 2").replace("F --> B", "F --> B: failure")
    run = await bench.run(bench.write("w", diagram, front="dialect: swissarmyhammer"))
    assert paths(run) == ["F", "A", "B", "C", "J", "End"]
    assert len(bench.warnings) == 2


async def test_a_fork_whose_action_fails_in_a_composite_takes_its_failure_edge_and_starts_nothing(
    bench: Bench,
) -> None:
    diagram = """[*] --> C
    state C {
    state F <<fork>>
    state J <<join>>
    [*] --> F
    F --> A
    F --> B
    A --> J
    B --> J
    J --> [*]
    }
    C --> End
    C --> Sorry: failure
    End --> [*]
    Sorry --> [*]"""
    run = await bench.run(bench.write("w", diagram, 'F: Shell "exit 3"'))
    assert run.ending is Ending.COMPLETED, run.error
    assert paths(run) == ["C", "F", "Sorry"]
