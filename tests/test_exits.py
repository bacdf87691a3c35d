"""Ways out of states: what is said never to be taken never is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.checks.exits import doubtful_exits
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow
from samovar.running.routing import Situation, choose

LABELS = (
    "",
    "always",
    "default",
    "success",
    "failure",
    "x",
    "y",
    "x  &&  y",
    "x && y",
    "x && failure",
    "!success",
)


def flow(labels: tuple[str, ...], *, acts: bool = True, front: str = "") -> Workflow:
    """The state A with one edge for each label, in that order; the first edge is in line 3."""
    edges = "\n".join(f"A --> B{index}{': ' + label if label else ''}" for index, label in enumerate(labels))
    ends = "\n".join(f"B{index} --> [*]" for index in range(len(labels)))
    action = '- A: Shell "true"' if acts else ""
    text = f"```mermaid\nstateDiagram-v2\n{edges}\n[*] --> A\n{ends}\n```\n## Actions\n{action}\n"
    matter = f"---\n{front}\n---\n" if front else ""
    return parse_workflow(matter + text, name="w", path=None, parse_action=parse_action)


def never(workflow: Workflow) -> set[str]:
    """The targets of transitions that are said never to be taken."""
    found = [fault for fault in doubtful_exits(workflow, is_old=False) if fault.code == "never-taken"]
    return {fault.message.split("'")[3] for fault in found}


@pytest.mark.slow
@settings(max_examples=400)
@given(
    labels=st.lists(st.sampled_from(LABELS), min_size=1, max_size=5).map(tuple),
    acts=st.booleans(),
    goes_on=st.booleans(),
)
def test_it_is_never_taken_in_any_situation(labels: tuple[str, ...], acts: bool, goes_on: bool) -> None:
    workflow = flow(labels, acts=acts, front="on_error: continue" if goes_on else "")
    state, taken = workflow.states["A"], set()
    for x, y, failed_here, failed_last in product((False, True), repeat=4):
        if failed_here and not (acts and failed_last):
            continue
        if acts and failed_last and not failed_here:
            continue  # the last action is this state's
        situation = Situation(failed_here=failed_here, failed_last=failed_last, goes_on=goes_on)
        variables = {"x": x, "y": y, "success": not failed_last, "failure": failed_last}
        choice = choose(state, variables, situation).transition
        if choice is not None:
            taken.add(choice.target)
    assert not never(workflow) & taken


@pytest.mark.parametrize(
    ("labels", "targets"),
    [
        (("", "success"), {"B1"}),
        (("", "failure"), set()),
        (("always", "failure", ""), {"B1", "B2"}),
        (("default", "x", "default"), {"B2"}),
        (("default", ""), {"B0"}),
        (("x && y", "x  &&  y", "y"), {"B1"}),
        (("success", "failure", "x", "default"), {"B2", "B3"}),
        (("x", "y", "default"), set()),
    ],
)
def test_what_is_never_taken_is_named(labels: tuple[str, ...], targets: set[str]) -> None:
    assert never(flow(labels)) == targets


def test_the_one_that_is_taken_instead_has_its_line() -> None:
    (fault,) = doubtful_exits(flow(("", "success")), is_old=False)
    assert (fault.severity, fault.place.line) == ("warning", 4)
    assert "the one on line 3" in fault.message


def test_a_condition_in_brackets_is_a_list() -> None:
    (fault,) = doubtful_exits(flow(("[x > 1]", "default")), is_old=False)
    assert (fault.code, fault.place.line, fault.place.column) == ("list-condition", 3, 11)


def test_a_state_that_only_chose_in_the_older_system_is_named() -> None:
    codes = [fault.code for fault in doubtful_exits(flow(("x", "default")), is_old=True)]
    assert codes == ["acts-now"]
    assert not list(doubtful_exits(flow(("x", "default"), acts=False), is_old=True))
    assert not list(doubtful_exits(flow(("x", "default"), front="choice_states_act: false"), is_old=True))
