"""`samovar` at a terminal that it has for its streams: what that shows, and what is typed there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT_S = 120


def on_terminal(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str],
    typed: Sequence[bytes] | None = (),
    question: tuple[bytes, ...] = (b"] ",),
    ahead: bytes = b"",
) -> tuple[int, str]:
    """The exit status, and all that the terminal shows.

    Each of `typed` is typed when what is shown ends as a question does, and `ahead` before the first of them.
    With None, standard input is empty, and no terminal.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "samovar", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL if typed is None else theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        os.write(ours, ahead)
        shown, left, until = b"", list(typed or ()), time.monotonic() + TIMEOUT_S
        while select.select([ours], [], [], max(until - time.monotonic(), 0))[0]:
            try:
                read = os.read(ours, 65536)
            except OSError:  # nobody has the other end any more
                break
            if not read:  # so some systems say it
                break
            shown += read
            if left and shown.endswith(question):
                os.write(ours, left.pop(0))
        return process.wait(TIMEOUT_S), shown.decode("utf-8", "replace")
    finally:
        os.close(ours)
        process.kill()
