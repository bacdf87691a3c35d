"""A running `samovar serve` of this user: whether there is one that may answer, and the executor using it.

Above: `app.py`, which asks once when it opens; commands that are about the daemon itself. Below: `far.py`. A
daemon is used if it is ours, of this version, and has what our settings say of what it has for everybody.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteStream

from samovar import __version__
from samovar.config import Settings
from samovar.errors import EngineLostError
from samovar.executors.base import (
    Connection,
    EmbedRequest,
    Executor,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
    forget,
)
from samovar.executors.far import FarConnection, FarExecutor
from samovar.executors.frames import MAGIC, BadFrameError, FrameReader, Hello, encode
from samovar.executors.local import LocalExecutor
from samovar.executors.table import Parts
from samovar.generation import Embeddings
from samovar.projects.places import SOCKET, serve_folder

GREETING_S = 2.0
"""A daemon that has not said who it is by then is not waited for."""
MOST_GREETING_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDaemon:
    """A daemon that may answer in place of models of this process."""

    path: Path
    """Its socket."""
    hello: Hello

    @property
    def where(self) -> str:
        """What a report calls it."""
        return f"samovar serve, process {self.hello.pid}"

    def make(self, parts: Parts) -> Executor:
        """See `table.Parts.local`."""
        model = parts.declared.model or parts.settings.model
        far = FarExecutor(self.connect, parts.locate, default_model=model, name=parts.declared.name)
        return _Drawn(far, self, parts)

    async def connect(self) -> ByteStream:
        """A stream to it. Raises `EngineLostError` if it is gone."""
        try:
            return await anyio.connect_unix(self.path)
        except OSError as error:
            raise EngineLostError(
                f"samovar serve cannot be reached any more: {error.strerror}. Start it again, or use "
                "--no-daemon."
            ) from None


class _Drawn:
    """See `executors.base.Executor`. It says in the books where prompts are answered."""

    def __init__(self, far: FarExecutor, daemon: RunningDaemon, parts: Parts) -> None:
        self.name = far.name
        self._far, self._daemon, self._parts = far, daemon, parts
        model = parts.declared.model or parts.settings.model
        self._here = LocalExecutor(parts.sessions, parts.locate, default_model=model, name=far.name)

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Connection]:
        self._parts.on_where(self._daemon.where)
        async with self._far.open(run) as far, self._here.open(run) as here:
            yield _DrawnConnection(far, here)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `base.Embedder`."""
        self._parts.on_where(self._daemon.where)
        return await self._far.embed(request)

    async def count(self, request: PromptRequest) -> int:
        """See `base.Counter`."""
        return await self._far.count(request)


class _DrawnConnection:
    """One run's access: from the daemon for as long as it is there, then from this process."""

    def __init__(self, far: FarConnection, here: Connection) -> None:
        self._far, self._here = far, here

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        """See `base.Connection`."""
        if not self._far.is_alone:
            try:
                return await self._far.ask(request, on_event)
            except EngineLostError:
                if not self._far.is_alone:  # it was lost while it answered
                    raise
        return await self._here.ask(replace(request, history=self._far.missing(request)), on_event)

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        await self._far.forget(session)
        await forget(self._here, session)


def held(settings: Settings) -> Mapping[str, Any]:
    """What a daemon has for everybody: what these settings say of it."""
    folder = settings.cache_folder
    return {
        "budget_bytes": settings.budget_bytes,
        "cache_folder": None if folder is None else str(folder.absolute()),
        "context_tokens": settings.context_tokens,  # as are the cells that it may grow to
        "kv_type": settings.kv_type,  # an arena over weights has one, whoever asks for another
        "snapshots_bytes": settings.snapshots_bytes,
        "threads": settings.threads,
        "tune": settings.tune,
    }


IF_SET = ("budget_bytes", "threads")
"""Those that matter only if they are set: else whatever the daemon has will do."""


def objection(settings: Settings, hello: Hello) -> str | None:
    """Why a daemon does not answer for these settings, for a person; None if it does."""
    if hello.version != __version__:
        return (
            f"the running samovar serve is version {hello.version}, this is {__version__}: it is not used. "
            "Restart it with: samovar serve --stop; samovar serve"
        )
    for name, value in held(settings).items():
        if value != hello.held.get(name) and not (name in IF_SET and value is None):
            theirs = hello.held.get(name)
            return (
                f"{name} is {'unset' if value is None else value} here, and "
                f"{'unset' if theirs is None else theirs} in the running samovar serve: it is not used"
            )
    return None


def socket_path() -> Path | None:
    """Where a daemon of this user would be reached; None if there is no place for one."""
    folder = serve_folder()
    return None if folder is None else folder / SOCKET


def greeting(path: Path) -> Hello | None:
    """Who is there; None if nobody is, or it is not a daemon of this user."""
    try:
        folder = path.parent.stat()
        if folder.st_uid != os.geteuid() or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(GREETING_S)
            peer.connect(str(path))
            if peer_uid(peer) != os.geteuid():
                return None
            peer.sendall(MAGIC + encode(Hello(version=__version__, pid=os.getpid())))
            return _read(peer)
    except (OSError, BadFrameError):
        return None


def _read(peer: socket.socket) -> Hello | None:
    reader = FrameReader(MOST_GREETING_BYTES)
    while data := peer.recv(65_536):
        for frame in reader.feed(data):
            return frame if isinstance(frame, Hello) else None
    return None


def peer_uid(peer: socket.socket) -> int:
    """The user of the process at the other end. Raises `OSError`."""
    if sys.platform == "darwin":
        raw = peer.getsockopt(0, 1, 12)  # SOL_LOCAL, LOCAL_PEERCRED: version and user of `struct xucred`
        return int(struct.unpack_from("Ii", raw)[1])
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])


def running_daemon(settings: Settings) -> tuple[RunningDaemon | None, str | None]:
    """The daemon that answers for these settings; and the line about one that does not, if there is one."""
    path = socket_path()
    if settings.daemon == "off" or path is None or not path.exists():
        return None, None
    hello = greeting(path)
    if hello is None:
        return None, None
    if why := objection(settings, hello):
        return None, why
    return RunningDaemon(path=path, hello=hello), None
