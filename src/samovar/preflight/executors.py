"""Whether those who are to answer a run's prompts can: there are such, they can do what is asked, and may.

Above: `prepare.py`, and `samovar check`. Below: the prompts of a run, and the table of executors. Nothing is
opened, and nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.given import Value
from samovar.actions.options import OPTIONS
from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.errors import Fault, NotFoundError, Place, SamovarError, UsageError, nearest
from samovar.executors.abilities import NEEDS, SAMPLING, cannot
from samovar.executors.table import KINDS, chosen_executors, known_executors, member, names_of
from samovar.generation import Options, Sampling
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.asked import AskedPrompt, asked
from samovar.preflight.limits import unknown_costs
from samovar.running.runner import RunnerSettings


def unfit_executors(
    workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings
) -> Iterator[Fault]:
    """What no run could do as it is written: names that there are not, and what an executor cannot do.

    Raises `NotFoundError` and `UsageError` for what the command or the settings name.
    """
    for one in library.tree(workflow):
        if one.executor is not None:
            yield from _unknown(one.executor.text, one.executor.place, settings)
    for prompt in asked(workflow, library, run, ready=True):
        text = prompt.executor(settings)
        if text is None:
            continue
        if prompt.names_executor and (unknown := tuple(_unknown(text, prompt.place_of_executor, settings))):
            yield from unknown
            continue
        try:
            chosen = chosen_executors(text, settings)
        except UsageError as error:
            if not prompt.names_executor:
                raise
            yield Fault(code="executor-fallback", message=error.message, place=prompt.place_of_executor)
            continue
        for each in chosen:
            yield from _unable(each, prompt, settings)


def own_unfit_executors(workflow: Workflow, library: Library, settings: Settings) -> Iterator[Fault]:
    """Those of one file, as `samovar check` shows them; what only this machine lacks is a warning."""
    run = RunnerSettings()
    for fault in unfit_executors(workflow, library, settings, run):
        if fault.place.path == workflow.path:
            yield fault
    found = (
        *_objections(workflow, library, settings, run),
        *unknown_costs(workflow, library, settings, run),
    )
    for error, place in found:
        if place.path == workflow.path:
            yield Fault(code="executor-not-ready", message=error.message, place=place, severity="warning")


def check_executors(workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings) -> None:
    """Raises `SamovarError` for an executor that is sure to be asked and could not answer: no key, say."""
    for error, place in _objections(workflow, library, settings, run):
        error.place, error.exit_status = error.place or place, 2  # nothing was run
        raise error


def _objections(
    workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings
) -> Iterator[tuple[SamovarError, Place]]:
    for prompt in asked(workflow, library, run):
        text = prompt.executor(settings)
        try:
            chosen = chosen_executors(text, settings) if text is not None else ()
        except (NotFoundError, UsageError):
            continue
        for each in chosen:
            own = prompt.action.using.of("model")
            model = prompt.defaults.winning_model("only the run knows" if own is not None else None)
            error = member(each.name, settings).objection(each, model)
            if error is not None:
                yield error, prompt.place_of_executor


def _unknown(text: str, place: Place, settings: Settings) -> Iterator[Fault]:
    known = known_executors(settings)
    for name in names_of(text) or (text,):
        if name not in known:
            hint = nearest(name[:100], known) or f" There is {', '.join(known)}."
            message = f"There is no executor {name[:100]!r}.{hint}"
            yield Fault(code="unknown-executor", message=message, place=place)


def _unable(executor: DeclaredExecutor, prompt: AskedPrompt, settings: Settings) -> Iterator[Fault]:
    """What is asked of an executor that it cannot do."""
    abilities = member(executor.name, settings).abilities
    given: dict[str, Place] = {
        pair.key: pair.value.place
        for pair in prompt.action.using.pairs
        if _means_something(pair.key, pair.value)
    }
    if prompt.action.verify is not None:
        given.setdefault("verify", prompt.action.verify.line.text.place)
    if prompt.defaults.deterministic:
        given.setdefault("deterministic", prompt.action.place)
    for option, place in given.items():
        if words := cannot(abilities, option):
            able = [kind for kind in KINDS if not cannot(member(kind, settings).abilities, option)]
            others = f" An executor of the kind {' or '.join(able)} can." if able else ""
            message = f"The executor {executor.name!r} cannot {words} (`{option}`).{others}"
            yield Fault(code="executor-cannot", message=message, place=place)


def _means_something(option: str, value: Value) -> bool:
    """Whether an option asks for more than what there is without it."""
    if not value.is_literal or option not in OPTIONS:
        return True
    try:
        read = OPTIONS[option](value.given)
    except ValueError:  # which is said where the file is read
        return False
    if option in SAMPLING and option != "seed":
        return bool(read != getattr(Sampling(), option))
    return option not in NEEDS or not hasattr(Options, option) or read != getattr(Options(), option)
