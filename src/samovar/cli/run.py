"""`samovar run`: variables in, live lines and a report out, and the exit status.

Above: the commands of `__init__.py`. Below: `preflight/prepare.py`, and `driving.py`, which drives the run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio

from samovar.app import open_app, open_library
from samovar.cli.console import make_console
from samovar.cli.drawing import room_bytes
from samovar.cli.driving import RunOutcome, drive
from samovar.cli.keeping import check_same_secrets, check_secrets, keeping_for
from samovar.cli.live import Lines, LiveLines, Show
from samovar.cli.offering import Offering, offering_for
from samovar.cli.output import JsonLines, Printed, Silent, asked_output, write_json
from samovar.cli.questions import say_waiting
from samovar.cli.report import error_line, show_report
from samovar.cli.run_arguments import RunArguments
from samovar.cli.run_setup import given_variables, route_log, run_settings
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import allower, settings_for
from samovar.cli.variables import asker
from samovar.config import Settings
from samovar.config.known_keys import secrets_of
from samovar.errors import SamovarError, UsageError
from samovar.events import Ending
from samovar.folders import current_folder
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.python.figures import report_object
from samovar.running.prepared import Prepared
from samovar.running.runner import RunnerSettings
from samovar.values import limited, to_text
from samovar.values.secrecy import Secrets


def run_workflow(arguments: RunArguments) -> int:
    """Runs the workflow and returns the exit status."""
    _check_options(arguments)
    if arguments.rows.each is not None:
        from samovar.cli.rows import run_rows

        return run_rows(arguments)
    route_log(arguments.verbose)
    settings = settings_for(arguments.settings, trusts=arguments.trust)
    library = open_library(current_folder())
    workflow = library.workflow(arguments.workflow, lenient=arguments.lenient)
    library.replace_prompts(arguments.prompts, workflow)
    run = run_settings(arguments, settings, workflow, library)
    if arguments.record is not None:
        from samovar.testing.recording import check_record  # what few runs need, none waits for

        check_record(arguments.record, workflow)
    with limited(settings.value_bytes):
        given = given_variables(arguments, workflow)
    budget = None if arguments.dry_run else room_bytes(settings)
    # By its name or its file, as written: which of the two it is matters to what it may do.
    prepared = prepare(
        arguments.workflow, given, library, settings, run, ask=asker(), budget=budget, allow=allower()
    )
    if arguments.begun_as is not None:
        check_secrets(arguments.begun_as, prepared.variables)
    hidden = _secrets(settings, workflow, prepared.variables)
    printed = asked_output(arguments.print_variable, workflow, prepared.variables)
    if arguments.dry_run:
        return _dry_run(arguments, prepared, library, settings, run, hidden)
    offering = (
        offering_for(settings, budget, named=arguments.model, models=prepared.models)
        if arguments.shows
        else None
    )
    show = _make_show(arguments)
    outcome = RunOutcome(records=arguments.record is not None, journal=arguments.settings.get("journal_file"))

    def lose(error: SamovarError) -> None:
        outcome.is_unkept = True
        if not arguments.quiet:
            say(f"samovar: this run is not kept, and goes on without: {shown(str(error))}")

    async def main(run: RunnerSettings) -> None:
        async with open_app(settings, library) as app:
            await drive(app, prepared, run, outcome, show)
            outcome.note(app)

    try:
        with keeping_for(arguments, settings, workflow, library, lose) as keeping:
            if keeping is not None and arguments.goes_on is not None and not arguments.changed_secrets:
                check_same_secrets(keeping.journal, arguments.goes_on, prepared.variables)
            if keeping is not None:
                keeping = replace(keeping, given=tuple(given))
            anyio.run(main, replace(run, keeping=keeping))
    finally:
        show.close()
    unrecorded = 0
    try:
        status = _finish(arguments, settings, outcome, printed, offering)
    finally:  # also where standard output takes nothing
        if arguments.record is not None:
            try:
                _record(arguments, arguments.record, prepared, library, outcome)
            except SamovarError as error:
                say(f"samovar: the run is not recorded: {shown(str(error))}")
                unrecorded = error.exit_status
    return status or unrecorded


def _dry_run(
    arguments: RunArguments,
    prepared: Prepared,
    library: Library,
    settings: Settings,
    run: RunnerSettings,
    hidden: Secrets,
) -> int:
    """Shows what the run would do; of one that takes from an earlier run, how far it comes with that."""
    if arguments.origin is not None:
        from samovar.cli.foreseeing import foresee

        return foresee(prepared, library, settings, run, arguments.origin, as_json=arguments.as_json)
    from samovar.cli.dry_run import dry_run

    return dry_run(prepared, library, settings, run, hidden=hidden, as_json=arguments.as_json)


def _secrets(settings: Settings, workflow: Workflow, variables: Mapping[str, object]) -> Secrets:
    """What nobody is shown, before anything has run."""
    hidden = secrets_of(settings)
    for name in workflow.secret_names:
        hidden.learn(variables.get(name, ""))
    return hidden


def _check_options(arguments: RunArguments) -> None:
    """Raises `UsageError` for options that make no sense together."""
    if arguments.rows.needless is not None:
        raise UsageError(f"{arguments.rows.needless} needs --each FILE, the rows that it is about.")
    if arguments.no_journal and arguments.settings.get("journal_file") is not None:
        raise UsageError("--journal and --no-journal cannot be combined.")
    asked = arguments.outputs
    if arguments.dry_run and (arguments.as_events or arguments.print_variable is not None):
        raise UsageError(f"{asked[-1]} reports on a run, which --dry-run does not have. Use --json.")
    if arguments.dry_run and arguments.record is not None:
        raise UsageError("--record needs a run, which --dry-run does not have.")
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} cannot be combined: each takes all of standard output.")


def _make_show(arguments: RunArguments) -> Show:
    if arguments.as_events:
        return JsonLines()
    if arguments.quiet:
        return Silent()
    console = make_console()
    return LiveLines(console, arguments.verbose) if console.is_terminal else Lines(console, arguments.verbose)


def _finish(
    arguments: RunArguments,
    settings: Settings,
    outcome: RunOutcome,
    printed: Printed | None,
    offering: Offering | None,
) -> int:
    run = outcome.run
    assert run is not None and run.ending is not None
    report = report_object(run, outcome.figures(), with_values=arguments.as_json)
    if arguments.as_json:
        write_json(report)
    elif not arguments.quiet and not arguments.as_events:
        show_report(make_console(), report, hint=offering.said() if offering else None)
    elif "error" in report and not arguments.as_events:
        say(f"samovar: {run.ending}: {shown(error_line(report['error']))}")
    is_asked = printed is not None
    if run.ending.exit_status == 0 and (
        is_asked or not (arguments.as_json or arguments.as_events or arguments.quiet)
    ):
        text = printed(run.variables) if printed else None if run.result is None else to_text(run.result)
        if text is not None:
            if not is_asked and sys.stderr.isatty():
                say("")
            text = run.hidden.mask_whole(text)
            put(text if text.endswith("\n") else text + "\n")
    waits = run.ending is Ending.WAITING
    is_continued = run.ending is Ending.CANCELLED and run.error is None and not outcome.is_unkept
    says_more = not (arguments.as_json or arguments.as_events)
    if outcome.is_kept and says_more and waits:
        say_waiting(settings, run.id, arguments.settings.get("journal_file"))
    elif outcome.is_kept and says_more and is_continued:
        say(f"samovar: {outcome.continued(run)}")
    if run.ending is Ending.CANCELLED and outcome.signal is not None:
        return 128 + outcome.signal  # as shells say it
    return run.ending.exit_status


def _record(
    arguments: RunArguments,
    path: Path,
    prepared: Prepared,
    library: Library,
    outcome: RunOutcome,
) -> None:
    """Adds the run as a case to a file, and writes warnings about it to standard error."""
    from samovar.testing.paths import Tree
    from samovar.testing.recording import can_be_recorded, record

    run, recording = outcome.run, outcome.recording
    assert run is not None and recording is not None
    if not can_be_recorded(run):
        say("samovar: the run was cancelled and is not recorded")
        return
    tree = Tree(prepared.workflow, library)
    given = {"transitions": arguments.limit_transitions, "duration": arguments.limit_duration}
    limits = {name: value for name, value in given.items() if value is not None}
    values = recording.values(tree, dict(prepared.variables), run, limits=limits)
    doubts = record(path, tree, library, values, lenient=arguments.lenient)
    for doubt in doubts:
        say(f"samovar: {path}: {shown(str(doubt))}")
    if not arguments.quiet:
        say(f"recorded in {path}")
