"""The models that a workflow needs on this machine, and whether they can answer, before its run.

Above: `prepare.py`, and `samovar check`. Below: `app.py`, the executors, references to models, and what
models cost. Nothing is loaded or fetched; a model's file is read no further than its header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samovar.app import budget_bytes, not_here, open_stores, read_reference, spec_for
from samovar.config import Settings, source_of
from samovar.engines.base import ModelSpec
from samovar.errors import Fault, ModelError, ModelFetchError, NotFoundError, Place, SamovarError, UsageError
from samovar.executors.table import chosen_executors, member
from samovar.files import exists
from samovar.language.model_names import beside
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.models.capabilities import Capability
from samovar.models.header import read_header, require
from samovar.models.offers import offer
from samovar.models.reference import Reference
from samovar.models.split import first_part
from samovar.preflight.asked import AskedPrompt, asked
from samovar.running.runner import RunnerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A model that some prompt of a run names."""

    reference: str
    place: Place | None
    """Where it is named; None: by the command or the settings."""
    is_replaced: bool = False
    """Another executor is asked where there is no room for it."""


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
                if budget is not None and not need.is_replaced:
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
    for one in asked(workflow, library, run, ready=ready):
        need = _need(one, settings, ready=ready)
        if need is not None:
            found.setdefault(need.reference, need)
    return tuple(found.values())


def _need(one: AskedPrompt, settings: Settings, *, ready: bool) -> Need | None:
    """The model that a prompt needs here; None if only the run knows it, or none is needed."""
    model = one.action.using.of("model")
    text = one.executor(settings)
    if text is None or (model is not None and not model.is_literal and one.defaults.forced_model is None):
        return None
    try:
        chosen = chosen_executors(text, settings)
    except (NotFoundError, UsageError):
        return None  # which `executors.py` says
    here = [each for each in chosen if member(each.name, settings).needs_local_model]
    if not here or (here[0] is not chosen[0] and not ready):
        return None
    own = beside(one.workflow.folder, model.text({})) if model and model.is_literal else None
    reference = one.defaults.winning_model(own)
    is_replaced = len(chosen) > 1
    if reference is None:
        return Need(reference=here[0].model or settings.model, place=None, is_replaced=is_replaced)
    if one.defaults.forced_model is not None:
        return Need(reference=reference, place=None, is_replaced=is_replaced)
    place = model.place if model else one.model_place or one.action.place
    return Need(reference=reference, place=place, is_replaced=is_replaced)
