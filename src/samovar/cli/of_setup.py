"""The commands `samovar config` and `samovar doctor`: how things are set up, and what is wrong with that.

Above: `__init__.py`, which has the other commands. Below: `showing_settings.py` and `doctor.py`, imported
when they run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.completion import complete_setting
from samovar.cli.options import Json


@app.command(cls=QuickCommand)
def config(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A setting, or a row of one, as in executors.NAME; without it, all of them.",
            autocompletion=complete_setting,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show each setting, its value and where that came from; keys and passwords are not shown.

    What a project's file says and does not count, since the project is not trusted, is shown with the command
    that makes it count.
    """
    from samovar.cli.showing_settings import show_settings

    leave(show_settings(name, as_json=json))


@app.command(cls=QuickCommand)
def doctor(
    connect: Annotated[
        bool, typer.Option("--connect", help="Also start the declared servers of tools, and greet them.")
    ] = False,
    json: Json = False,
) -> None:
    """Look at what runs need: the engine, memory, models, executors, servers, folders, trust; say what to do.

    Nothing is loaded, fetched or written, no key is shown or sent, and each check is bounded in time.

    Exit: 0 nothing is wrong (some things may be doubtful), 1 something is.
    """
    from samovar.cli.doctor import examine

    leave(examine(connects=connect, as_json=json))
