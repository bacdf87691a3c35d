"""Starts a server of tools, greets it, counts its tools and ends it: for `samovar doctor --connect`.

Above: `checkup_others.py`. Below: the server's process, in a session of its own, which is ended on every
path. It speaks the few messages of the handshake itself, and calls no tool.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from typing import Any

from samovar.config import DeclaredServer
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.executors.probing import Probe, end_group
from samovar.processes.given_variables import TEMPORARY, allowed

GREETING_S = 10.0
MOST_BYTES = 8 << 20
"""Of what a server says."""
PROTOCOL = "2025-06-18"


def greet(server: DeclaredServer) -> Probe:
    """What comes of it, within `GREETING_S`."""
    try:
        process = subprocess.Popen(
            list(server.command),
            cwd=None if server.folder is None else os.path.expanduser(server.folder),
            env=allowed((TEMPORARY, *server.environment)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return Probe(is_good=False, what=f"cannot be started: {reason}")
    try:
        return _talk(process)
    except (OSError, ValueError) as error:
        return Probe(is_good=False, what=f"was started, but {error}")
    finally:
        end_group(process)


def _talk(process: subprocess.Popen[bytes]) -> Probe:
    answers = _Answers(process, time.monotonic() + GREETING_S)
    client = {"name": "samovar doctor", "version": "1"}
    _send(process, 1, "initialize", {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client})
    greeted = answers.to(1)
    _send(process, None, "notifications/initialized", None)
    _send(process, 2, "tools/list", {})
    tools = answers.to(2).get("tools")
    about = greeted.get("serverInfo")
    name = about.get("name") if isinstance(about, dict) else None
    count = len(tools) if isinstance(tools, list) else 0
    return Probe(is_good=True, what=f"greeted as {str(name or '?')[:80]!r}, with {counted(count, 'tool')}")


def _send(process: subprocess.Popen[bytes], number: int | None, method: str, params: Any) -> None:
    assert process.stdin is not None
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    message |= {} if number is None else {"id": number}
    message |= {} if params is None else {"params": params}
    process.stdin.write(json.dumps(message).encode() + b"\n")


class _Answers:
    """What the server says, line by line. Mutable: what has come and was not looked at."""

    def __init__(self, process: subprocess.Popen[bytes], until_s: float) -> None:
        self._process, self._until_s, self._read = process, until_s, bytearray()

    def to(self, number: int) -> dict[str, Any]:
        """The answer with that number; what else is said is passed over. Raises `ValueError`."""
        while True:
            line = self._line()
            try:
                message = json.loads(line)
            except ValueError:  # a stray line, as many servers print one
                continue
            if not isinstance(message, dict) or message.get("id") != number:
                continue
            result = message.get("result")
            if not isinstance(result, dict):
                raise ValueError("it refused the greeting")
            return result

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while b"\n" not in self._read:
            left = max(0.0, self._until_s - time.monotonic())
            if not select.select([handle], [], [], left)[0]:
                raise ValueError(f"did not answer within {lasting(GREETING_S)}")
            piece = os.read(handle, 65536)
            if not piece:
                raise ValueError("ended without an answer")
            self._read += piece
            if len(self._read) > MOST_BYTES:
                raise ValueError("said too much in place of an answer")
        line, _, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        return line
