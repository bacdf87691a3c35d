"""The commands about runs that other processes drive: `samovar runs logs` and `samovar runs cancel`.

Above: `__init__.py`. Below: `of_runs.py`, which has the group; modules of this folder, imported when they
run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, leave
from samovar.cli.of_runs import runs_app
from samovar.cli.options import NOT_GIVEN, GivenSettings, RunGiven, with_settings


@runs_app.command(cls=QuickCommand)
@with_settings("journal_file")
def logs(
    run: RunGiven,
    settings: GivenSettings = NOT_GIVEN,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends, or nobody drives it.")
    ] = False,
) -> None:
    """Show what a run has done, line by line: its visits, and what they log."""
    from samovar.cli.following import show_log

    leave(show_log(settings, run, follows=follow))


@runs_app.command(
    cls=QuickCommand,
    epilog="Exit: 0 the run is over, 1 it has not ended within a minute.",
)
@with_settings("journal_file")
def cancel(run: RunGiven, settings: GivenSettings = NOT_GIVEN) -> None:
    """End a run: the process that drives it ends it as by Ctrl-C, and the run is over.

    A run that nobody drives is over at once. `samovar resume --cancelled` continues one all the same.
    """
    from samovar.cli.cancelling import cancel_run

    leave(cancel_run(settings, run))
