"""Reads of `error` in states where no failure can be read any more.

Above: `checking.py`. Below: the values of a workflow; `running/frame.py` decides while it runs. Of each state
it is known whether an edge that takes failures leads to it; if that is not sure, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.errors import Fault, Place
from samovar.language.workflow import Workflow

NAME = "error"


def errors_read_too_late(workflow: Workflow) -> Iterator[Fault]:
    """Warnings, if the variable is null whatever happens."""
    is_own = NAME in {parameter.name for parameter in workflow.parameters}
    if is_own or workflow.on_error == "continue" or not workflow.choice_states_act:
        return
    if workflow.unread:  # an action that cannot be read may be what fails
        return
    told = _told(workflow)
    for state in workflow.states.values():
        if state.name in told:
            continue
        for action in state.actions:
            if NAME in action.names:
                yield _fault(action.place)
        for condition in (one.condition for one in state.transitions if state.action is None):
            if condition is not None and NAME in condition.names:
                yield _fault(condition.where(NAME))


def _told(workflow: Workflow) -> set[str]:
    """The states in which a failure of another one may be read."""
    told: set[str] = set() if workflow.at_end is None else {workflow.at_end}
    waiting = [
        name
        for state in workflow.states.values()
        for transition in state.transitions
        if transition.target is not None and (transition.is_written_always or transition.takes_failure(state))
        for name in workflow.whole(transition.target)
    ]
    while waiting:
        name = waiting.pop()
        if name in told:
            continue
        told.add(name)
        state = workflow.states[name]
        if state.action is None:  # it passes on what it got
            targets = (one.target for one in state.transitions if one.target is not None)
            waiting += (name for target in targets for name in workflow.whole(target))
    return told


def _fault(place: Place) -> Fault:
    message = (
        "`error` is always null here: it can only be read in the state, or the composite, that a failure "
        'edge leads to. Keep what you need later there, as with `Set why="${error.message}"`.'
    )
    return Fault(code="error-gone", message=message, place=place, severity="warning")
