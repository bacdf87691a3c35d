"""The servers of tools that one run reaches, each started when it is first asked for something.

Above: the runner, which opens them for a run. Below: the contract in `actions/reached.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from samovar.actions.reached import NoServers, Servers


@asynccontextmanager
async def open_servers(run: str, folder: Path) -> AsyncIterator[Servers]:
    """Those of a run. On leaving, all that were started are ended."""
    yield NoServers()
