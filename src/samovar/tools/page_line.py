"""The connections by which one page is fetched: all of it ends in time, and none leads to this machine.

Above: `pages.py`. Below: the standard library. A name can be made to mean any address by whoever owns it, so
what counts is each address that it has, before anything is sent there. Mutable: the sockets that are open.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

FoundAddress = tuple[socket.AddressFamily, tuple[Any, ...]]
"""Of a machine, as `socket.getaddrinfo` gives it: the family, and what `socket.connect` takes."""


def found_addresses(host: str, port: int) -> list[FoundAddress]:
    """All that a name has, in the order in which they should be tried. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, at) for family, _, _, _, at in found))


def dial(found: FoundAddress, timeout_s: float) -> socket.socket:
    """A connection to an address. Raises `OSError`."""
    family, at = found
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout_s)
        made.connect(at)
    except BaseException:
        made.close()
        raise
    return made


Find = Callable[[str, int], Sequence[FoundAddress]]
Dial = Callable[[FoundAddress, float], socket.socket]


class InsideError(OSError):
    """A name leads to this machine, or to one that only this one reaches; the text is a sentence."""


class PageLine:
    """Used with `with`, around all of the fetching. `whole_s`: after that every connection is cut.

    `find` and `dial` are how addresses are found and connected to.
    """

    def __init__(self, whole_s: float, *, find: Find = found_addresses, dial: Dial = dial) -> None:
        self._find, self._dial = find, dial
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

    def connected(self, host: str, port: int, timeout_s: float, *, is_proxy: bool) -> socket.socket:
        """A connection, made within this time, whatever addresses the host has.

        Each of them may take its part of the time that is left. Raises `OSError`, and `InsideError` for a
        name that leads where none should.
        """
        end = time.monotonic() + timeout_s
        addresses = self._find(host, port)
        for _, at in addresses:
            if not is_proxy and not is_address(host) and is_inside(str(at[0])):
                raise InsideError(f"{host!r} leads to {at[0]}, an address of this machine or of its link.")
        failed: OSError = OSError(f"{host!r} has no address")
        for number, one in enumerate(addresses):
            left_s = max(0.001, end - time.monotonic()) / (len(addresses) - number)
            try:
                made = self._dial(one, left_s)
            except OSError as error:
                failed = error
                continue
            made.settimeout(timeout_s)
            self._sockets.append(made.dup())
            if self.is_cut:  # maybe before it was among those that are cut
                made.close()
                raise TimeoutError
            return made
        raise failed


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

    def connect(address: tuple[str, int], timeout_s: float, source: None = None) -> socket.socket:
        return line.connected(*address, timeout_s, is_proxy=is_proxy)

    connection._create_connection = connect  # what the library has for it
    return connection
