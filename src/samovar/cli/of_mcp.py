"""The command `samovar mcp`: workflows as tools of other programs.

Above: `__init__.py`, which has the other commands. Below: `serving_mcp.py`, imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, with_settings


@app.command(cls=QuickCommand)
@with_settings("journal_file")
def mcp(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="The project; without it, the current folder."),
    ] = None,
    settings: GivenSettings = NOT_GIVEN,
) -> None:
    """Offer workflows with `expose: true` as tools, and prompts, by the Model Context Protocol.

    Another program starts this and speaks on standard input and output. Nothing else is written there; what
    there is to say goes to standard error.
    """
    from samovar.cli.serving_mcp import serve_mcp

    leave(serve_mcp(folder, settings))
