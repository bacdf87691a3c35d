"""The command `samovar trust`: the projects whose settings and effects the user trusts.

Above: `__init__.py`, which has the other commands. Below: `trusting.py`, imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import Json


@app.command(cls=QuickCommand)
def trust(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="A folder of the project; by default the current one."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the folders that are trusted.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Stop trusting the folder.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Show which settings of a project need trust and which effects its workflows have, and trust it.

    Until then, these settings are not used, and Samovar asks before it runs the project's workflows
    with effects by name. Trust covers each folder with a .samovar folder (or one of the older tool),
    from this one up to the repository's root, as it is now: other settings that need trust, and workflows
    that are changed or added later, need it again.
    """
    from samovar.cli.trusting import list_trusted, trust_folder
    from samovar.errors import UsageError

    if list_ and (revoke or folder is not None):
        raise UsageError("--list shows all folders; only --json can be added.")
    if json and not list_:
        raise UsageError("--json needs --list.")
    leave(list_trusted(as_json=json) if list_ else trust_folder(folder, revoke=revoke, yes=yes))
