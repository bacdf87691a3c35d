"""Connections of the daemon: one that cannot be had costs that one, and not the daemon."""

from __future__ import annotations

import errno
import socket
from typing import Any

import anyio
import pytest

from samovar.config import Settings
from samovar.errors import EngineError
from samovar.serve.daemon import Daemon, ServeOptions
from samovar.serve.engines import Engines
from samovar.serve.http import Http

pytestmark = pytest.mark.anyio


class Full(socket.socket):
    """A listener of a process that has as many files open as it may, the first time."""

    tries = 0

    def accept(self) -> Any:
        self.tries += 1
        if self.tries == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_a_daemon_with_too_many_files_open_takes_clients_later() -> None:
    with anyio.fail_after(30), Full(socket.AF_INET) as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        client.connect(listener.getsockname())
        taken = anyio.Event()

        async def serve(connection: socket.socket) -> None:
            connection.close()
            taken.set()

        async with anyio.create_task_group() as tasks:
            settings = Settings()
            daemon = Daemon(settings, ServeOptions(), Engines(settings, tasks), tasks)
            tasks.start_soon(daemon.accept, listener, tasks, serve)
            await taken.wait()
            tasks.cancel_scope.cancel()
    assert listener.tries >= 2


async def test_an_application_that_does_not_start_is_an_error_and_nobody_waits_for_it() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "oh"})

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with pytest.raises(EngineError, match="did not start"):
                await tasks.start(Http(broken).run)
