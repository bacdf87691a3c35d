"""The command `samovar runs` and its commands: the runs that are kept, listed, shown, compared, removed.

Above: `__init__.py`, which has the other commands. Below: `runs.py` and its neighbours, imported when they
run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import OwnGroup, QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, Json, with_settings

runs_app = typer.Typer(cls=OwnGroup, rich_markup_mode=None, invoke_without_command=True)
app.add_typer(runs_app, name="runs")

RunGiven = Annotated[str, typer.Argument(metavar="RUN", help="The run's id; a part of it is enough.")]


@runs_app.callback(
    epilog="Options of a command stand behind it, as in `samovar runs show RUN --journal FILE`."
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
        typer.Option("--status", metavar="STATUS", help="Only runs with this status: interrupted, …"),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--most", metavar="N", min=1, help="Show at most this many.")
    ] = None,
    json: Json = False,
) -> None:
    """List the runs that are kept, the newest first; or do something with them."""
    from samovar.cli.runs import list_runs

    if ctx.invoked_subcommand is None:
        leave(list_runs(settings, workflow=workflow, status=status, most=most, as_json=json))


@runs_app.command(cls=QuickCommand)
@with_settings("journal_file")
def show(run: RunGiven, settings: GivenSettings = NOT_GIVEN, json: Json = False) -> None:
    """Show a run, visit by visit."""
    from samovar.cli.runs import show_run

    leave(show_run(settings, run, as_json=json))
