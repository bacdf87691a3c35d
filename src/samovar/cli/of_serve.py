"""The command `samovar serve`, with its arguments.

Above: `__init__.py`, which has the other commands. Below: `serving.py`, imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, Json, with_settings


@app.command(cls=QuickCommand)
@with_settings("context_tokens", "budget_bytes", "threads", "kv_type", "offline")
def serve(
    settings: GivenSettings = NOT_GIVEN,
    status: Annotated[bool, typer.Option("--status", help="Show how the running daemon is.")] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the running daemon when what it is answering is done.")
    ] = False,
    token: Annotated[
        bool, typer.Option("--token", help="Show the token of HTTP clients; make it if there is none.")
    ] = False,
    install: Annotated[
        bool,
        typer.Option(
            "--install", help="Write a service of yours that starts it, and show how to turn it on."
        ),
    ] = False,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Serve HTTP at this address.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65535, help="Port of HTTP; 0 is any free one."),
    ] = None,
    http: Annotated[bool, typer.Option("--http/--no-http", help="Serve HTTP too.")] = True,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A name that HTTP clients have for this machine."),
    ] = None,
    tls: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--tls", metavar="CERT KEY", help="Serve HTTPS, with these files."),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Serve plain HTTP to other machines: anyone on the way can read it all."
        ),
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

    leave(
        serve_models(
            ServeArguments(
                settings=settings,
                status=status,
                stop=stop,
                token=token,
                install=install,
                host=host,
                port=port,
                http=http,
                names=tuple(name or ()),
                tls=tls,
                insecure=insecure,
                idle=idle,
                as_json=json,
            )
        )
    )
