"""The commands for runs that are kept: `samovar resume` and `samovar runs`.

Above: `__init__.py`, which has the others. Below: the modules of this folder, imported when they are needed.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import (
    NOT_GIVEN,
    AnswerGiven,
    Events,
    GivenSettings,
    Json,
    Quiet,
    Trust,
    Var,
    Verbose,
    Yes,
    with_settings,
)


@app.command(
    cls=QuickCommand,
    epilog="Finished states are not performed again. An interrupted prompt, wait or question is performed "
    "again; for "
    "a command, decide with --redo, --skip or --fail.",
)
@with_settings()
def resume(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Part of the run's id; by default the newest run.")
    ] = None,
    var: Var = None,
    settings: GivenSettings = NOT_GIVEN,
    redo: Annotated[bool, typer.Option("--redo", help="Perform the interrupted action again.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Continue as if it was done.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Continue as if it failed.")] = False,
    json: Json = False,
    events: Events = False,
    yes: Yes = False,
    answer: AnswerGiven = None,
    trust: Trust = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Go on with a run that was interrupted, from the journal. `samovar runs` lists them."""
    from samovar.cli.resuming import ResumeArguments, decision_of, resume_run

    leave(
        resume_run(
            ResumeArguments(
                run=run,
                variables=tuple(var or ()),
                settings=settings,
                decision=decision_of(redo=redo, skip=skip, fail=fail),
                yes=yes,
                answers=tuple(answer or ()),
                trust=trust,
                as_json=json,
                as_events=events,
                quiet=quiet,
                verbose=verbose,
            )
        )
    )
