"""Who drives a run: a lease that is renewed at half of its time, and can be taken once it has run out.

Above: `sqlite.py`. Below: anyio. Only the lease decides: a process that was stopped for longer than it, and
continues later, finds at its next write that another one has taken the run over, and ends.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable

import anyio

LEASE_S = 10.0
"""How long a process may be stopped, as by a closed lid, before another one may take its run over."""


def owner() -> str:
    """Names this process for people: it decides nothing."""
    return f"process {os.getpid()} on {socket.gethostname()}"


async def renew_always(renew: Callable[[], Awaitable[None]]) -> None:
    """Renews a lease, until it is cancelled. Raises `LeaseLostError` if it is lost."""
    while True:
        await anyio.sleep(LEASE_S / 2)
        await renew()
