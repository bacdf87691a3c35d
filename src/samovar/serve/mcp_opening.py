"""Opens the server of the Model Context Protocol of the current folder, for any way of carrying it.

Above: `samovar mcp` over `mcp_stdio.py`; the daemon over HTTP. Below: `mcp_server.py`, the app, the journal.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from mcp.server.lowlevel import Server

from samovar.app import open_app, open_library
from samovar.config import Settings
from samovar.engines.scripted import Script
from samovar.executors.base import Executor
from samovar.executors.table import Parts
from samovar.folders import current_folder
from samovar.journal.base import Journal
from samovar.journal.keys import key_beside
from samovar.journal.opening import journal_file, open_journal
from samovar.serve.mcp_server import make_server
from samovar.serve.runs import WorkflowRuns


@asynccontextmanager
async def open_server(
    settings: Settings,
    *,
    script: Script | None = None,
    local: Callable[[Parts], Executor] | None = None,
) -> AsyncIterator[tuple[Server[object], WorkflowRuns]]:
    """The server of the current folder, for any transport, with its models, its journal and its key.

    `script`, `local`: see `open_app`. Raises `JournalError` if runs cannot be kept as the settings want it.
    """
    folder = current_folder()
    with ExitStack() as stack:
        is_kept = settings.journal != "off"
        journal: Journal | None = stack.enter_context(open_journal(settings)) if is_kept else None
        async with open_app(settings, open_library(folder), script=script, local=local) as app:
            runs = WorkflowRuns(app, journal, folder, needs_models=script is None)
            yield make_server(app, runs, _key(settings) if is_kept else secrets.token_bytes(32)), runs


def _key(settings: Settings) -> bytes:
    """Kept beside the runs that it is for, for their user alone."""
    file = journal_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return key_beside(file.with_name("mcp"))
