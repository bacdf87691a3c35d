"""`samovar serve`: starts the daemon, and shows or ends the one that runs.

Above: the command of `of_serve.py`. Below: `serve/`, and `executors/daemon.py`, by which it is found.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio

from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.errors import EngineLostError, UsageError
from samovar.errors.counting import counted
from samovar.errors.installing import install_command
from samovar.executors.daemon import greeting, socket_path
from samovar.executors.wire import tell
from samovar.memory import in_words
from samovar.serve.http_options import PORT, HttpOptions
from samovar.values import duration_s

STOPS_S = 90.0
"""A daemon that was told to end is waited for as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeArguments:
    """What `samovar serve` was called with."""

    settings: Mapping[str, Any]
    """By name, None for those that were not given."""
    status: bool = False
    stop: bool = False
    token: bool = False
    install: bool = False
    host: str = "127.0.0.1"
    port: int | None = None
    """None: the usual one."""
    http: bool = True
    names: tuple[str, ...] = ()
    tls: tuple[Path, Path] | None = None
    """A certificate and its key."""
    insecure: bool = False
    idle: str | None = None
    as_json: bool = False


def serve_models(arguments: ServeArguments) -> int:
    """Does what was asked; returns the exit status."""
    asked = [name for name in ("status", "stop", "token", "install") if getattr(arguments, name)]
    if len(asked) > 1:
        raise UsageError(f"--{asked[0]} and --{asked[1]} cannot be combined.")
    if arguments.status:
        return _show(arguments)
    if arguments.stop:
        return _stop()
    if arguments.token:
        return _show_token()
    if arguments.as_json:
        raise UsageError("--json needs --status.")
    if arguments.install:
        from samovar.serve.installing import install

        return install(put)
    http = _http(arguments)
    from samovar.serve.daemon import ServeOptions, serve

    logging.getLogger("samovar.serve").addHandler(_Said())
    settings = settings_for(arguments.settings)
    idle_s = _idle_s(arguments.idle)
    anyio.run(serve, settings, ServeOptions(idle_s=idle_s, http=http, ready=say))
    return 0


def _show_token() -> int:
    from samovar.serve.place import own_folder
    from samovar.serve.token import own_token

    put(own_token(own_folder()) + "\n")
    return 0


def _http(arguments: ServeArguments) -> HttpOptions | None:
    """Where HTTP is served; None: nowhere. Raises `UsageError`."""
    if not arguments.http:
        return None
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        if arguments.port is not None or arguments.tls is not None:
            raise UsageError(f"HTTP needs more packages: {install_command('samovar[serve]')}")
        say(f"samovar serve: without HTTP, which needs more packages: {install_command('samovar[serve]')}")
        return None
    certificate, key = arguments.tls or (None, None)
    options = HttpOptions(
        host=arguments.host,
        port=PORT if arguments.port is None else arguments.port,
        names=arguments.names,
        certificate=certificate,
        key=key,
    )
    if not options.is_loopback and certificate is None and not arguments.insecure:
        raise UsageError(
            f"At {arguments.host}, other machines would reach it, and anyone on the way could read it all. "
            "Use --tls CERT KEY, or --insecure if that is meant."
        )
    return options


def _idle_s(text: str | None) -> float | None:
    try:
        return None if text is None else duration_s(text)
    except ValueError as error:
        raise UsageError(f"--idle {text}: {error}.") from error


class _Said(logging.Handler):
    """What the daemon has to say goes to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"samovar serve: {shown(record.getMessage())}")


def _ask(what: str) -> dict[str, Any] | None:
    """What the running daemon says; None if there is none."""
    path = socket_path()
    if path is None or not path.exists() or greeting(path) is None:
        return None

    async def main() -> dict[str, Any]:
        return await tell(await anyio.connect_unix(path), what)

    try:
        return anyio.run(main)
    except (EngineLostError, OSError):  # it ended while it was asked
        return {} if what == "stop" else None


def _show(arguments: ServeArguments) -> int:
    figures = _ask("how")
    if arguments.as_json:
        write_json({"running": figures is not None, **(figures or {})})
    elif figures is None:
        say("samovar serve does not run")
    else:
        for line in _lines(figures):
            put(shown(line) + "\n")
    return 0 if figures is not None else 1


def _lines(figures: dict[str, Any]) -> list[str]:
    """For a person."""
    lines = [
        f"process {figures['process']}, version {figures['version']}, up {figures['up_s']:.0f} s, "
        f"{in_words(figures['resident_bytes'])}",
        f"{counted(figures['clients'], 'client')} · {figures['answering']} answering · "
        f"{figures['waiting']} waiting",
    ]
    if figures["worker_crashes"]:
        lines.append(f"the worker ended {figures['worker_crashes']} times; last: it {figures['last_crash']}")
    worker = figures["worker"]
    if worker is None:
        return [*lines, "no model was asked for yet"]
    lines.append(
        f"worker {worker['worker']}: {in_words(worker['resident_bytes'])}, models hold "
        f"{in_words(worker['held_bytes'])} of {in_words(worker['budget_bytes'])}"
    )
    for model in worker["models"]:
        tokens = model["tokens"]
        how = "loaded" if model["is_loaded"] else "closed"
        lines.append(
            f"  {model['ref']}: {how}, loads {model['loads']}, evaluated {tokens['evaluated']}, "
            f"reused {tokens['reused']}, generated {tokens['generated']}"
        )
    return lines


def _stop() -> int:
    path = socket_path()
    if _ask("stop") is None or path is None:
        say("samovar serve does not run")
        return 1
    return 0 if anyio.run(_gone, path) else 1


async def _gone(path: Path) -> bool:
    """Whether the daemon has ended in time."""
    with anyio.move_on_after(STOPS_S):
        while True:
            if not _is_locked(path.with_name("lock")):
                return True
            await anyio.sleep(0.05)
    say(f"samovar serve is still answering after {STOPS_S:g} s; it ends when that is done")
    return False


def _is_locked(path: Path) -> bool:
    import fcntl

    with open(path, "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
