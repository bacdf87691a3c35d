"""HTTP for the daemon: connections that were taken elsewhere, spoken by uvicorn, on an application of routes.

Above: `daemon.py`, which gives connections and says which are over its own socket. Below: the application.
Nothing of it is imported or made before the first connection that wants it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskStatus

from samovar.errors import EngineError
from samovar.serve.http_checks import Application

MOST_CONNECTIONS = 1100
FIRST_REQUEST_S = 20.0
"""A connection that has not asked for anything by then is closed."""
DRAIN_S = 10


class _Server(uvicorn.Server):
    """One that hears no signals: the daemon does."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Http:
    """Mutable: the server, and its connections."""

    def __init__(self, application: Application, secure: ssl.SSLContext | None = None) -> None:
        """`secure`: for connections over TCP; None: they are plain."""
        self._secure = secure
        self._config = uvicorn.Config(
            application,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_S,
            proxy_headers=False,
        )
        self._server = _Server(self._config)
        self._is_over = anyio.Event()

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Serves the connections that are given, until `drain` is called. Raises `EngineError`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve, name="serves HTTP")
            while not (self._server.started or self._server.should_exit):  # noqa: ASYNC110  # no event for it
                await anyio.sleep(0.01)
            if self._server.started:
                task_status.started()
        if not self._server.started:
            raise EngineError("HTTP cannot be served: what it needs did not start.")
        self._is_over.set()

    async def _serve(self) -> None:
        with suppress(SystemExit):  # what does not start would end the process
            await self._server.serve([])
        self._server.should_exit = True

    async def drain(self) -> None:
        """What is being answered is finished, for as long as uvicorn waits for it."""
        self._server.should_exit = True
        await self._is_over.wait()

    async def take(self, connection: socket.socket, *, is_trusted: bool) -> None:
        """Speaks HTTP on a connection, which is its own from now on. It returns when that is closed."""
        state = {**self._server.lifespan.state, "is_trusted": is_trusted}
        ended = anyio.Event()
        made: list[Any] = []

        def protocol() -> Any:
            make: Any = self._config.http_protocol_class
            one = make(config=self._config, server_state=self._server.server_state, app_state=state)
            lost = one.connection_lost

            def connection_lost(error: Exception | None) -> None:
                lost(error)
                ended.set()

            one.connection_lost = connection_lost
            made.append(one)
            return one

        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        await loop.connect_accepted_socket(protocol, connection, ssl=None if is_trusted else self._secure)
        with anyio.move_on_after(FIRST_REQUEST_S):
            while made[0].scope is None and not ended.is_set():  # noqa: ASYNC110  # nor for this
                await anyio.sleep(0.25)
        if made[0].scope is None:
            made[0].transport.abort()
        await ended.wait()
