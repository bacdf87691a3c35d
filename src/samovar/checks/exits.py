"""What is doubtful about the ways out of states: never taken, or meant otherwise in old files.

Above: `checking.py`. Below: the values of a workflow, and `routing.py`, which decides while it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from samovar.errors import Fault, Place
from samovar.language.diagram import END
from samovar.language.workflow import Kind, State, Transition, When, Workflow
from samovar.running.routing import FAILURE_NAMES, states_that_only_choose

_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)


def doubtful_exits(workflow: Workflow, *, is_old: bool) -> Iterator[Fault]:
    """Warnings. `is_old`: the file may have been written for the older system."""
    for state in workflow.states.values():
        if state.kind is not Kind.FORK:
            yield from _never_taken(state, goes_on=workflow.on_error == "continue")
            yield from _lists(state)
    if is_old and workflow.choice_states_act:
        for name in sorted(states_that_only_choose(workflow.states)):
            state = workflow.states[name]
            if state.action is not None:
                yield _warning(
                    "acts-now",
                    f"The state {name!r} has several labelled exits: in SwissArmyHammer it did not act, "
                    "here it does. If it should not: `choice_states_act: false` in the front matter.",
                    state.action.place,
                )


def _never_taken(state: State, *, goes_on: bool) -> Iterator[Fault]:
    """Transitions that another one is always taken before."""
    for index, transition in enumerate(state.transitions):
        before = state.transitions[:index]
        # The default is tried last, wherever it stands.
        after = state.transitions[index + 1 :] if transition.when is When.DEFAULT else ()
        rival = _rival(transition, before, (*before, *after), state.action is not None and not goes_on)
        if rival is not None and not _is_from_within(state, transition):
            target = "the end" if transition.target is None else repr(transition.target)
            yield _warning(
                "never-taken",
                f"The transition from {state.name!r} to {target} is never taken: that of line "
                f"{rival.place.line} is, whenever this one could be.",
                transition.place,
            )


def _is_from_within(state: State, transition: Transition) -> bool:
    """Whether a failure within takes it: of a branch of the join, or of a state of the composite."""
    is_exit = state.kind is Kind.JOIN or state.name.endswith(END)
    return is_exit and transition.when is When.FAILURE


def _rival(
    transition: Transition,
    before: tuple[Transition, ...],
    rivals: tuple[Transition, ...],
    can_fail: bool,
) -> Transition | None:
    """The one that is taken instead. `can_fail`: some are left for what happens after a failure only."""
    for other in rivals:
        if other.when is When.ALWAYS:
            is_written = bool(other.label.strip())
            if is_written or not can_fail or not _may_follow_failure(transition):
                return other
    for other in before:
        if _is_same(other, transition):
            return other
    outcomes = {other.when: other for other in rivals if other.when in (When.SUCCESS, When.FAILURE)}
    return outcomes[When.FAILURE] if len(outcomes) == 2 else None


def _may_follow_failure(transition: Transition) -> bool:
    """Whether it can be taken after the state's action has failed."""
    if transition.when is When.CONDITION:
        return transition.condition is not None and bool(transition.condition.names & FAILURE_NAMES)
    return transition.when is When.FAILURE or (
        transition.when is When.ALWAYS and bool(transition.label.strip())
    )


def _is_same(one: Transition, other: Transition) -> bool:
    if one.when is not other.when or one.when is When.ALWAYS:
        return False
    if one.condition is None or other.condition is None:
        return True
    return one.condition.text.split() == other.condition.text.split()


def _lists(state: State) -> Iterator[Fault]:
    for transition in state.transitions:
        condition = transition.condition
        if condition is not None and _LIST.fullmatch(condition.text):
            yield _warning(
                "list-condition",
                "A list that is not empty is true, so this is always taken: write the condition without [ ].",
                condition.place,
            )


def _warning(code: str, message: str, place: Place) -> Fault:
    return Fault(code=code, message=message, place=place, severity="warning")
