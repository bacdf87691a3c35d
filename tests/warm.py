"""`samovar` in processes of their own that begin warm: forked from one that has imported everything.

A start from nothing takes half a second, nearly all of it imports, and the tests start hundreds. A fork has
its own streams, folder, environment and ending like any process, and goes down as the interpreter does.
Starts from nothing are shown by the tests that call `subprocess` themselves.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import pkgutil
import select
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_LATE = (
    "cffi",
    "jinja2",
    "lark",
    "liquid",
    "markdown_it",
    "platformdirs",
    "psutil",
    "pydantic_settings",
    "rich.live",
    "rich.table",
    "tomllib",
    "yaml",
)
"""What samovar imports only when it is needed, and most commands need."""


class Warm:
    """The process that is forked from. It serves one command after another."""

    def __init__(self) -> None:
        # What this process is checked for, its children are too.
        flags = ["-X", "dev"] if sys.flags.dev_mode else []
        self._server = subprocess.Popen(
            [sys.executable, *flags, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def run(
        self, arguments: list[str], *, folder: Path, environment: dict[str, str], stdin: str, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """`samovar` with these arguments, to its end. Raises `TimeoutExpired`."""
        assert self._server.stdin is not None and self._server.stdout is not None
        with tempfile.TemporaryDirectory() as streams:
            for name in ("stdin", "stdout", "stderr"):
                Path(streams, name).write_text(stdin if name == "stdin" else "")
            request = {
                "arguments": arguments,
                "folder": str(folder),
                "environment": environment,
                "streams": streams,
            }
            self._server.stdin.write(json.dumps(request) + "\n")
            if not select.select([self._server.stdout], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired(["samovar", *arguments], timeout_s)
            status = int(self._server.stdout.readline())
            stdout, stderr = (Path(streams, name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(["samovar", *arguments], status, stdout, stderr)

    def close(self) -> None:
        """Ends the process."""
        with self._server as server:
            server.kill()


@cache
def warm() -> Warm:
    """One for all tests of this process."""
    return Warm()


def close_warm() -> None:
    if warm.cache_info().currsize:
        warm().close()
        warm.cache_clear()


def import_all() -> None:
    """Imports all of samovar, and what it imports only when it is needed."""
    import samovar

    for module in pkgutil.walk_packages(samovar.__path__, "samovar."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)


def _serve() -> None:
    """Forks for each request that comes in, and answers with the exit status.

    In a fork it returns, so that whatever ends the command ends the interpreter as well.
    """
    import_all()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # in dev mode it warns of each step that took long
    gc.collect()
    gc.freeze()
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _perform(**json.loads(line))
            return
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _perform(arguments: list[str], folder: str, environment: dict[str, str], streams: str) -> None:
    from samovar.cli.entry import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        file = os.open(os.path.join(streams, name), os.O_RDWR)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = ["samovar", *arguments]
    main()


if __name__ == "__main__":
    _serve()
