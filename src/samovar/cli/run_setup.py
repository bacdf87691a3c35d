"""What a command that runs workflows makes of its arguments: variables, the runner's settings, the log.

Above: `run.py`, `rows.py`. Below: `variables.py`, the runner's settings.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from samovar.app import surroundings
from samovar.cli.run_arguments import RunArguments
from samovar.cli.terminal import Remarks, say
from samovar.cli.variables import read_answers, read_assignments, read_switches
from samovar.config import Settings
from samovar.errors import UsageError
from samovar.folders import current_folder
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.variable_files import read_variables_file
from samovar.running.runner import RunnerSettings
from samovar.values import duration_s


def run_settings(
    arguments: RunArguments, settings: Settings, workflow: Workflow, library: Library
) -> RunnerSettings:
    """What the command decides about a run. Raises `UsageError`, `NotFoundError`."""
    return RunnerSettings(
        model=arguments.model,
        executor=arguments.executor,
        seed=arguments.seed,
        deterministic=arguments.deterministic,
        settings=settings,
        surroundings=surroundings(settings, current_folder()),
        waits=settings.wait and settings.journal == "full",
        yes=arguments.yes,
        answers=read_answers(arguments.answers, workflow, library),
        trusts=arguments.trust or arguments.dry_run,
        no_effects=arguments.no_effects,
        from_program=bool(arguments.from_program),  # older runs do not say
        lenient=arguments.lenient,
        transitions=arguments.limit_transitions,
        duration_s=_duration(arguments.limit_duration),
    )


def given_variables(arguments: RunArguments, workflow: Workflow) -> dict[str, object]:
    """What was given as files of variables, as options and as `--var`. Raises `UsageError`."""
    given = _given_before(arguments)
    for path in arguments.variable_files:
        given.update(read_variables_file(path, workflow.parameters))
    switches = read_switches(arguments.switches, workflow.parameters, sorted(arguments.options))
    assignments = read_assignments(arguments.variables, workflow.parameters)
    if both := sorted(set(switches) & set(assignments)):
        raise UsageError(
            f"{both[0]} is given twice, as an option and as --var {both[0]}. It takes one value."
        )
    for name in workflow.secret_names:
        if name in switches or _is_inline(name, arguments.variables):
            say(
                f"samovar: warning: others can read {name!r} in the list of processes, and your shell may "
                f"keep it. Pass it as --var {name}=@FILE, as --var {name}=- on standard input, or from the "
                "environment (`from_env` in the workflow)."
            )
    return given | switches | assignments


def _given_before(arguments: RunArguments) -> dict[str, object]:
    """The variables of the run that goes on, or is run again: there, defaults are as they are now."""
    head = arguments.begun_as
    if head is None:
        return {}
    is_rerun = arguments.origin is not None and arguments.origin.at is None
    are_defaults_new = is_rerun or arguments.from_program  # whose own defaults may name any file
    names = head.given if are_defaults_new and head.given is not None else tuple(head.variables)
    return {name: head.variables[name] for name in names if name in head.variables}


def _is_inline(name: str, assignments: Sequence[str]) -> bool:
    """Whether the value is on the command line itself."""
    values = [text.partition("=")[2] for text in assignments if text.partition("=")[0] == name]
    return any(not value.startswith("@") and value != "-" for value in values)


def _duration(text: str | None) -> float | None:
    try:
        seconds = None if text is None else duration_s(text)
    except ValueError as error:
        raise UsageError(f"--limit-duration {text}: {error}.") from error
    if seconds == 0:
        raise UsageError("--limit-duration must be above 0.")
    return seconds


def route_log(verbose: int) -> None:
    """The log of the engine and of the project goes nowhere, or with -vv to standard error."""
    log = logging.getLogger("samovar")
    log.propagate = False
    handler = logging.StreamHandler(Remarks()) if verbose > 1 else logging.NullHandler()
    handler.setFormatter(logging.Formatter("  %(name)s: %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose > 1 else logging.WARNING)
