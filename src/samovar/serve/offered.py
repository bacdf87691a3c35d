"""The exposed workflows of a daemon's folder, over HTTP: as tools at `/mcp`, and as models of the model API.

Above: `daemon.py`. Below: `mcp_opening.py`, `workflow_models.py`. Their prompts are answered by the daemon's
own worker, in the line with all others. If they cannot be offered, models still are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.dialects.base import ModelEntry
from samovar.errors import SamovarError
from samovar.executors.base import Executor
from samovar.executors.table import Locate
from samovar.serve.application import HttpPart
from samovar.serve.mcp_opening import open_server
from samovar.serve.mcp_server import PATH, HttpDoor, http_door
from samovar.serve.workflow_models import WorkflowExecutor

LOOKED_S = 2.0
"""The files of workflows are looked at no more often."""

_log = logging.getLogger("samovar.serve")


class OfferedWorkflows:
    """Mutable: whether they are offered, and what there was when the files were last looked at."""

    def __init__(self, settings: Settings, make: Callable[[Locate, DeclaredExecutor], Executor]) -> None:
        """`make`: what answers prompts of local models."""
        self._settings = settings
        self._local = lambda parts: make(parts.locate, parts.declared)
        self._door: HttpDoor | None = None
        self._executor: WorkflowExecutor | None = None
        self._known: Sequence[ModelEntry] = ()
        self._looked_s: float | None = None
        self._why_not = ""

    def part(self) -> HttpPart:
        """The route of the Model Context Protocol, and all that has to be open for workflows."""
        return HttpPart(routes=(Route(PATH, endpoint=_Tools(self)),), running=self._running)

    def models(self) -> Sequence[ModelEntry]:
        """The workflows, as models that clients may name."""
        if self._executor is None:
            return ()
        now_s = time.monotonic()
        if self._looked_s is None or now_s - self._looked_s >= LOOKED_S:
            names = self._executor.models()
            self._known = [ModelEntry(id=name, executor=self._executor, continues=False) for name in names]
            self._looked_s = now_s
        return self._known

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                server, runs = await stack.enter_async_context(open_server(self._settings, local=self._local))
            except (SamovarError, OSError) as error:
                _log.warning("Workflows are not offered: %s", error)
                self._why_not = str(error)
            else:
                door = http_door(server)
                await stack.enter_async_context(door.manager.run())
                self._door, self._executor = door, WorkflowExecutor(runs)
            yield

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """One request of the Model Context Protocol."""
        if self._door is None:
            refused = JSONResponse({"error": {"message": self._why_not}}, status_code=503)
            await refused(scope, receive, send)
        else:
            await self._door.route.app(scope, receive, send)


class _Tools:
    """An application, as a route takes it."""

    def __init__(self, offered: OfferedWorkflows) -> None:
        self._offered = offered

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._offered.answer(scope, receive, send)
