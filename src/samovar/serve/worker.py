"""The worker: a process that has the models, so that a crash in native code ends it and not the daemon.

Above: `engines.py`, which starts it as a program and gives it a socket. Below: the app, and `answering.py`,
which answers each wire. A wire comes as a file descriptor over that socket; when the other end of the socket
is gone, so is this process, also if the daemon was killed.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
from typing import Any

import anyio
from anyio.abc import UNIXSocketStream

from samovar import __version__
from samovar import memory as bytes_of
from samovar.app import App, open_app
from samovar.config import Settings
from samovar.errors import UsageError
from samovar.executors.frames import Hello
from samovar.executors.local import LocalExecutor
from samovar.executors.table import Locate
from samovar.python.figures import model_object
from samovar.serve.answering import AnsweredWith, answer

WIRE, END = b"w", b"e"
"""What is said over the socket: here is a wire; end when nothing is being answered any more."""
NO_DAEMON = 70
"""How it exits if the daemon is gone."""


def to_json(settings: Settings) -> bytes:
    """Settings for a worker's standard input."""
    from pydantic import TypeAdapter

    plain = TypeAdapter(Settings).dump_python(settings)
    return json.dumps(plain, default=str).encode("utf-8", "surrogatepass")


def from_json(raw: bytes) -> Settings:
    """The settings that a worker was given."""
    from pydantic import TypeAdapter

    return TypeAdapter(Settings).validate_python(json.loads(raw.decode("utf-8", "surrogatepass")))


def main() -> None:
    """Answers until it is told to end, or nobody is there to tell it."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = from_json(sys.stdin.buffer.read())
    threading.Thread(target=_watch, args=(control.fileno(),), name="watches the daemon", daemon=True).start()
    anyio.run(_serve, control, settings)


def _watch(descriptor: int) -> None:
    """Ends the process when the daemon is gone, whatever else it is doing."""
    poll = select.poll()
    poll.register(descriptor, 0)  # that the other end is gone is always told
    while not poll.poll():
        pass
    os._exit(NO_DAEMON)


async def _serve(control: socket.socket, settings: Settings) -> None:
    async with (
        open_app(settings) as app,
        await UNIXSocketStream.from_socket(control) as stream,
        anyio.create_task_group() as tasks,
    ):
        answering = _answering(app)
        while True:
            said, descriptors = await stream.receive_fds(1, 1)
            for descriptor in descriptors:
                wire = await UNIXSocketStream.from_socket(socket.socket(fileno=descriptor))
                tasks.start_soon(answer, wire, answering, name="answers a wire")
            if said == END:
                tasks.cancel_scope.cancel()
                return


def _answering(app: App) -> AnsweredWith:
    def make(locate: Locate) -> LocalExecutor:
        return LocalExecutor(app.sessions, locate, default_model="")

    async def tell(what: str) -> dict[str, Any]:
        if what != "how":
            raise UsageError(f"A worker knows nothing of {what!r}.")
        return figures(app)

    hello = Hello(version=__version__, pid=os.getpid(), budget_bytes=app.pool.budget_bytes)
    return AnsweredWith(hello=hello, make=make, tell=tell)


def figures(app: App) -> dict[str, Any]:
    """How the models are, as `samovar serve --status --json` has it."""
    pool, sessions = app.pool.statistics(), app.sessions.statistics()
    return {
        "worker": os.getpid(),
        "budget_bytes": pool.budget_bytes,
        "held_bytes": pool.held_bytes,
        "resident_bytes": bytes_of.resident_bytes(),
        "peak_bytes": bytes_of.peak_bytes(),
        "leases": pool.leases,
        "waiting": pool.waiting,
        "sessions": {"opened": sessions.opened, "closed": sessions.closed},
        "models": [
            {
                **model_object(use),
                "is_loaded": use.statistics is not None,
                "tokens": {
                    "evaluated": use.tokens.evaluated,
                    "reused": use.tokens.reused,
                    "generated": use.tokens.generated,
                },
            }
            for use in pool.models
        ],
    }


if __name__ == "__main__":
    main()
