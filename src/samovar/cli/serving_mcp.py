"""`samovar mcp`: serves one client on standard input and output, and ends when that goes or a signal comes.

Above: `of_mcp.py`. Below: `serve/mcp_stdio.py`, which needs the package `mcp`; `driving.py` for signals.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from samovar.cli.driving import Signals
from samovar.cli.terminal import Remarks
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.errors import UsageError
from samovar.errors.installing import install_command


def serve_mcp(folder: Path | None, given: Mapping[str, Any]) -> int:
    """Serves until the client goes. Returns the exit status."""
    if sys.stdin.isatty():
        raise UsageError(
            "`samovar mcp` is started by another program, which speaks to it on standard input: see "
            "docs/serve-mcp.md for how to set one up."
        )
    if folder is not None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise UsageError(f"--folder cannot be {str(folder)!r}: {error.strerror}.") from error
    _route_log()
    settings = settings_for(given)
    return anyio.run(_serve, settings)


async def _serve(settings: Settings) -> int:
    try:
        from samovar.serve.mcp_opening import open_server
        from samovar.serve.mcp_stdio import serve_stdio
    except ImportError as error:
        if error.name is None or error.name.startswith("samovar"):
            raise
        message = f"`samovar mcp` needs the package `{error.name}`: {install_command('samovar[serve]')}"
        raise UsageError(message) from error
    async with open_server(settings) as (server, runs):
        with anyio.CancelScope() as scope:
            heard = Signals(_Scope(scope), runs.machine.groups)
            with heard.listen():
                await serve_stdio(server)
    return 0 if heard.first is None else 128 + heard.first


class _Scope:
    """See `driving.Stoppable`."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope

    def stop(self) -> None:
        self._scope.cancel()


def _route_log() -> None:
    """Warnings of the project go to standard error; those of the package do not: a client makes them."""
    log = logging.getLogger("samovar")
    log.propagate = False
    handler = logging.StreamHandler(Remarks())
    handler.setFormatter(logging.Formatter("samovar: %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.WARNING)
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
