"""Which models a workflow needs, known before its run.

Above: the command line and the Python API. Below: `app.py`, the library, and references to models. Nothing
is loaded or fetched; of a model's file no more is read than its header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samovar.actions.base import Action
from samovar.actions.conditional import Conditional
from samovar.actions.prompt import ExecutePrompt, beside
from samovar.actions.workflow import RunWorkflow
from samovar.app import is_here, not_here, open_store
from samovar.config import Settings
from samovar.errors import Fault, Place, SamovarError, UsageError
from samovar.language.workflow import FAILURE_NAMES, State, When, Workflow
from samovar.library import Library
from samovar.models.header import read_header
from samovar.models.reference import parse_reference, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A model that some prompt of a run names."""

    reference: str
    place: Place | None
    """Where it is named; None: by the command or the settings."""


def check_models(workflow: Workflow, library: Library, settings: Settings, forced: str | None) -> None:
    """Raises why a prompt of the workflow, or of one it runs, cannot be answered for want of its model.

    `forced`: the model of every prompt, whatever it says. Models that only the run knows are passed over, as
    are those of states that have a way on after a failure. What can be fetched is not missing. Raises
    `UsageError` for what is no reference, `ModelNotFoundError` and `ModelFileError` for the file.
    """
    store = open_store(settings)
    for need in needed_models(workflow, library, settings.model, forced):
        try:
            reference = parse_reference(need.reference)
            if not reference.is_fetched:
                read_header(resolve(reference, store))
            elif settings.offline and not is_here(reference, store):
                raise not_here(reference)
        except SamovarError as error:
            error.place = error.place or need.place
            raise


def doubtful_models(workflow: Workflow, library: Library, settings: Settings) -> Iterator[Fault]:
    """What is wrong with the models that a workflow's file names: errors, and warnings for missing files."""
    for need in needed_models(workflow, library, settings.model, None, ready=True):
        if need.place is None or need.place.path != workflow.path:
            continue
        try:
            path = parse_reference(need.reference).path
        except UsageError as error:
            yield Fault(code="unknown-model", message=error.message, place=need.place)
            continue
        if path is not None and not path.exists():
            message = f"There is no model file {need.reference} on this machine."
            yield Fault(code="unknown-model", message=message, place=need.place, severity="warning")


def needed_models(
    workflow: Workflow, library: Library, default: str, forced: str | None, *, ready: bool = False
) -> tuple[Need, ...]:
    """The models that are known before the run, each once, in the order of the files.

    `ready`: also those of states that have a way on after a failure.
    """
    found: dict[str, Need] = {}
    seen: set[tuple[object, str | None]] = set()
    waiting: list[tuple[Workflow, str | None]] = [(workflow, workflow.model)]
    while waiting:
        one, inherited = waiting.pop(0)
        if (key := (one.path or one.name, inherited)) in seen:
            continue
        seen.add(key)
        for state, action in _actions(one):
            if isinstance(action, ExecutePrompt) and (ready or not _goes_on(state, one)):
                for need in _needs(action, one, inherited, default, forced):
                    found.setdefault(need.reference, need)
            elif (
                isinstance(action, RunWorkflow)
                and action.name.is_literal
                and (ready or not _goes_on(state, one))
            ):
                child = _child(action, one, library)
                if child is not None:
                    waiting.append((child, child.model or inherited))
    return tuple(found.values())


def _actions(workflow: Workflow) -> Iterator[tuple[State, Action]]:
    for state in workflow.states.values():
        if isinstance(state.action, Action) and not isinstance(state.action, Conditional):
            yield state, state.action


def _goes_on(state: State, workflow: Workflow) -> bool:
    """A failure there is something the workflow is ready for."""
    return workflow.on_error == "continue" or any(
        one.when is When.FAILURE or (one.condition is not None and one.condition.names & FAILURE_NAMES)
        for one in state.transitions
    )


def _needs(
    action: ExecutePrompt, workflow: Workflow, inherited: str | None, default: str, forced: str | None
) -> Iterator[Need]:
    own = action.using.of("model")
    if forced is not None:
        yield Need(reference=forced, place=None)
    elif own is not None:
        if own.is_literal:
            yield Need(reference=beside(workflow, own.text({})) or "", place=own.place)
    elif inherited is not None:
        place = workflow.model_place if workflow.model == inherited else None
        yield Need(reference=beside(workflow, inherited) or "", place=place or action.place)
    else:
        yield Need(reference=default, place=None)


def _child(action: RunWorkflow, workflow: Workflow, library: Library) -> Workflow | None:
    folder = workflow.path.parent if workflow.path else None
    try:
        return library.workflow(action.name.text({}), beside=folder)
    except SamovarError:
        return None
