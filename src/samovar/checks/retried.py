"""Actions with `retries=` that may not be repeated, and prompts that would only repeat themselves.

Above: `checking.py`. Below: the actions, which say whether they may be repeated; the library, for those that
run another workflow: all that it does must be.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.base import Action
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.workflow import RunWorkflow
from samovar.errors import Fault, SamovarError
from samovar.language.workflow import Workflow
from samovar.library import Library


def doubtful_retries(workflow: Workflow, library: Library) -> Iterator[Fault]:
    """What is wrong or doubtful about each action that is performed again after a failure."""
    for _, action in workflow.actions():
        if not isinstance(action, Action) or action.retries is None or action.retries.is_none:
            continue
        place = action.retries.count.place
        if (why := _not_repeatable(action, workflow, library)) is not None:
            yield Fault(code="not-repeatable", message=why, place=place)
        elif isinstance(action, ExecutePrompt) and (same := _same_again(action)):
            message = (
                f"{same} the model gives the same answer again: `retries` only helps if the model was "
                "not available or too slow. Use temperature=0.7 without a seed to get another answer."
            )
            yield Fault(code="same-answer", message=message, place=place, severity="warning")


def _not_repeatable(action: Action, workflow: Workflow, library: Library) -> str | None:
    """Why an action may not be repeated; None if it may."""
    if isinstance(action, RunWorkflow):
        return _child_not_repeatable(action, workflow, library)
    if action.repeats_inside:
        return "`retries` would repeat the whole list: put it on the states inside the composite."
    if action.is_repeatable:
        return None
    if action.runs_command:
        return (
            "`retries` runs the command again, which may do something twice. If that is safe, add "
            "retry_safe=true."
        )
    return "`retries` is not allowed here: the action may do something twice."


def _child_not_repeatable(action: RunWorkflow, workflow: Workflow, library: Library) -> str | None:
    if action.runs is None:
        return "`retries` needs the workflow's name here, to know whether it is safe to run again."
    try:
        child = library.child(workflow, action.runs)
    except SamovarError:  # which is said of the name
        return None
    for one in library.tree(child):
        for state, inner in one.actions():
            if isinstance(inner, Action) and not isinstance(inner, RunWorkflow) and not inner.is_repeatable:
                way = "add retry_safe=true there" if inner.runs_command else "leave out `retries`"
                return (
                    f"`retries` runs the workflow {child.name!r} again, so its state {state.name!r} may do "
                    f"something twice: {way}."
                )
    return None


def _same_again(action: ExecutePrompt) -> str | None:
    """Why each attempt gives the same answer, as the beginning of a sentence; None if it does not."""
    temperature, seed = action.using.of("temperature"), action.using.of("seed")
    if temperature is None or (temperature.is_literal and float(str(temperature.given)) == 0):
        return "At temperature 0"
    return "With its own seed" if seed is not None and seed.is_literal else None
