"""Servers of tools that are reached, and what they give back kept, as a case has it.

Above: `recording.py`. Below: whoever reaches them.
"""

from __future__ import annotations

from samovar.actions.reached import ListedTools, ServerCall, Servers, VisitOf
from samovar.actions.tools import ToolResult
from samovar.config.declared import DeclaredServer
from samovar.testing.recorded_values import Heard
from samovar.testing.told_tools import result_values


class HeardServers:
    """See `actions.reached.Servers`. Mutable: `heard`."""

    def __init__(self, servers: Servers, heard: Heard[object]) -> None:
        self._servers, self._heard = servers, heard

    def stand_in(self, name: str) -> DeclaredServer | None:
        return self._servers.stand_in(name)

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        return await self._servers.list_tools(server, at)

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        await self._servers.accept(server, listed, at)

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        told = self._heard.begin(at.number, {"failed": "It was not finished."})
        result = await self._servers.call_tool(call, at)
        told(result_values(result))
        return result

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        told = self._heard.begin(at.number, {"failed": "It was not finished."})
        result = await self._servers.fetch(url, hosts, at)
        told(result_values(result))
        return result
