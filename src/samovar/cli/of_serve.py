"""The command `samovar serve`, with its arguments.

Above: `__init__.py`, which has the other commands. Below: `serving.py`, imported when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, Json, with_settings


@app.command(cls=QuickCommand)
@with_settings("budget_bytes", "offline")
def serve(
    settings: GivenSettings = NOT_GIVEN,
    status: Annotated[bool, typer.Option("--status", help="Show how the running daemon is.")] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the running daemon when what it is answering is done.")
    ] = False,
    idle: Annotated[
        str | None,
        typer.Option("--idle", metavar="TIME", help="End when nobody was there for this long, as in 1h."),
    ] = None,
    json: Json = False,
) -> None:
    """Load each model once for all your processes: while this runs, `samovar run` and the rest use it.

    It answers until Ctrl-C or --stop.
    """
    from samovar.cli.serving import ServeArguments, serve_models

    leave(serve_models(ServeArguments(settings=settings, status=status, stop=stop, idle=idle, as_json=json)))
