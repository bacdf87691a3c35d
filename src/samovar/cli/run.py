"""`samovar run`: variables in, live lines and a report out, and the exit status.

Above: the commands of `__init__.py`. Below: `app.py` and the runner. It is where Ctrl-C is heard: the first
stops the run, which gives everything back and is reported; the second ends the process at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from samovar import memory
from samovar.app import App, open_app, open_library
from samovar.background import beside
from samovar.checks.checking import check_tree, read_names
from samovar.cli.live import Answers, Lines, LiveLines, Show, make_console
from samovar.cli.output import JsonLines, Printed, Silent, asked_output, error_object, result_of, write_json
from samovar.cli.preview import dry_run
from samovar.cli.report import Figures, Memory, error_line, report_object, show_report
from samovar.cli.variables import (
    as_parameters,
    asker,
    misspelt,
    read_assignments,
    read_switches,
    read_variables_file,
)
from samovar.config import load_settings, surroundings
from samovar.errors import Fault, FaultsError, Place, SamovarError, UsageError
from samovar.events import Warned
from samovar.language.parameters import Parameter, bind
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.needs import check_models
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.testing.paths import Tree
from samovar.testing.recording import Recording, can_be_recorded, check_record, record
from samovar.values import duration_s, to_text
from samovar.wire import LEAST_HIDDEN_CHARS

OPTIONS = [
    "--var",
    "--vars",
    "--model",
    "--context",
    "--budget",
    "--threads",
    "--gpu-layers",
    "--kv-type",
    "--offline",
    "--json",
    "--events",
    "--print",
    "--record",
    "--seed",
    "--deterministic",
    "--limit-transitions",
    "--limit-duration",
    "--yes",
    "--lenient",
    "--dry-run",
    "--quiet",
    "--verbose",
    "--help",
]
TICK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArguments:
    """What `samovar run` was called with."""

    workflow: str
    variables: tuple[str, ...]
    """Each `--var`."""
    variable_files: tuple[Path, ...] = ()
    """Each `--vars`."""
    switches: tuple[str, ...]
    """Options that are not the command's own."""
    settings: Mapping[str, Any]
    model: str | None
    seed: int | None
    deterministic: bool
    limit_transitions: int | None
    limit_duration: str | None
    yes: bool
    lenient: bool
    dry_run: bool
    as_json: bool
    as_events: bool
    print_variable: str | None
    record: Path | None
    """The file of cases that the run is added to."""
    quiet: bool
    verbose: int


def run_workflow(arguments: RunArguments) -> int:
    """Runs the workflow and returns the exit status. With `--json`, errors are an object too."""
    try:
        return _run(arguments)
    except SamovarError as error:
        if not arguments.as_json:
            raise
        write_json(error_object(arguments.workflow, error))
        return error.exit_status


def _run(arguments: RunArguments) -> int:
    _check_outputs(arguments)
    _route_log(arguments.verbose)
    settings = load_settings(dict(arguments.settings))
    library = open_library(Path.cwd())
    workflow = library.workflow(arguments.workflow, lenient=arguments.lenient)
    given = _given(arguments, workflow)
    warnings = _check(workflow, library, given)
    variables = bind(workflow.parameters, given, ask=asker())
    runner_settings = RunnerSettings(
        model=arguments.model,
        seed=arguments.seed,
        deterministic=arguments.deterministic,
        surroundings=surroundings(settings, Path.cwd()),
        wait_for_user=None if not sys.stdin.isatty() else _wait_for_user,
        yes=arguments.yes,
        lenient=arguments.lenient,
        transitions=arguments.limit_transitions,
        duration_s=_duration(arguments.limit_duration),
    )
    if arguments.record is not None:
        check_record(arguments.record, workflow)
    hidden = _secrets(workflow, variables)
    printed = asked_output(arguments.print_variable, workflow, variables)
    check_models(workflow, library, settings, arguments.model)
    if arguments.dry_run:
        return dry_run(
            workflow, variables, library, settings, runner_settings, hidden=hidden, as_json=arguments.as_json
        )
    show = Answers(_make_show(arguments), hidden)
    outcome = _Outcome(records=arguments.record is not None)

    async def main() -> None:
        async with open_app(settings) as app:
            await _drive(app, workflow, variables, runner_settings, outcome, show, warnings)
            outcome.note(app)

    try:
        anyio.run(main)
    finally:
        show.close()
    unrecorded = 0
    try:
        status = _finish(arguments, outcome, printed or result_of(workflow, show))
    finally:  # also where standard output takes nothing
        if arguments.record is not None:
            try:
                _record(arguments, arguments.record, workflow, variables, outcome)
            except SamovarError as error:
                sys.stderr.write(f"samovar: the run is not recorded: {error}\n")
                unrecorded = error.exit_status
    return status or unrecorded


