"""Where HTTP is served, and what it is called there.

Above: `daemon.py`, and `samovar serve`. Below: the system.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samovar.errors import UsageError

if TYPE_CHECKING:
    import ssl

PORT = 8377
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Where and how HTTP is served."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any that is free."""
    names: tuple[str, ...] = ()
    """What clients call this machine, besides `host` and its names for itself."""
    certificate: Path | None = None
    """For TLS, with `key`."""
    key: Path | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """What `Host` may be, without the port."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return (*LOOPBACK, own.lower(), socket.gethostname().lower(), *map(str.lower, self.names))

    @property
    def is_loopback(self) -> bool:
        """Only processes of this machine reach it."""
        return self.host in ("localhost", "127.0.0.1", "::1")


def secure(options: HttpOptions) -> ssl.SSLContext | None:
    """For TLS; None: HTTP is plain. Raises `UsageError`."""
    if options.certificate is None:
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"The files for TLS cannot be used: {error}.") from None
    return context


def url_of(options: HttpOptions, listener: socket.socket) -> str:
    """Where clients reach it."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "http" if options.certificate is None else "https"
    return f"{scheme}://{host}:{listener.getsockname()[1]}"
