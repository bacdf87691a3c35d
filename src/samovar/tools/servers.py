"""The servers of tools that one run reaches, each started when it is first asked for something.

Above: the runner, which opens them for a run. Below: `mcp.py`, which speaks with one; `pages.py`. One task
opens a server and closes it; if it is gone meanwhile, whoever asks it hears that, once with its last words.
Mutable: those that are open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from samovar.actions.reached import ListedTools, ServerCall, Servers, VisitOf
from samovar.actions.tools import ToolResult
from samovar.background import alone
from samovar.config.declared import DeclaredServer
from samovar.errors import SamovarError, ToolError
from samovar.tools import pinned

if TYPE_CHECKING:
    from samovar.tools.mcp import Served

T = TypeVar("T")


@asynccontextmanager
async def open_servers(run: str, folder: Path) -> AsyncIterator[Servers]:
    """Those of a run. On leaving, all that were started are ended."""
    errors: list[BaseException] = []
    async with anyio.create_task_group() as tasks:
        servers = ServersOfRun(run, folder, tasks)
        try:
            yield servers
        except BaseException as error:  # handed on: it is raised below, in no group
            errors.append(error)
        finally:
            servers.is_over.set()
    if errors:
        raise errors[0]


@dataclass(slots=True, eq=False)
class _Open:
    """A server that is open. Changed by the task that keeps it."""

    served: Served
    asking: set[anyio.CancelScope] = field(default_factory=set)
    error: ToolError | None = None
    """Why it is open no more, although the run goes on."""


class ServersOfRun:
    """See `actions.reached.Servers`."""

    def __init__(self, run: str, folder: Path, tasks: TaskGroup) -> None:
        self._run, self._folder, self._tasks = run, folder, tasks
        self._open: dict[str, _Open] = {}
        self._opening: dict[str, anyio.Lock] = {}
        self.is_over = anyio.Event()

    def stand_in(self, name: str) -> DeclaredServer | None:
        return None

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        from samovar.tools.mcp import CONNECT_S

        opened = await self._opened(server)
        with anyio.move_on_after(CONNECT_S) as limit:
            return await self._asked(opened, server.name, opened.served.list_tools)
        assert limit.cancelled_caught
        raise ToolError(
            f"The server {server.name!r} did not say within {CONNECT_S:g} s which tools it has.",
            tool=server.name,
        )

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        pinned.keep(server, listed.definitions)

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        opened = await self._opened(call.server)
        return await self._asked(opened, call.name, lambda: opened.served.call(call))

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        from samovar.tools import pages  # with all that fetching takes, which few runs need

        return await anyio.to_thread.run_sync(pages.fetch, url, hosts, abandon_on_cancel=True)

    async def _asked(self, opened: _Open, tool: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What a server says. Raises `ToolError` for one that is gone, or says what it may not."""
        with anyio.CancelScope() as scope:
            opened.asking.add(scope)
            try:
                if opened.error is None:
                    return await ask()
            except (SamovarError, anyio.get_cancelled_exc_class()):
                raise
            except Exception as error:  # of the package: mapped here, once
                raise ToolError(await _said(opened.served, error), tool=tool) from error
            finally:
                opened.asking.discard(scope)
        assert opened.error is not None, "only a server that is gone stops those who ask"
        raise opened.error

    async def _opened(self, server: DeclaredServer) -> _Open:
        async with self._opening.setdefault(server.name, anyio.Lock()):
            if server.name not in self._open:
                self._open[server.name] = await self._tasks.start(
                    self._keep, server, name=f"server {server.name}"
                )
            return self._open[server.name]

    async def _keep(self, server: DeclaredServer, *, task_status: TaskStatus[_Open]) -> None:
        """Opens a server and closes it at the end of the run. What opening raises, the asker gets."""
        from samovar.tools.mcp import connected

        opened: _Open | None = None
        try:
            async with connected(server, self._run, self._folder) as served:
                opened = _Open(served)
                task_status.started(opened)
                await self.is_over.wait()
        except Exception as raised:  # handed on, but for what comes when the run is over
            error = alone(raised)
            why = error if isinstance(error, ToolError) else None
            why = why or ToolError(f"The server {server.name!r} {_reason(error)}.", tool=server.name)
            if opened is None:
                raise why from None
            opened.error = why
            for scope in opened.asking:
                scope.cancel()


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
    return f"failed: {said or type(error).__name__}"
