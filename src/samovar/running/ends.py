"""The ends of a workflow, and their messages: stuck, failed in a sub-workflow, too large a value.

Above: `loop.py`. Below: frames, routes and events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from samovar.actions.base import Outcome
from samovar.errors import ChildError, JoinError, ReturnsError, TooLargeError
from samovar.errors.counting import counted
from samovar.events import Caller, Ending, RunError
from samovar.language.workflow import Fork, State
from samovar.running.frame import Frame
from samovar.running.routing import Choice, explain
from samovar.running.visit_context import Child, VisitContext
from samovar.values import is_within


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one workflow of a run ended. A branch that has reached its join has completed."""

    ending: Ending
    error: RunError | None = None
    """Why it did not complete; None if it did, or was cancelled."""


def with_types(frame: Frame, end: End) -> End:
    """The end, unless the workflow has completed and something that it returns has not its type."""
    returns = frame.workflow.returns
    wrong = returns.wrong(frame.variables) if returns and end.ending is Ending.COMPLETED else None
    if wrong is None:
        return end
    message, place = wrong
    return End(ending=Ending.FAILED, error=RunError.of(ReturnsError(message, place=place)))


def child_error(context: VisitContext, child: Child, end: End) -> ChildError:
    """Why a sub-workflow did not complete, as its caller's failure: what went wrong in it, and where."""
    above = context.frame
    why = end.error or RunError(code=str(end.ending), message=f"Workflow {child.name!r} was {end.ending}.")
    path = above.prefix + context.state.name
    caller = Caller(workflow=above.workflow.name, state=path, place=child.place)
    return ChildError(replace(why, chain=(caller, *why.chain)))


def too_large(outcome: Outcome, most_bytes: int) -> TooLargeError | None:
    """The message about the first of its values that is too large."""
    named = {f"The variable {name!r}": value for name, value in outcome.sets.items()}
    for what, value in {**named, "The variable 'result'": outcome.value}.items():
        if not is_within(value, most_bytes):
            return TooLargeError(what, most_bytes)
    return None


def too_few(frame: Frame, fork: Fork, started: int) -> RunError | None:
    """What is wrong if fewer branches of a fork have started than its join needs."""
    if fork.needed is None or fork.needed.count <= started:
        return None
    message = (
        f"The join needs {counted(fork.needed.count, 'branch', 'branches')}, but only {started} started."
    )
    return RunError.of(JoinError(message), frame.prefix + fork.join, fork.needed.place)


def no_way_on(frame: Frame, state: State, choice: Choice, error: RunError | None) -> End:
    """No transition is true: the run fails if the action did, else it is stuck."""
    if error is not None:
        return End(ending=Ending.FAILED, error=error)
    path = frame.prefix + state.name
    stuck = RunError(code="stuck", message=explain(state, choice), state=path, place=state.place)
    return End(ending=Ending.STUCK, error=stuck)