class _Outcome:
    """What is left of a run when the app has closed."""

    def __init__(self, *, records: bool) -> None:
        self.run: Run | None = None
        self.records = records
        self.recording: Recording | None = None
        """What the run was told, where it is to be recorded."""
        self._noted: dict[str, Any] = {}

    def note(self, app: App) -> None:
        """While everything is still open."""
        statistics = app.pool.statistics()
        self._noted = {
            "models": statistics.models,
            "sessions": app.sessions.statistics(),
            "ready_bytes": statistics.ready_bytes,
            "end_bytes": memory.resident_bytes(),
        }

    def figures(self) -> Figures:
        """When everything is closed."""
        # The kernel counts the peak and the present with different care; the peak is at least what was seen.
        seen = (memory.peak_bytes(), self._noted["ready_bytes"], self._noted["end_bytes"])
        return Figures(
            models=self._noted["models"],
            sessions=self._noted["sessions"],
            memory=Memory(
                ready_bytes=self._noted["ready_bytes"],
                end_bytes=self._noted["end_bytes"],
                peak_bytes=max(size for size in seen if size is not None),
                closed_bytes=memory.resident_bytes(),
            ),
        )


async def _drive(
    app: App,
    workflow: Workflow,
    variables: dict[str, object],
    runner_settings: RunnerSettings,
    outcome: _Outcome,
    show: Show,
    warnings: tuple[Fault, ...],
) -> None:
    runner = Runner(app.library, app.executor, on_event=show, settings=runner_settings)
    if outcome.records:
        outcome.recording = recording = Recording(app.executor, show)
        settings = replace(runner_settings, outside=recording)
        runner = Runner(app.library, recording, on_event=recording, settings=settings)
    for warning in warnings:
        show(Warned(visit=None, message=warning.message, place=warning.place))
    async with beside(hear_signals=lambda: _hear_signals(runner), live_lines=lambda: _tick(show)):
        outcome.run = await runner.run(workflow, variables)


async def _hear_signals(runner: Runner) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        heard = 0
        async for _ in signals:
            heard += 1
            if heard > 1:
                sys.stderr.write("\nsamovar: stopped at once\n")
                sys.stderr.flush()
                os._exit(130)
            runner.stop()


async def _tick(show: Show) -> None:
    shown = show.show if isinstance(show, Answers) else show
    while isinstance(shown, LiveLines):
        await anyio.sleep(TICK_S)
        shown.tick()


async def _wait_for_user(message: str) -> None:
    sys.stderr.write(f"{message} [Enter] ")
    sys.stderr.flush()
    # No thread reads: one that waits for a line cannot be stopped, and would keep the program from ending.
    await anyio.wait_readable(sys.stdin.fileno())
    sys.stdin.readline()


def _given(arguments: RunArguments, workflow: Workflow) -> dict[str, object]:
    """What was given as files of variables, as options and as `--var`. Raises `UsageError`."""
    given: dict[str, object] = {}
    for path in arguments.variable_files:
        given.update(as_parameters(read_variables_file(path), workflow.parameters))
    switches = read_switches(arguments.switches, workflow.parameters, OPTIONS)
    assignments = read_assignments(arguments.variables, workflow.parameters)
    if both := sorted(set(switches) & set(assignments)):
        raise UsageError(
            f"{both[0]} is given twice, as an option and as --var {both[0]}. It takes one value."
        )
    return given | switches | assignments


def _check(workflow: Workflow, library: Library, given: Mapping[str, object]) -> tuple[Fault, ...]:
    """What is doubtful about the workflow with these variables. Raises `FaultsError` where it cannot run."""
    here = Place(path=workflow.path, line=1, column=1)
    declared = {parameter.name for parameter in workflow.parameters}
    undeclared = tuple(Parameter(name=name, place=here) for name in given if name not in declared)
    # Nothing need set what was given.
    faults = check_tree(replace(workflow, parameters=workflow.parameters + undeclared), library)
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        raise FaultsError(errors)
    doubts = [
        Fault(code="misspelt-variable", message=message, place=here, severity="warning")
        for message in misspelt(list(given), workflow.parameters, read_names(workflow))
    ]
    # The runner tells those of the file itself.
    told = [fault for fault in faults if fault.severity == "warning" and fault not in workflow.warnings]
    return (*doubts, *told)


