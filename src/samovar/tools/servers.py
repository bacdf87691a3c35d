"""The servers of tools that one run reaches, each started when it is first asked for something.

Above: the runner, which opens them for a run. Below: `mcp.py`, which speaks with one; `pages.py`. If one is
gone while the run goes on, whoever asks it hears that, once with its last words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from samovar.actions.reached import ListedTools, ServerCall, Servers, VisitOf
from samovar.actions.tools import ToolResult, failed
from samovar.background import KeepsOpen, KeptOpen, alone, in_daemon_thread, keeping_open
from samovar.config.declared import DeclaredServer
from samovar.errors import SamovarError, ToolError
from samovar.errors.durations import lasting
from samovar.tools import pinned

if TYPE_CHECKING:
    from samovar.tools.mcp import Served

GRACE_S = 5.0
"""That a page gets after its own limit, which does not hold while a name is looked up."""
T = TypeVar("T")


@asynccontextmanager
async def open_servers(run: str, folder: Path) -> AsyncIterator[Servers]:
    """Those of a run. On leaving, all that were started are ended."""
    async with keeping_open() as keeps:
        yield ServersOfRun(run, folder, keeps)


class ServersOfRun:
    """See `actions.reached.Servers`."""

    def __init__(self, run: str, folder: Path, keeps: KeepsOpen[Served]) -> None:
        self._run, self._folder, self._keeps = run, folder, keeps

    def stand_in(self, name: str) -> DeclaredServer | None:
        return None

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        from samovar.tools.mcp import CONNECT_S

        opened = await self._opened(server)
        with anyio.move_on_after(CONNECT_S) as limit:
            return await self._asked(opened, server.name, opened.it.list_tools)
        assert limit.cancelled_caught
        raise ToolError(
            f"The server {server.name!r} did not say within {lasting(CONNECT_S)} which tools it has.",
            tool=server.name,
        )

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        pinned.keep(server, listed.definitions)

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        opened = await self._opened(call.server)
        return await self._asked(opened, call.name, lambda: opened.it.call(call))

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        from samovar.tools import pages  # with all that fetching takes, which few runs need

        with anyio.move_on_after(pages.WHOLE_S + GRACE_S):
            return await in_daemon_thread(lambda: pages.fetch(url, hosts), "samovar page")
        return failed("The page cannot be fetched: its host was not found in time.")

    async def _asked(self, opened: KeptOpen[Served], tool: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What a server says. Raises `ToolError` for one that is gone, or says what it may not."""

        async def mapped() -> T:
            try:
                return await ask()
            except SamovarError:
                raise
            except Exception as error:  # of the package: mapped here, once
                raise ToolError(await _said(opened.it, error), tool=tool) from error

        return await opened.asked(mapped)

    async def _opened(self, server: DeclaredServer) -> KeptOpen[Served]:
        return await self._keeps.opened(server.name, lambda: self._connected(server))

    @asynccontextmanager
    async def _connected(self, server: DeclaredServer) -> AsyncIterator[Served]:
        """Raises `ToolError`; how it ends when the run is over does not matter."""
        from samovar.tools.mcp import connected

        try:
            async with connected(server, self._run, self._folder) as served:
                yield served
        except Exception as raised:
            if self._keeps.is_over.is_set():
                return
            error = alone(raised)
            if isinstance(error, ToolError):
                raise error from None
            raise ToolError(f"The server {server.name!r} {_reason(error)}.", tool=server.name) from None


async def _said(served: Served, error: Exception) -> str:
    """What is said of a server that could not answer."""
    name = served.server.name
    child = served.child
    if child is not None and (served.is_gone.is_set() or not child.is_alive):
        last = await child.last_words()
        return f"The server {name!r} is gone{f' ({last})' if last else ''}."
    return f"The server {name!r} {_reason(error)}."


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split())[:300].rstrip(".")
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if type(error).__name__ == "ChildProgramError":
        return said
    if type(error).__name__ == "ValidationError":  # pydantic's: the package reads with it what a server says
        first: Any = error.errors()[0]  # type: ignore[attr-defined]
        at = ".".join(map(str, first["loc"]))[:100]
        return f"said what is not of the protocol: {at}: {str(first['msg'])[:200]}"
    return f"failed: {said or type(error).__name__}"
