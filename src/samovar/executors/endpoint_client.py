"""The HTTP client of an endpoint: it follows no redirects, counts what it sends, and withholds headers.

Above: the executors of endpoints. Below: where the endpoint is. A redirect could send a prompt to a machine
that nobody named; a proxy of the environment would do the same to what stays on this machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from samovar.executors.endpoint import Endpoint

CONNECT_S = 20.0
"""So long may a connection take to come about."""
MOST_CONNECTIONS = 100
NO_KEY = "none"
"""What the official clients are given where there is no key, since they insist on one."""


@asynccontextmanager
async def http_client(endpoint: Endpoint, on_sent: Callable[[int], None]) -> AsyncIterator[Any]:
    """A client that both official libraries take; closed when this ends. `on_sent`: see `table.Parts`."""
    import httpx2  # which both official libraries bring

    async def prepare(request: Any) -> None:
        for name in endpoint.withheld:
            if name == "authorization":  # the variable's is in place of our own
                request.headers[name] = f"Bearer {endpoint.key or NO_KEY}"
            else:
                request.headers.pop(name, None)
        on_sent(len(request.content))

    limits = httpx2.Limits(max_connections=MOST_CONNECTIONS)
    transport = httpx2.AsyncHTTPTransport(uds=endpoint.socket, limits=limits) if endpoint.socket else None
    async with httpx2.AsyncClient(
        transport=transport,
        limits=limits,
        trust_env=endpoint.is_remote,
        follow_redirects=False,
        timeout=httpx2.Timeout(None, connect=CONNECT_S),
        event_hooks={"request": [prepare]},
    ) as client:
        yield client
