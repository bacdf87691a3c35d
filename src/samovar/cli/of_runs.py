"""The command `samovar runs` and its commands: the runs that are kept, listed, shown, compared, removed.

Above: `__init__.py`, which has the other commands. Below: `runs.py` and its neighbours, imported when they
run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from samovar.cli.commands import OwnGroup, QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, Json, RunGiven, with_settings

Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write one page for a browser; - is standard output."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")]
"""For the commands that write a file."""
STANDARD_OUTPUT = Path("-")

runs_app = typer.Typer(cls=OwnGroup, rich_markup_mode=None, invoke_without_command=True)
app.add_typer(runs_app, name="runs")


@runs_app.callback(
    epilog="Put the options of a command after it, as in `samovar runs show RUN --journal FILE`."
)
@with_settings("journal_file")
def runs(
    ctx: typer.Context,
    settings: GivenSettings = NOT_GIVEN,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="NAME", help="Only runs of this workflow.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", metavar="STATUS", help="Only runs with this status, such as failed or interrupted."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only runs that began in the last 2h or 3d, or since 2026-05-04[T10:30].",
        ),
    ] = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="List the questions that runs are waiting for.")
    ] = False,
    most: Annotated[
        int | None, typer.Option("--most", metavar="N", min=1, help="Show at most this many.")
    ] = None,
    json: Json = False,
) -> None:
    """List kept runs, the newest first, or use a command on them."""
    if ctx.invoked_subcommand is not None:
        return
    if waiting:
        from samovar.cli.questions import list_questions

        leave(list_questions(settings, as_json=json))
    from samovar.cli.runs import WantedRuns, list_runs

    wanted = WantedRuns(workflow=workflow, status=status, since=since)
    leave(list_runs(settings, wanted, most=most, as_json=json))


@runs_app.command(cls=QuickCommand)
@with_settings("journal_file")
def show(
    run: RunGiven,
    settings: GivenSettings = NOT_GIVEN,
    state: Annotated[
        str | None, typer.Option("--state", metavar="NAME", help="Only visits of this state.")
    ] = None,
    visit: Annotated[
        int | None,
        typer.Option("--visit", metavar="N", min=1, help="Only the visit of this number in the run."),
    ] = None,
    html: Html = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show a run: its path, times, prompts and answers, tokens and memory."""
    if html is not None:
        if state is not None or visit is not None or json:
            _refuse("--html writes the page of a whole run: leave out --state, --visit and --json.")
        from samovar.cli.kept_files import Output
        from samovar.cli.kept_pages import write_page

        leave(write_page(settings, run, Output(path=html, replaces=force)))
    from samovar.cli.kept_showing import Narrowed, show_run

    leave(show_run(settings, run, Narrowed(state=state, visit=visit), as_json=json))


@runs_app.command(cls=QuickCommand)
@with_settings("journal_file")
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A run; a part of its id is enough.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    settings: GivenSettings = NOT_GIVEN,
    json: Json = False,
) -> None:
    """Show the first visit in which two runs differ, and what follows from it."""
    from samovar.cli.kept_diff import show_difference

    leave(show_difference(settings, first, second, as_json=json))


@runs_app.command(cls=QuickCommand)
@with_settings("journal_file")
def export(
    run: RunGiven,
    settings: GivenSettings = NOT_GIVEN,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Write JSON to this file; - is standard output.")
    ] = STANDARD_OUTPUT,
    html: Html = None,
    force: Force = False,
) -> None:
    """Write all that the journal has of a run, without its secrets, as one JSON object or as a page."""
    from samovar.cli.kept_files import Output, export_run

    if html is None:
        leave(export_run(settings, run, Output(path=out, replaces=force)))
    if out != STANDARD_OUTPUT:
        _refuse("--out and --html cannot be combined: export twice.")
    from samovar.cli.kept_pages import write_page

    leave(write_page(settings, run, Output(path=html, replaces=force)))


@runs_app.command(cls=QuickCommand)
@with_settings("journal_file")
def prune(
    settings: GivenSettings = NOT_GIVEN,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Only runs that are older, as in 30d or 12h."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="Keep the newest N runs.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted; delete nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete runs older than 30 days, or as the options say, and the values that only they have.

    Runs that are in progress or wait for a person are kept, and those that unfinished runs take from.
    """
    from samovar.cli.kept_files import prune_runs

    leave(prune_runs(settings, older_than=older_than, keep=keep, dry_run=dry_run, as_json=json))


def _refuse(message: str) -> NoReturn:
    from samovar.errors import UsageError

    raise UsageError(message)
