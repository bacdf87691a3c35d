"""A process that ends what we have started if we are killed ourselves, which nobody can hear of.

Above: `children.py`, which tells it what there is. Below: `guard_program.py`, which it is. It waits at the
end of a pipe that only we hold: whatever ends us closes it. Mutable: the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import anyio
from anyio.abc import Process

PROGRAM = Path(__file__).with_name("guard_program.py")
GOODBYE_S = 2.0
"""It ends at once when it is told to; if not, it is killed."""

Kind = Literal["mark", "group", "folder"]


class Guard:
    """Started with the first that it is told of."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._starting = anyio.Lock()

    async def watch(self, kind: Kind, text: str) -> None:
        """From now on it ends with us. Raises `OSError` if no guard can be started."""
        with anyio.CancelScope(shield=True):
            async with self._starting:
                if self._process is None:
                    self._process = await anyio.open_process(
                        [sys.executable, "-I", "-S", str(PROGRAM), str(os.getpid())],  # whose it is
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        cwd="/",
                        env={},  # it must not have the mark that it looks for
                        start_new_session=True,  # what interrupts us must not interrupt it
                    )
            await self._say(f"{kind} {text}")

    async def forget(self, kind: Kind, text: str) -> None:
        """It is gone."""
        with anyio.CancelScope(shield=True):
            await self._say(f"done {kind} {text}")

    async def close(self) -> None:
        """Nothing is left that it would have to end."""
        if self._process is None:
            return
        with anyio.CancelScope(shield=True):
            await self._say("bye")
            with anyio.move_on_after(GOODBYE_S):
                await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
            await self._process.aclose()
        self._process = None

    async def _say(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):  # it was killed
            await self._process.stdin.send(os.fsencode(line + "\n"))


def is_guard(words: Iterable[str]) -> bool:
    """Whether a process with these words is a guard: whoever ends all that we have started leaves it out."""
    return str(PROGRAM) in words
