"""The models that a workflow needs on this machine, and whether they can answer, before its run.

Above: `prepare.py`, and `samovar check`. Below: `app.py`, the executors, references to models, and what
models cost. Nothing is loaded or fetched; a model's file is read no further than its header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samovar.actions.defaults import PromptDefaults
from samovar.actions.prompt import ExecutePrompt
from samovar.app import budget_bytes, not_here, open_stores, read_reference, spec_for
from samovar.config import Settings, source_of
from samovar.engines.base import ModelSpec
from samovar.errors import Fault, ModelError, ModelFetchError, Place, SamovarError, UsageError
from samovar.executors.table import known_executors, member
from samovar.files import exists
from samovar.language.model_names import beside
from samovar.language.names import OF_FAILURE
from samovar.language.parsed_action import ParsedAction
from samovar.language.workflow import State, When, Workflow
from samovar.library import Library
from samovar.models.capabilities import Capability
from samovar.models.header import read_header, require
from samovar.models.offers import offer
from samovar.models.reference import Reference
from samovar.models.split import first_part
from samovar.running.runner import RunnerSettings, first_defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A model that some prompt of a run names."""

    reference: str
    place: Place | None
    """Where it is named; None: by the command or the settings."""


def check_models(
    workflow: Workflow,
    library: Library,
    settings: Settings,
    run: RunnerSettings,
    *,
    budget: int | None = None,
) -> tuple[str, ...]:
    """The models that the run is known to need, all of which can answer. Otherwise raises why not.

    Models that only the run knows are passed over, as are those of states that have a way on after a failure.
    What can be fetched is not missing. `budget`: the bytes that models may take in all; None: it is not
    looked at whether they have room. Raises `UsageError` for what cannot be a reference, `ModelError` for a
    file that is not there, or that cannot answer with this context and budget.
    """
    stores = open_stores(settings)
    needs = needed_models(workflow, library, settings, run)
    for need in needs:
        try:
            reference = read_reference(settings, need.reference)
            if not reference.is_fetched or stores.is_here(reference):
                path = stores.find(reference)
                header = read_header(path)  # which names the file as written
                require(header, Capability.ANSWER, name=need.reference)
                if budget is not None:
                    _check_room(spec_for(settings, reference, path), budget)
            elif settings.offline:
                raise not_here(reference)
            else:
                _check_fetched(reference)
        except SamovarError as error:
            if isinstance(error, ModelError) and need.place is None and run.model is None:
                error.message += _also_here(settings, budget)
            error.place = error.place or need.place
            error.exit_status = 2  # nothing was run
            raise
    return tuple(need.reference for need in needs)


def _check_fetched(reference: Reference) -> None:
    """Raises `ModelFetchError` for what the run could not fetch, as far as that is known."""
    if reference.scheme == "hf":
        from samovar.models.fetching import objection  # which takes time to import

        if why := objection(reference):
            raise ModelFetchError(why)


def _also_here(settings: Settings, budget: int | None) -> str:
    """A sentence that suggests another model if none is configured; empty if there is none."""
    if source_of("model", {}) is not None:
        return ""
    found = offer(open_stores(settings), budget or budget_bytes(settings), settings.kv_type)
    return f" Also here: --model {found.said}." if found else ""


def _check_room(spec: ModelSpec, budget: int) -> None:
    """Raises `ModelError` if the model could not answer even with the whole budget for itself."""
    from samovar.engines.llama.engine import LlamaEngine
    from samovar.serving.refusals import refusal

    engine = LlamaEngine()
    cost = engine.predict(spec, free_bytes=budget)
    if cost.total_bytes > budget:
        raise refusal(engine, spec, cost, budget_bytes=budget)


def doubtful_models(workflow: Workflow, library: Library, settings: Settings) -> Iterator[Fault]:
    """Mistakes in the models that a workflow's file names: errors, and warnings for missing files."""
    for need in needed_models(workflow, library, settings, RunnerSettings(), ready=True):
        if need.place is None or need.place.path != workflow.path:
            continue
        try:
            reference = read_reference(settings, need.reference)
        except UsageError as error:
            yield Fault(code="unknown-model", message=error.message, place=need.place)
            continue
        if message := _missing(reference, settings):
            yield Fault(code="unknown-model", message=message, place=need.place, severity="warning")


def _missing(reference: Reference, settings: Settings) -> str | None:
    """The message about a model that is not on this machine, and that no run would fetch; else None."""
    if reference.is_fetched:
        return None
    if reference.path is not None:
        there = exists(first_part(reference.path))
        return None if there else f"There is no model file {reference.text} on this machine."
    try:
        open_stores(settings).find(reference)
    except ModelError as error:
        return error.message
    return None


def needed_models(
    workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings, *, ready: bool = False
) -> tuple[Need, ...]:
    """The models that are known before the run, each once, in the order of the files.

    Those of executors that need no model on this machine are not among them. `ready`: also those that a run
    may do without: of states that have a way on after a failure, and of actions that tags choose from.
    """
    found: dict[str, Need] = {}
    seen: set[tuple[object, str | None, str | None]] = set()
    place = workflow.model.place if workflow.model else None
    waiting = [(workflow, first_defaults(workflow, run), place)]
    while waiting:
        one, defaults, place = waiting.pop(0)
        if (key := (one.identity, defaults.model, defaults.executor)) in seen:
            continue
        seen.add(key)
        for state, action in one.actions():
            if isinstance(action, ExecutePrompt) and (ready or _is_certain(state, action, one)):
                need = _need(action, one, defaults, settings, place)
                if need is not None:
                    found.setdefault(need.reference, need)
        for state, action, child in library.children(one):
            if ready or _is_certain(state, action, one):
                inherited = child.model.place if child.model else place
                waiting.append((child, defaults.below(child), inherited))
    return tuple(found.values())


def _need(
    action: ExecutePrompt,
    workflow: Workflow,
    defaults: PromptDefaults,
    settings: Settings,
    inherited: Place | None,
) -> Need | None:
    """The model that a prompt needs here; None if only the run knows it, or none is needed."""
    executor, model = action.using.of("executor"), action.using.of("model")
    if executor is not None and not executor.is_literal and defaults.forced_executor is None:
        return None
    if model is not None and not model.is_literal and defaults.forced_model is None:
        return None
    name = defaults.winning_executor(executor.text({}) if executor and executor.is_literal else None)
    if name is None:
        name = settings.executor
    if name not in known_executors(settings) and name not in (settings.executor, defaults.forced_executor):
        return None  # a file names it, and the checks of that file say so
    if not member(name, settings).needs_local_model:
        return None
    own = beside(workflow.folder, model.text({})) if model and model.is_literal else None
    reference = defaults.winning_model(own)
    if reference is None:
        return Need(reference=settings.model, place=None)
    if defaults.forced_model is not None:
        return Need(reference=reference, place=None)
    return Need(reference=reference, place=model.place if model else inherited or action.place)


def _is_certain(state: State, action: ParsedAction, workflow: Workflow) -> bool:
    """The action is not one of several that tags choose from, and the run has no way on after its failure."""
    own = state.action
    is_only = own is action or (own is not None and own.each is action)
    return is_only and not _goes_on(state, workflow)


def _goes_on(state: State, workflow: Workflow) -> bool:
    """A failure there is something the workflow is ready for."""
    return workflow.on_error == "continue" or any(
        one.when is When.FAILURE or (one.condition is not None and one.condition.names & OF_FAILURE)
        for one in state.transitions
    )
