"""The daemon: one for each user, which answers prompts of all processes on models that are loaded once.

Above: `samovar serve`. Below: `place.py`, where it is reached; `engines.py`, the worker with the models;
`answering.py`, by which each process is answered; `http.py`, which is imported only if HTTP is asked for. It
ends on SIGTERM when what is being answered is done, or at once on the second signal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup, UNIXSocketStream

from samovar import __version__, memory
from samovar.app import Locator, budget_bytes, open_stores
from samovar.background import alone
from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.errors import EngineError, SamovarError, UsageError
from samovar.executors.daemon import held, peer_uid
from samovar.executors.far import FarExecutor
from samovar.executors.frames import MAGIC, Hello
from samovar.executors.table import LOCAL_ONE, Locate
from samovar.executors.wire import GREETING_S, tell
from samovar.serve.answering import AnsweredWith, answer
from samovar.serve.engines import Engines, engines
from samovar.serve.http_options import HttpOptions, secure, url_of
from samovar.serve.line import Queued, WaitingLine
from samovar.serve.place import listening, listening_at, only_one, own_folder, withdraw
from samovar.serve.token import own_token

if TYPE_CHECKING:
    from samovar.serve.http import Http

DRAIN_S = 60.0
"""What is being answered when the daemon is to end has this long."""
END_KNOWN_S = 2.0
"""How the worker ended is known by then."""

Serve = Callable[[socket.socket], Coroutine[Any, Any, None]]
"""Serves one connection until it is closed."""

_log = logging.getLogger("samovar.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a daemon serves."""

    idle_s: float | None = None
    """It ends when nobody was there for this long; None: never."""
    drain_s: float = DRAIN_S
    http: HttpOptions | None = None
    """None: no HTTP, only wires."""
    ready: Callable[[str], None] = field(default=lambda line: None)
    """Called with a line for a person once it can be reached."""


class Daemon:
    """Mutable: who is there, and whether it is to end."""

    def __init__(self, settings: Settings, options: ServeOptions, made: Engines, tasks: TaskGroup) -> None:
        self.settings, self.options, self.tasks = settings, options, tasks
        self.http: Http | None = None
        self.token = ""
        self._making_http = anyio.Lock()
        self.engines = made
        self.line = WaitingLine()
        self.started = time.time()
        self.budget = budget_bytes(settings)
        self.is_over = anyio.Event()
        """It takes nobody more, and ends when nothing is being answered."""
        self._clients = 0
        """How many are there."""
        self._has_left = anyio.Event()
        self._busy_since = time.monotonic()

    # Answering --------------------------------------------------------------------------------------------

    def executor(self, locate: Locate, declared: DeclaredExecutor = LOCAL_ONE) -> Queued:
        """What answers one client, or the workflows of the daemon itself: each has a place in the line."""
        model = declared.model or self.settings.model
        far = FarExecutor(self.engines.connect, locate, default_model=model, name=declared.name)
        return Queued(far, self.line, self._why_lost)

    async def _why_lost(self) -> str:
        with anyio.move_on_after(END_KNOWN_S):
            await self.engines.ended()
        return self.engines.why_lost()

    async def _serve_wire(self, connection: socket.socket) -> None:
        hello = Hello(
            version=__version__,
            pid=os.getpid(),
            held=dict(held(self.settings)),
            budget_bytes=self.budget,
        )
        with self._client():
            known = AnsweredWith(hello=hello, make=self.executor, tell=self.tell, is_over=self.is_over)
            await answer(await UNIXSocketStream.from_socket(connection), known)

    @contextmanager
    def _client(self) -> Iterator[None]:
        """Somebody is there until it ends."""
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1
            self._has_left.set()
            self._busy_since = time.monotonic()

    async def tell(self, what: str) -> dict[str, Any]:
        """See `AnsweredWith.tell`."""
        if what == "how":
            return await self.figures()
        if what == "stop":
            self.is_over.set()
            return {}
        raise UsageError(f"samovar serve cannot be told {what!r}.")

    async def figures(self) -> dict[str, Any]:
        """How it is, as `samovar serve --status --json` has it."""
        worker: dict[str, Any] = {}
        if self.engines.pid is not None:
            try:
                worker = await tell(await self.engines.connect(), "how")
            except SamovarError as error:  # it has just ended
                _log.info("the worker did not say how it is: %s", error)
        return {
            "version": __version__,
            "process": os.getpid(),
            "up_s": time.time() - self.started,
            "clients": self._clients - 1,  # without the one who asks
            "answering": self.line.active,
            "waiting": self.line.waiting,
            "resident_bytes": memory.resident_bytes(),
            "budget_bytes": self.budget,
            "worker_starts": self.engines.starts,
            "worker_crashes": self.engines.crashes,
            "last_crash": self.engines.last_end,
            "worker": worker or None,
        }

    # Living -----------------------------------------------------------------------------------------------

    async def accept(self, listener: socket.socket, tasks: TaskGroup, serve: Serve) -> None:
        """Takes everybody who comes."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # as many are open as are allowed
                _log.warning("a client cannot be taken: %s", error)
                await anyio.sleep(0.5)
                continue
            tasks.start_soon(serve, connection, name="answers a client")

    async def serve_own(self, connection: socket.socket) -> None:
        """A process that came over the socket, until it is gone: it speaks frames, or HTTP."""
        with connection:
            try:
                is_ours = peer_uid(connection) == os.geteuid()
                begin = await _begin(connection) if is_ours else b""
            except OSError:
                begin = b""
            if begin == MAGIC:
                await self._serve_wire(connection)
            elif begin and self.options.http is not None:
                await self.serve_http(connection, is_trusted=True)

    async def serve_http(self, connection: socket.socket, *, is_trusted: bool = False) -> None:
        """One connection, until it is closed."""
        with self._client(), connection:
            try:
                http = await self._http()
                await http.take(connection, is_trusted=is_trusted)
            except EngineError as error:
                _log.warning("%s", error)
            except OSError as error:  # as of TLS: it is gone
                _log.info("a client is gone: %s", error)

    async def _http(self) -> Http:
        """Made with the first connection that wants it: a run that draws from here needs none of it."""
        from samovar.serve.application import api_part, application, status_part
        from samovar.serve.http import Http
        from samovar.serve.offered import OfferedWorkflows

        async with self._making_http:
            if self.http is None:
                options = self.options.http
                assert options is not None
                offered = OfferedWorkflows(self.settings, self.executor)
                executor = self.executor(Locator(self.settings, open_stores(self.settings)))
                api = api_part(executor, self.settings, offered.models)
                parts = (status_part(self.figures), offered.part(), api)
                app = application(parts, token=self.token, hosts=options.hosts)
                http = Http(app, secure(options))
                await self.tasks.start(http.run, name="HTTP")
                self.http = http
            return self.http

    async def end(self, listener: socket.socket, tasks: TaskGroup) -> None:
        """Waits until it is to end and what is being answered is done, and ends everything."""
        await self.is_over.wait()
        withdraw(listener)
        with anyio.move_on_after(self.options.drain_s):
            if self.http is not None:
                await self.http.drain()
            while self._clients:
                self._has_left = anyio.Event()
                await self._has_left.wait()
        tasks.cancel_scope.cancel()

    async def watch_idle(self) -> None:
        """Ends it when nobody was there for long enough."""
        while self.options.idle_s is not None:
            idle_s = 0.0 if self._clients else time.monotonic() - self._busy_since
            if not self._clients and idle_s >= self.options.idle_s:
                self.is_over.set()
                return
            await anyio.sleep(min(1.0, max(0.05, self.options.idle_s - idle_s)))

    async def hear_signals(self, tasks: TaskGroup) -> None:
        """The first one ends it when it is done, the second at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                if self.is_over.is_set():
                    tasks.cancel_scope.cancel()
                self.is_over.set()


