"""Composite states and concurrent regions: where a run goes in, through, and out of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from samovar.checks.checking import check_workflow
from samovar.errors import EngineError, FaultsError
from samovar.events import Ending
from samovar.running.run import Run
from tests.bench import Answer, Bench, Told, paths

pytestmark = pytest.mark.anyio


def warnings(bench: Bench, diagram: str, actions: str = "") -> list[str]:
    faults = check_workflow(bench.write("w", diagram, actions), bench.library)
    return [fault.code for fault in faults if fault.severity == "warning"]


async def run_of(bench: Bench, diagram: str, actions: str = "", *, told: Sequence[Answer] = ()) -> Run:
    return await bench.run(bench.write("w", diagram, actions), Told(told))


WORK = """[*] --> Work
Work --> Done
Done --> [*]
state Work {
    [*] --> A
    A --> B
    B --> [*]
}"""


async def test_a_composite_is_a_scope_and_its_end_leads_on_by_its_own_edges(bench: Bench) -> None:
    run = await run_of(bench, WORK)
    assert run.ending is Ending.COMPLETED
    assert paths(run) == ["Work", "A", "B", "Work [*]", "Done"]
    assert warnings(bench, WORK) == []


async def test_composites_stand_in_composites_and_may_have_actions_and_conditions(bench: Bench) -> None:
    diagram = """[*] --> Outer
    state Outer {
        [*] --> Inner
        state Inner {
            [*] --> Count
            Count --> [*]
        }
        Inner --> Inner: n < 3
        Inner --> [*]: default
    }
    Outer --> Small: n < 3
    Outer --> Big: default
    Small --> [*]
    Big --> [*]"""
    run = await run_of(bench, diagram, "Outer: Set n := 0\nCount: Set n := n + 1\nBig: Set size=big")
    assert run.variables["size"] == "big"
    assert paths(run) == [
        *("Outer", *(("Inner", "Count", "Inner [*]") * 3), "Outer [*]", "Big"),
    ]


async def test_edges_may_cross_the_border_of_a_composite(bench: Bench) -> None:
    frame = "[*] --> A\nstate Group {\nA --> B\n}\nB --> C\nC --> [*]"
    assert paths(await run_of(bench, frame)) == ["A", "B", "C"]
    assert warnings(bench, frame) == []
    jump = WORK.replace("A --> B", "A --> Done: jump\nA --> B: default")
    assert paths(await run_of(bench, jump, "Work: Set jump=true")) == ["Work", "A", "Done"]


async def test_a_composite_without_start_or_end_is_read_as_it_was_meant_and_told(bench: Bench) -> None:
    diagram = "[*] --> Work\nWork --> Done\nDone --> [*]\nstate Work {\nA --> B\n}"
    assert paths(await run_of(bench, diagram)) == ["Work", "A", "B", "Work [*]", "Done"]
    assert warnings(bench, diagram) == ["no-start", "no-exit"]


async def test_a_state_that_aborts_needs_no_way_out_of_its_composite(bench: Bench) -> None:
    frame = "[*] --> Group\nstate Group {\n[*] --> A\nA --> B: failure\nA --> [*]\n}\nGroup --> [*]"
    assert warnings(bench, frame) == ["no-exit"]
    assert warnings(bench, frame, "B: Abort") == []


async def test_a_composite_that_nothing_leads_out_of_is_stuck_and_told(bench: Bench) -> None:
    diagram = "[*] --> Work\nstate Work {\n[*] --> A\nA --> [*]\n}"
    run = await run_of(bench, diagram)
    assert run.ending is Ending.STUCK
    assert warnings(bench, diagram) == ["no-exit", "no-end"]


@pytest.mark.parametrize("where", ["A", "Inner"])
async def test_a_failure_within_a_composite_takes_its_failure_edge(bench: Bench, where: str) -> None:
    inside = {"A": "A --> [*]", "Inner": "A --> Inner\nstate Inner {\n[*] --> C\nC --> [*]\n}\nInner --> [*]"}
    diagram = f"""[*] --> Work
    state Work {{
        [*] --> A
        {inside[where]}
    }}
    Work --> Mend: failure
    Work --> Done: default
    Mend --> [*]
    Done --> [*]"""
    failing = "A" if where == "A" else "C"
    run = await run_of(
        bench, diagram, f'{failing}: Prompt "x"\nMend: Log "${{error.state}}"', told=[EngineError("no")]
    )
    assert run.ending is Ending.COMPLETED
    assert paths(run)[-2:] == [failing, "Mend"]
    assert run.variables["is_error"] is False


async def test_a_states_own_failure_edge_comes_before_that_of_its_composite(bench: Bench) -> None:
    diagram = """[*] --> Work
    state Work {
        [*] --> A
        A --> Own: failure
        A --> [*]: default
        Own --> [*]
    }
    Work --> Mend: failure
    Work --> [*]: default
    Mend --> [*]"""
    run = await run_of(bench, diagram, 'A: Prompt "x"\nOwn: Log "mended"', told=[EngineError("no")])
    assert paths(run) == ["Work", "A", "Own", "Work [*]"]


REGIONS = """[*] --> Both
state Both {
    [*] --> A
    A --> A2
    A2 --> [*]
    --
    [*] --> B
    B --> [*]
}
Both --> Done
Done --> [*]"""


async def test_regions_are_branches_that_meet_at_the_end_of_the_composite(bench: Bench) -> None:
    run = await run_of(bench, REGIONS, "A2: Set a=1\nB: Set b=2\nDone: Set both := a + b")
    assert run.ending is Ending.COMPLETED
    assert run.variables["both"] == 3
    assert {visit.branch for visit in run.visits if visit.name in ("A", "A2")} == {"A"}
    assert sorted(paths(run)) == sorted(["Both", "A", "A2", "B", "Both [*]", "Done"])
    assert warnings(bench, REGIONS) == []


async def test_a_branch_that_fails_takes_the_failure_edge_behind_the_join(bench: Bench) -> None:
    diagram = REGIONS.replace("Both --> Done", "Both --> Mend: failure\nMend --> [*]\nBoth --> Done: default")
    run = await run_of(
        bench, diagram, 'B: Prompt "x"\nMend: Set why="${error.message}"', told=[EngineError("no")]
    )
    assert run.ending is Ending.COMPLETED
    assert paths(run)[-1] == "Mend"
    assert run.variables["why"] == "no"
    assert run.variables["is_error"] is False


async def test_regions_stand_in_regions(bench: Bench) -> None:
    diagram = """[*] --> Both
    state Both {
        [*] --> A
        A --> [*]
        --
        [*] --> Deep
        state Deep {
            [*] --> C
            C --> [*]
            --
            [*] --> D
            D --> [*]
        }
        Deep --> E
        E --> [*]
    }
    Both --> [*]"""
    run = await run_of(bench, diagram, "A: Set a=1\nC: Set c=2\nD: Set d=3\nE: Set e := c + d")
    assert run.ending is Ending.COMPLETED
    assert (run.variables["a"], run.variables["e"]) == (1, 5)


FORKS = """state F <<fork>>
state G <<fork>>
state K <<join>>
state J <<join>>
[*] --> F
F --> A
F --> G
G --> C
G --> D
A --> J
J --> [*]
"""


@pytest.mark.parametrize(
    ("rest", "order"),
    [("C --> K\nD --> K\nK --> E\nE --> J", "E"), ("C --> J\nD --> J\nK --> [*]", "")],
    ids=["own join", "shared join"],
)
async def test_forks_stand_in_branches(bench: Bench, rest: str, order: str) -> None:
    last = "\nE: Set e := c + d" if order else ""
    run = await run_of(bench, FORKS + rest, "A: Set a=1\nC: Set c=2\nD: Set d=3" + last)
    assert run.ending is Ending.COMPLETED
    assert {name: run.variables.get(name) for name in "acd"} == {"a": 1, "c": 2, "d": 3}
    assert run.variables.get("e") == (5 if order else None)
    assert paths(run).count("J") == 1


async def test_a_session_of_a_branch_is_not_used_by_a_fork_within_another(bench: Bench) -> None:
    actions = 'A: Prompt "x" using session="s"\nC: Prompt "y" using session="s"'
    workflow = bench.write("w", FORKS + "C --> K\nD --> K\nK --> J", actions)
    assert [fault.code for fault in check_workflow(workflow, bench.library)] == ["shared-session"]
    run = await run_of(bench, FORKS + "C --> K\nD --> K\nK --> J", actions, told=["1", "2"])
    assert run.ending is Ending.FAILED


async def test_an_inner_fork_does_not_leave_by_a_join_that_is_the_outer_ones_too(bench: Bench) -> None:
    rest = "C --> J\nD --> J\nJ --> Fix: failure\nFix --> [*]\nK --> [*]"
    diagram = FORKS.replace("J --> [*]\n", "J --> Done: default\nDone --> [*]\n") + rest
    run = await run_of(
        bench, diagram, 'A: Wait 0 s\nC: Prompt "x"\nFix: Log "fixed"', told=[EngineError("no")]
    )
    assert run.ending is Ending.COMPLETED
    assert paths(run)[-1] == "Fix"
    assert "Done" not in paths(run)


async def test_a_fork_within_a_composite_with_a_failure_edge_fails_by_it(bench: Bench) -> None:
    diagram = """[*] --> Work
    state Work {
        state F <<fork>>
        state J <<join>>
        [*] --> F
        F --> A
        F --> B
        A --> J
        B --> J
        J --> [*]
    }
    Work --> Mend: failure
    Work --> Done: default
    Mend --> [*]
    Done --> [*]"""
    assert warnings(bench, diagram, "A: Set a=1\nB: Set b=1") == []
    assert paths(await run_of(bench, diagram, "A: Set a=1"))[-1] == "Done"
    failed = await run_of(bench, diagram, 'A: Prompt "x"', told=[EngineError("no")])
    assert (failed.ending, paths(failed)[-1]) == (Ending.COMPLETED, "Mend")


async def test_forks_within_branches_meet_where_all_paths_do(bench: Bench) -> None:
    diagram = """state F <<fork>>
    state G <<fork>>
    state H <<fork>>
    state J <<join>>
    state J2 <<join>>
    [*] --> F
    F --> A
    F --> B
    A --> G
    G --> C
    G --> D
    C --> J
    D --> J
    B --> H
    H --> E
    H --> K
    E --> J2
    K --> J2
    J2 --> J
    J --> [*]"""
    run = await run_of(bench, diagram)
    assert run.ending is Ending.COMPLETED
    assert paths(run).count("J") == 1


async def test_the_first_branch_that_fails_is_the_one_that_is_told(bench: Bench) -> None:
    diagram = FORKS.replace("A --> J\nJ --> [*]\n", "A --> J\nJ --> Fix: failure\nFix --> [*]\n")
    actions = 'A: Set x := nope1\nC: Set x := nope2\nFix: Log "${error.state}"'
    run = await run_of(bench, diagram + "C --> K\nD --> K\nK --> J", actions)
    assert bench.log == ["A"]
    assert run.ending is Ending.COMPLETED


async def test_an_edge_that_is_always_taken_takes_a_failure_from_within_and_nothing_else(
    bench: Bench,
) -> None:
    diagram = """[*] --> Work
    state Work {
        [*] --> A
        A --> B
        B --> [*]
    }
    Work --> Next: always
    Next --> [*]"""
    actions = 'A: Prompt "x"\nB: Set b=1'
    assert paths(await run_of(bench, diagram, actions, told=["ok"])) == ["Work", "A", "B", "Work [*]", "Next"]
    failed = await run_of(bench, diagram, actions, told=[EngineError("no")])
    assert (failed.ending, paths(failed)) == (Ending.COMPLETED, ["Work", "A", "Next"])


async def test_a_variable_called_branches_is_the_workflows_own(bench: Bench) -> None:
    again = FORKS.replace("J --> [*]\n", "J --> Own\nOwn --> F: n < 2\nOwn --> [*]: default\n")
    actions = 'A: Set v=1\nC: Set v=2\nOwn: Set branches="mine", n := n + 1'
    workflow = bench.write("w", again + "C --> K\nD --> K\nK --> J", actions)
    run = await bench.run(workflow, n=0)
    assert (run.ending, run.variables["branches"]) == (Ending.COMPLETED, "mine")


CONDITIONAL = """[*] --> Work
state Work {
    [*] --> In
    state In {
        [*] --> A
        A --> B: n == 7
        A --> [*]
        B --> [*]
    }
    In --> Mend: is_error && n > 2
    In --> Log: n > 0
    In --> [*]
}
Work --> Last: failure
Work --> [*]
Mend --> [*]
Log --> [*]
Last --> [*]"""


@pytest.mark.parametrize(
    ("n", "told", "path"),
    [
        (3, EngineError("no"), ["Work", "In", "A", "Mend"]),
        (2, EngineError("no"), ["Work", "In", "A", "Last"]),
        (3, "yes", ["Work", "In", "A", "In [*]", "Log"]),
        (7, "yes", ["Work", "In", "A", "B", "In [*]", "Log"]),
        (0, "yes", ["Work", "In", "A", "In [*]", "Work [*]"]),
    ],
)
async def test_a_condition_that_reads_the_failure_takes_it_from_within(
    bench: Bench, n: int, told: str | EngineError, path: list[str]
) -> None:
    actions = 'A: Prompt "x"'
    workflow = bench.write("w", CONDITIONAL, actions)
    run = await bench.run(workflow, Told([told]), n=n)
    assert (run.ending, paths(run)) == (Ending.COMPLETED, path)


async def test_what_is_wrong_with_a_composites_condition_is_told_once(bench: Bench) -> None:
    diagram = CONDITIONAL.replace("n > 2", "(nn.includes('x') || failed())")
    with pytest.raises(FaultsError) as caught:
        bench.write("w", diagram, 'A: Prompt "x"\nB: Set n=1')
    assert [fault.code for fault in caught.value.faults if fault.severity == "error"] == ["unknown-function"]
    spoilt = diagram.replace(" || failed()", "")
    faults = check_workflow(bench.write("w", spoilt, 'A: Prompt "x"\nB: Set n=1'), bench.library)
    assert sorted(fault.code for fault in faults) == ["old-spelling", "unset-variable"]


@pytest.mark.parametrize("rest", ["C --> K\nD --> K\nK --> J", "C --> J\nD --> J"])
async def test_what_inner_branches_disagree_about_is_kept_behind_the_outer_join(
    bench: Bench, rest: str
) -> None:
    diagram = FORKS.replace("J --> [*]", "J --> Tell\nTell --> [*]") + rest
    actions = (
        'A: Set v=1\nC: Set v=2\nD: Set v=3\nTell: Log "${branches.C.v} ${branches.D.v} ${branches.A.v} ${v}"'
    )
    run = await run_of(bench, diagram, actions)
    assert (run.ending, bench.log) == (Ending.COMPLETED, ["2 3 1 3"])