def _secrets(workflow: Workflow, variables: Mapping[str, object]) -> tuple[str, ...]:
    """Texts that are shown to nobody, the longest first."""
    secret = [parameter.name for parameter in workflow.parameters if parameter.secret]
    texts = [to_text(variables[name]) for name in secret if name in variables]
    return tuple(sorted((text for text in texts if len(text) >= LEAST_HIDDEN_CHARS), key=len, reverse=True))


def _check_outputs(arguments: RunArguments) -> None:
    asked = [
        name
        for name, is_asked in (
            ("--json", arguments.as_json),
            ("--events", arguments.as_events),
            ("--print", arguments.print_variable is not None),
        )
        if is_asked
    ]
    if arguments.dry_run and (arguments.as_events or arguments.print_variable is not None):
        raise UsageError(f"{asked[-1]} tells of a run; --dry-run has none. --json goes with it.")
    if arguments.dry_run and arguments.record is not None:
        raise UsageError("--record keeps what happens in a run; --dry-run has none.")
    if len(asked) > 1:
        raise UsageError(
            f"{' and '.join(asked)} cannot go together: each is all there is on standard output."
        )


def _duration(text: str | None) -> float | None:
    try:
        seconds = None if text is None else duration_s(text)
    except ValueError as error:
        raise UsageError(f"--limit-duration {text}: {error}.") from error
    if seconds == 0:
        raise UsageError("--limit-duration 0 leaves no time for anything.")
    return seconds


def _route_log(verbose: int) -> None:
    """The log of the engine and of the project goes nowhere, or with -vv to standard error."""
    log = logging.getLogger("samovar")
    log.propagate = False
    handler = logging.StreamHandler(sys.stderr) if verbose > 1 else logging.NullHandler()
    handler.setFormatter(logging.Formatter("  %(name)s: %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose > 1 else logging.WARNING)


def _make_show(arguments: RunArguments) -> Show:
    if arguments.as_events:
        return JsonLines()
    if arguments.quiet:
        return Silent()
    console = make_console()
    return LiveLines(console, arguments.verbose) if console.is_terminal else Lines(console, arguments.verbose)


def _finish(arguments: RunArguments, outcome: _Outcome, printed: Printed) -> int:
    run = outcome.run
    assert run is not None and run.ending is not None
    report = report_object(run, outcome.figures())
    if arguments.as_json:
        write_json(report)
    elif not arguments.quiet and not arguments.as_events:
        show_report(make_console(), report)
    elif "error" in report and not arguments.as_events:
        sys.stderr.write(f"samovar: {run.ending}: {error_line(report['error'])}\n")
    is_asked = arguments.print_variable is not None
    if run.ending.exit_status == 0 and (
        is_asked or not (arguments.as_json or arguments.as_events or arguments.quiet)
    ):
        text = printed(run.variables)
        if text is not None:
            if not is_asked and sys.stderr.isatty():
                sys.stderr.write("\n")
                sys.stderr.flush()
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
            sys.stdout.flush()
    return run.ending.exit_status


def _record(
    arguments: RunArguments,
    path: Path,
    workflow: Workflow,
    variables: dict[str, object],
    outcome: _Outcome,
) -> None:
    """Adds the run as a case to a file, and says on standard error what is doubtful about it."""
    run, recording = outcome.run, outcome.recording
    assert run is not None and recording is not None
    if not can_be_recorded(run):
        sys.stderr.write("samovar: the run was cancelled and is not recorded\n")
        return
    library = open_library(Path.cwd())
    tree = Tree(workflow, library)
    values = recording.values(tree, variables, run, transitions=arguments.limit_transitions)
    doubts = record(path, tree, library, values, lenient=arguments.lenient)
    for doubt in doubts:
        sys.stderr.write(f"samovar: {path}: {doubt}\n")
    if not arguments.quiet:
        sys.stderr.write(f"recorded in {path}\n")
