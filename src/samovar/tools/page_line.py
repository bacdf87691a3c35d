"""The connections by which one page is fetched: all of it ends in time, and none leads to this machine.

Above: `pages.py`. Below: the standard library. A name can be made to mean any address by whoever owns it, so
what counts is where a connection has come to. Mutable: the sockets that are open.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Self

Connect = Callable[..., socket.socket]
"""As `socket.create_connection`."""


class InsideError(OSError):
    """A name leads to this machine, or to one that only this one reaches; the text is a sentence."""


class PageLine:
    """Used with `with`, around all of the fetching. `whole_s`: after that every connection is cut."""

    def __init__(self, connect: Connect, whole_s: float) -> None:
        self._connect = connect
        self._timer = threading.Timer(whole_s, self._cut)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []
        """Second ones of all connections: TLS takes the first ones over, and has them alone."""
        self.is_cut = False
        """It took too long."""

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for one in self._sockets:
            one.close()

    def _cut(self) -> None:
        self.is_cut = True
        for one in self._sockets:
            with suppress(OSError):  # it has ended
                one.shutdown(socket.SHUT_RDWR)

    def handlers(self) -> tuple[urllib.request.BaseHandler, ...]:
        """Those that open pages."""
        return (_Http(self), _Https(self))

    def connected(self, host: str, *arguments: Any, is_proxy: bool, **more: Any) -> socket.socket:
        """A connection. Raises `OSError`, and `InsideError` for a name that leads where none should."""
        found = self._connect((host, *arguments[0]), *arguments[1:], **more)
        self._sockets.append(found.dup())
        if self.is_cut:  # maybe before it was among those that are cut
            found.close()
            raise TimeoutError
        address = str(found.getpeername()[0])
        if not is_proxy and not is_address(host) and is_inside(address):
            found.close()
            raise InsideError(
                f"{host!r} leads to {address}, which is an address of this machine or of its link."
            )
        return found


def is_address(host: str) -> bool:
    """Whether it names an address itself, or this machine: whoever wrote the rule has meant that."""
    if host.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_inside(address: str) -> bool:
    """Whether it is an address of this machine, or one that is only known on its own link, as of metadata."""
    try:
        found: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    found = getattr(found, "ipv4_mapped", None) or found
    return bool(found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, line: PageLine) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_made, http.client.HTTPConnection, self._line, req), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, line: PageLine) -> None:
        super().__init__()
        self._line = line

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_made, http.client.HTTPSConnection, self._line, req), req)


def _made(kind: Any, line: PageLine, request: urllib.request.Request, host: str, **more: Any) -> Any:
    connection = kind(host, **more)
    is_proxy = request.has_proxy() or getattr(request, "_tunnel_host", None) is not None

    def connect(address: tuple[str, int], *arguments: Any, **others: Any) -> socket.socket:
        return line.connected(address[0], address[1:], *arguments, is_proxy=is_proxy, **others)

    connection._create_connection = connect  # what the library has for it
    return connection