async def _begin(peer: socket.socket) -> bytes:
    """The first bytes that a client sends, which stay to be read; fewer if it does not say more."""
    begin = b""
    with anyio.move_on_after(GREETING_S):
        while len(begin) < len(MAGIC):
            await anyio.wait_readable(peer)
            now = peer.recv(len(MAGIC), socket.MSG_PEEK)
            if len(now) <= len(begin):
                if not now:
                    break
                await anyio.sleep(0.01)  # what is there does not go away by looking at it
            begin = now
    return begin


@asynccontextmanager
async def opened(settings: Settings, options: ServeOptions) -> AsyncIterator[Daemon]:
    """A daemon that can be reached. Raises `UsageError` if there is one, or no place for one."""
    folder = own_folder()
    with only_one(folder), listening(folder) as listener, ExitStack() as stack:
        listener_http, token = None, ""
        if (http := options.http) is not None:
            listener_http = stack.enter_context(listening_at(http.host, http.port))
            token, _ = own_token(folder), secure(http)  # what is wrong with them is said now
        async with engines(settings) as made, anyio.create_task_group() as tasks:
            daemon = Daemon(settings, options, made, tasks)
            if http is not None and listener_http is not None:
                daemon.token = token
                tasks.start_soon(daemon.accept, listener_http, tasks, daemon.serve_http, name="accepts HTTP")
            tasks.start_soon(daemon.accept, listener, tasks, daemon.serve_own, name="accepts")
            tasks.start_soon(daemon.end, listener, tasks, name="waits for the end")
            tasks.start_soon(daemon.watch_idle, name="watches how long nobody is there")
            tasks.start_soon(daemon.hear_signals, tasks, name="hears signals")
            lines = f"samovar serve: process {os.getpid()}, socket {listener.getsockname()}"
            if http is not None and listener_http is not None:
                lines += f", {url_of(http, listener_http)}"
            options.ready(lines)
            yield daemon
            await anyio.sleep_forever()


async def serve(settings: Settings, options: ServeOptions) -> None:
    """Serves until it is told to end."""
    try:
        async with opened(settings, options):
            pass
    except ExceptionGroup as errors:
        raise alone(errors) from None
