"""Workflows that set names which the language itself sets.

Above: `checking.py`. Below: the values of a workflow, and the names of `language/names.py`. What a workflow
set there would be gone after the next action, silently.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.base import Action
from samovar.errors import Fault, Place, Severity
from samovar.language.names import BRANCHES, LIQUID_NOTHINGS, NOT_TO_SET, OF_BRANCH, OF_COMMAND
from samovar.language.workflow import Workflow


def names_set_twice(workflow: Workflow, *, is_old: bool) -> Iterator[Fault]:
    """Errors; in a file of the older system, warnings."""
    severity: Severity = "warning" if is_old else "error"
    for parameter in workflow.parameters:
        if parameter.name in LIQUID_NOTHINGS:
            yield _word_of_liquid(parameter.name, parameter.place)
    for _, action in workflow.actions():
        named = action.named if isinstance(action, Action) else {}
        for name, place in named.items():
            if name in LIQUID_NOTHINGS:
                yield _word_of_liquid(name, place)
            if name in NOT_TO_SET:
                message = f"{name!r} {_who(name)}, so it cannot be set here: use another name."
                yield Fault(code="reserved-name", message=message, place=place, severity=severity)
    for parameter in workflow.parameters:
        if parameter.name in NOT_TO_SET:
            message = (
                f"{parameter.name!r} {_who(parameter.name)}, so the value passed for this parameter may be "
                "lost: use another name."
            )
            yield Fault(code="reserved-name", message=message, place=parameter.place, severity="warning")
    yield from _names_of_branches(workflow)


def _names_of_branches(workflow: Workflow) -> Iterator[Fault]:
    """Warnings: what a branch sets is not in `branches` if that has something else by the name."""
    for fork in workflow.forks.values():
        for branch in fork.branches:
            states = [workflow.states[name] for name in sorted(branch.states)]
            for action in (action for state in states for action in state.actions):
                named = action.named if isinstance(action, Action) else {}
                for name in OF_BRANCH & named.keys():
                    message = (
                        f"`branches.{branch.first}.{name}` reports how the branch ended, not the value it "
                        f"gives {name!r}: use another name."
                    )
                    yield Fault(code="reserved-name", message=message, place=named[name], severity="warning")


def _word_of_liquid(name: str, place: Place) -> Fault:
    message = f"`{{{{ {name} }}}}` is a Liquid keyword, not this variable: use another name."
    return Fault(code="reserved-name", message=message, place=place, severity="warning")


def _who(name: str) -> str:
    """Who sets it, as the middle of a sentence."""
    if name in OF_COMMAND:
        return "is set by each command"
    return "is set by each join" if name == BRANCHES else "is set after each action"
