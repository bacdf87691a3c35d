"""The shape of forks: which states belong to which branch, and what is no fork at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.errors import Fault, FaultsError
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow

HEAD = "state F <<fork>>\nstate J <<join>>\n"


def load(diagram: str) -> Workflow:
    """Of a diagram whose first line is line 3; `F` is a fork and `J` a join, declared in lines 3 and 4."""
    text = f"```mermaid\nstateDiagram-v2\n{HEAD}{diagram}\n```\n"
    return parse_workflow(text, name="w", path=None, parse_action=parse_action)


def faults(diagram: str) -> list[tuple[str, int, int]]:
    """The errors."""
    with pytest.raises(FaultsError) as caught:
        load(diagram)
    return [at(fault) for fault in caught.value.faults if fault.severity == "error"]


def at(fault: Fault) -> tuple[str, int, int]:
    return fault.code, fault.place.line, fault.place.column


def test_a_branch_is_all_paths_from_an_edge_of_the_fork_to_the_join() -> None:
    workflow = load(
        """[*] --> F
        F --> A
        F --> B
        A --> A2: x > 1
        A --> J: default
        A2 --> A
        B --> B2
        B2 --> B3
        B3 --> J
        J --> [*]"""
    )
    fork = workflow.forks["F"]
    assert fork.join == "J"
    assert [(branch.first, sorted(branch.states)) for branch in fork.branches] == [
        ("A", ["A", "A2"]),
        ("B", ["B", "B2", "B3"]),
    ]
    assert not workflow.warnings


def test_forks_may_follow_each_other_and_stand_in_a_loop_or_share_a_join() -> None:
    again = load(
        """[*] --> F\nF --> A\nF --> B\nA --> J\nB --> J\nJ --> F: again\nJ --> G: default
        state G <<fork>>\nstate K <<join>>\nG --> C\nG --> D\nC --> K\nD --> K\nK --> [*]"""
    )
    assert [(fork.name, fork.join) for fork in again.forks.values()] == [("F", "J"), ("G", "K")]
    shared = load(
        """[*] --> S\nS --> F: x\nS --> G: y\nS --> J: default\nF --> A\nF --> B\nA --> J\nB --> J
        state G <<fork>>\nG --> C\nG --> D\nC --> J\nD --> J\nJ --> [*]"""
    )
    assert {fork.join for fork in shared.forks.values()} == {"J"}


GOOD = "[*] --> F\nF --> A\nF --> B\nA --> J\nB --> J\nJ --> [*]\n"


@pytest.mark.parametrize(
    ("diagram", "found"),
    [
        ("[*] --> F\nF --> A\nF --> B\nA --> J\nB --> [*]\nJ --> [*]", ("branch-end", 9, 7)),
        ("[*] --> F\nF --> A\nF --> [*]\nA --> J\nJ --> [*]", ("branch-end", 7, 7)),
        (GOOD + "A --> [*]: x", ("branch-end", 11, 12)),
        (GOOD + "A --> B: x", ("shared-state", 7, 7)),
        (GOOD + "A --> X\nB --> X\nX --> J", ("shared-state", 12, 7)),
        (GOOD + "F --> A", ("shared-state", 11, 7)),
        (GOOD + "A --> F: x", ("fork-loop", 11, 10)),
        (GOOD + "F --> C\nC --> C", ("no-join", 11, 7)),
        ("[*] --> F\nF --> J\nJ --> [*]", ("empty-fork", 3, 7)),
        ("[*] --> A\nA --> F: x\nA --> J: default\nJ --> [*]", ("empty-fork", 3, 7)),
        (GOOD + "F --> C\nstate K <<join>>\nC --> K\nK --> [*]", ("two-joins", 13, 7)),
        (GOOD + "J --> C\nC --> A", ("branch-entry", 12, 7)),
        ("[*] --> A\nJ --> F\nF --> A\nF --> B\nA --> J\nB --> J\nJ --> [*]: x", ("branch-entry", 5, 9)),
        (GOOD + "F --> C: on success\nC --> J", ("fork-label", 11, 10)),
        (GOOD + "F --> C: failure\nC --> J", ("fork-label", 11, 10)),
        (GOOD + "F --> C: when x\nC --> J", ("unknown-label", 11, 10)),
    ],
)
def test_a_broken_shape_is_one_fault_with_its_place(diagram: str, found: tuple[str, int, int]) -> None:
    assert faults(diagram) == [found]


@pytest.mark.parametrize(
    ("diagram", "found"),
    [
        (GOOD + "F --> J", ("empty-branch", 11, 7)),
        ("[*] --> F\nF --> A\nA --> J\nJ --> [*]", ("one-branch", 3, 7)),
        (GOOD + "J --> K: x\nstate K <<join>>\nK --> [*]", ("no-fork", 11, 7)),
    ],
)
def test_what_is_doubtful_is_a_warning(diagram: str, found: tuple[str, int, int]) -> None:
    workflow = load(diagram)
    assert [at(fault) for fault in workflow.warnings] == [found]
    assert "J" not in {branch.first for branch in workflow.forks["F"].branches}


def test_the_message_names_what_meets() -> None:
    with pytest.raises(FaultsError, match=r"branches 'A' and 'B' of the fork 'F' share the state 'X'"):
        load(GOOD + "A --> X\nB --> X\nX --> J")


NAMES = st.sampled_from(["[*]", "A", "B", "C", "F", "J", "G", "K"])


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(st.tuples(NAMES, NAMES), max_size=14))
def test_any_diagram_is_a_workflow_or_faults_and_branches_never_overlap(edges: list[tuple[str, str]]) -> None:
    lines = "\n".join(f"{source} --> {target}" for source, target in edges)
    try:
        workflow = load(f"state G <<fork>>\nstate K <<join>>\n[*] --> A\n{lines}")
    except FaultsError as error:
        assert any(fault.severity == "error" for fault in error.faults)
        return
    for fork in workflow.forks.values():
        owned = [name for branch in fork.branches for name in branch.states]
        assert len(owned) == len(set(owned))
        assert not {fork.name, fork.join} & set(owned)
        for branch in fork.branches:
            targets = {way.target for name in branch.states for way in workflow.states[name].transitions}
            assert targets <= branch.states | {fork.join}


def test_forks_before_and_behind_each_other_are_none_within_each_other() -> None:
    lines = ["[*] --> F", "F --> X", "F --> Y", "X --> J", "Y --> J"]
    before = "J"
    for number in range(1, 60):
        f, g, k, end = (f"{kind}{number}" for kind in ("P", "Q", "K", "L"))
        lines += [f"state {name} <<fork>>" for name in (f, g)]
        lines += [f"state {name} <<join>>" for name in (k, end)]
        lines += [f"{before} --> {f}: next", f"{f} --> A{number}", f"{f} --> B{number}"]
        lines += [f"A{number} --> {g}", f"{g} --> C{number}", f"{g} --> D{number}"]
        lines += [f"C{number} --> {k}", f"D{number} --> {k}", f"{k} --> {end}", f"B{number} --> {end}"]
        before = end
    workflow = load("\n".join([*lines, f"{before} --> F: again", f"{before} --> [*]: default"]))
    assert len(workflow.forks) == 1 + 2 * 59
