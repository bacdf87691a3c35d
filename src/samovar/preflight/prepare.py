"""The only way to prepare a run: returns the runner's input, or an error that says why not.

Above: the command line, the Python API, the tests of workflows. Below: the library, the checks, the binding
of parameters, and the models. It runs nothing and loads nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from samovar.checks.checking import check_tree
from samovar.checks.labels import REFUSED_AT_RUN
from samovar.checks.unset import Readers
from samovar.config import Settings
from samovar.errors import Fault, FaultsError, Place, TooLargeError, UsageError
from samovar.language.parameters import Parameter, bind
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.executors import check_executors, unfit_executors
from samovar.preflight.forms import unenforceable
from samovar.preflight.limits import check_limits
from samovar.preflight.models import check_models
from samovar.preflight.trusting import Allow, open_gate
from samovar.running.prepared import Prepared
from samovar.running.runner import RunnerSettings
from samovar.values import limited, within


def prepare(
    reference: str | Workflow,
    given: Mapping[str, object],
    library: Library,
    settings: Settings,
    run: RunnerSettings | None = None,
    *,
    is_named: bool = False,
    ask: Callable[[Parameter], object] | None = None,
    needs_models: bool = True,
    budget: int | None = None,
    allow: Allow | None = None,
) -> Prepared:
    """Finds a workflow, parses it, checks it and all it runs, binds its variables and finds its models.

    `reference`: a path or a name, or a workflow that the library has read; `is_named`: by a name.
    `given`: values by name. `run`:
    what the door decides about the run. `ask`: gets the value of a required parameter that is missing; None:
    there is nobody to ask. `needs_models`: False if something else answers prompts and runs commands.
    `budget`: the bytes that models may take in all; None: nobody asks whether they have room. `allow`: asks
    whether a project that is not trusted may do what it would; None: it may not.

    Raises `NotFoundError`, `FaultsError` with everything that is wrong, `UntrustedError`, `RefusedError` for
    an effect that a run without effects is sure to reach, `UsageError` for variables that the workflow does
    not take or a program that is not there, and `ModelError` for a model that cannot answer: no file, a file
    that the engine cannot take, a context it cannot have, no room in the budget.
    """
    run = run or RunnerSettings()
    workflow = reference
    if isinstance(workflow, str):
        is_named = not library.is_path(workflow)
        workflow = library.workflow(workflow, lenient=run.lenient)
    given = with_environment(workflow, given, run)
    warnings = _check(workflow, library, given, unfit_executors(workflow, library, settings, run))
    gate = open_gate(
        workflow,
        library,
        is_named=is_named,
        trusts=run.trusts,
        allows_effects=not run.no_effects,
        allow=allow,
    )
    variables = bound(workflow, given, settings, ask, by_user=not run.from_program)
    if needs_models:
        _check_programs(workflow, library)
        check_executors(workflow, library, settings, run)
        check_limits(workflow, library, settings, run)
    models = check_models(workflow, library, settings, run, budget=budget) if needs_models else ()
    return Prepared(workflow=workflow, variables=variables, models=models, gate=gate, warnings=warnings)


def bound(
    workflow: Workflow,
    given: Mapping[str, object],
    settings: Settings,
    ask: Callable[[Parameter], object] | None = None,
    *,
    by_user: bool = True,
) -> dict[str, object]:
    """The variables to begin with. Raises `UsageError`, also for a value that is too large."""
    with limited(settings.value_bytes):
        try:
            for name, value in given.items():
                within(value, f"The value given for {name!r}")
            return bind(workflow.parameters, given, ask=ask, by_user=by_user)
        except TooLargeError as error:
            raise UsageError(error.message) from None


def _check_programs(workflow: Workflow, library: Library) -> None:
    """Raises `UsageError` for a program that runs a state's command and that is not on this machine."""
    for one in library.tree(workflow):
        for _, action in one.actions():
            for name in action.programs:
                if shutil.which(name) is None:
                    raise UsageError(
                        f"{action.place}: The command needs {name}, which is not on this machine."
                    )


def with_environment(
    workflow: Workflow, given: Mapping[str, object], run: RunnerSettings
) -> dict[str, object]:
    """What is given, and texts of secret parameters from the variables of the environment that they name."""
    named = ((one, run.environment.get(one.from_env, "")) for one in workflow.parameters if one.from_env)
    return {parameter.name: text for parameter, text in named if text} | dict(given)


def _check(
    workflow: Workflow, library: Library, given: Mapping[str, object], unfit: Iterable[Fault]
) -> tuple[Fault, ...]:
    """What is doubtful about the workflow with these variables. Raises `FaultsError` if it cannot run.

    `unfit`: what is wrong with those who are to answer.
    """
    here = Place(path=workflow.path, line=1, column=1)
    declared = {parameter.name for parameter in workflow.parameters}
    undeclared = tuple(
        Parameter(name=name, place=here, is_typed=isinstance(value, str))  # else it may be anything
        for name, value in given.items()
        if name not in declared
    )
    # Nothing has to set what was given.
    faults = check_tree(replace(workflow, parameters=workflow.parameters + undeclared), library)
    faults += tuple(fault for one in library.tree(workflow) for fault in unenforceable(one))
    faults += tuple(dict.fromkeys(unfit))
    errors = [
        replace(fault, severity="error")
        for fault in faults
        if fault.severity == "error" or fault.code in REFUSED_AT_RUN
    ]
    if errors:
        raise FaultsError(errors)
    readers = Readers(workflow, library) if undeclared else None
    unread = [message for one in undeclared if readers and (message := readers.unread(one.name))]
    doubts = [
        Fault(code="misspelt-variable", message=message, place=here, severity="warning") for message in unread
    ]
    # What a file says of itself is reported when the run enters it.
    own = {warning for one in library.tree(workflow) for warning in one.warnings}
    return (*doubts, *(fault for fault in faults if fault.severity == "warning" and fault not in own))
