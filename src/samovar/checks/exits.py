"""Doubtful exits of states: never taken, or with another meaning in old files.

Above: `checking.py`. Below: the values of a workflow, and `routing.py`, which decides while it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from samovar.errors import Fault, Place
from samovar.language.diagram import END
from samovar.language.workflow import Kind, State, Transition, When, Workflow
from samovar.running.routing import states_that_only_choose

_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)


def doubtful_exits(workflow: Workflow, *, is_old: bool) -> Iterator[Fault]:
    """Warnings, and lists as conditions, which are errors. `is_old`: it is a file of the older system."""
    for state in workflow.states.values():
        if state.kind is not Kind.FORK:
            yield from _never_taken(state, goes_on=workflow.on_error == "continue")
            yield from _lists(state, is_old=is_old)
    if is_old and workflow.choice_states_act:
        for name in sorted(states_that_only_choose(workflow.states)):
            state = workflow.states[name]
            if state.action is not None:
                yield _warning(
                    "acts-now",
                    f"The state {name!r} has several labelled exits: in SwissArmyHammer its action was not "
                    "performed, here it is. To prevent that, write `choice_states_act: false` in the "
                    "front matter.",
                    state.action.place,
                )


def _never_taken(state: State, *, goes_on: bool) -> Iterator[Fault]:
    """Transitions that another one is always taken before."""
    rivals = _Rivals(
        state=state,
        can_fail=state.action is not None and not goes_on,
    )
    found: list[tuple[Transition, Transition]] = []
    defaults: list[Transition] = []
    for transition in state.transitions:
        if transition.when is When.DEFAULT and rivals.of(transition) is None:
            defaults.append(transition)  # it is tried last, wherever it is
        elif (rival := rivals.of(transition)) is not None:
            found.append((transition, rival))
        rivals.add(transition)
    found += [(one, rival) for one in defaults if (rival := rivals.of(one)) is not None and rival is not one]
    for transition, rival in found:
        if _is_from_within(state, transition):
            continue
        target = "the end" if transition.target is None else repr(transition.target)
        yield _warning(
            "never-taken",
            f"The transition from {state.name!r} to {target} is never taken: the one "
            f"on line {rival.place.line} always comes first.",
            transition.place,
        )


@dataclass(slots=True)
class _Rivals:
    """The transitions of a state that others come too late for; changed by `add`."""

    state: State
    can_fail: bool
    """Some are left for what happens after a failure only."""
    always: Transition | None = None
    written: Transition | None = None
    """The first with the label `always`."""
    same: dict[object, Transition] = field(default_factory=dict)

    def add(self, transition: Transition) -> None:
        if transition.when is When.ALWAYS:
            self.always = self.always or transition
            if transition.is_written_always:
                self.written = self.written or transition
        else:
            self.same.setdefault(_meaning(transition), transition)

    def of(self, transition: Transition) -> Transition | None:
        """The one that is taken instead."""
        is_meant = transition.is_written_always or transition.takes_failure(self.state)
        after_failure = self.can_fail and is_meant
        if (always := self.written if after_failure else self.always) is not None:
            return always
        if (same := self.same.get(_meaning(transition))) is not None:
            return same
        success, failure = self.same.get(When.SUCCESS), self.same.get(When.FAILURE)
        return failure if success is not None else None


def _meaning(transition: Transition) -> object:
    if transition.when is not When.CONDITION:
        return transition.when
    return " ".join(transition.condition.text.split()) if transition.condition else transition


def _is_from_within(state: State, transition: Transition) -> bool:
    """Whether a failure within takes it: of a branch of the join, or of a state of the composite."""
    is_exit = state.kind is Kind.JOIN or state.name.endswith(END)
    return is_exit and transition.when is When.FAILURE


def _lists(state: State, *, is_old: bool) -> Iterator[Fault]:
    for transition in state.transitions:
        condition = transition.condition
        if condition is not None and condition.names and _LIST.fullmatch(condition.text):
            message = "A list that is not empty is true, so this is always taken: write it without [ ]."
            yield Fault(
                code="list-condition",
                message=message,
                place=condition.place,
                severity="warning" if is_old else "error",
            )


def _warning(code: str, message: str, place: Place) -> Fault:
    return Fault(code=code, message=message, place=place, severity="warning")
