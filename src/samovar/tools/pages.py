"""Fetches a page of the web: only from hosts that are allowed, also on the way, and no more than is useful.

Above: the servers of a run; `web.py`. Below: the standard library.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from http.client import HTTPException
from typing import IO
from urllib.parse import urlsplit

from samovar.actions.tools import ToolResult, failed, refused

MOST_BYTES = 2_000_000
LIMIT_S = 30.0
"""Without an answer, or between two pieces of it."""
_TEXT = re.compile(r"text/|application/(json|xml|xhtml|javascript|yaml|toml|[\w.-]+\+(json|xml))")


def host_of(url: str) -> str | None:
    """The host of an address that can be fetched, with its port if one is named; None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    if not url.isascii() or any(one.isspace() or ord(one) < 32 for one in url):
        return None
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def is_among(host: str, hosts: Sequence[str]) -> bool:
    """Whether a host is allowed: as it is written, or by `*.example.org`."""
    return any(fnmatchcase(host.lower(), one) for one in hosts)


class _Elsewhere(Exception):
    """It leads to a host that is not allowed."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        host = host_of(newurl)
        if host is None or not is_among(host, self._hosts):
            raise _Elsewhere(newurl[:200])
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def fetch(url: str, hosts: Sequence[str]) -> ToolResult:
    """A page as text, if its host is among these. Blocks."""
    host = host_of(url)
    if host is None:
        return refused("Only http:// and https:// addresses, without a name and a password, are fetched.")
    if not is_among(host, hosts):
        return refused(f"Pages of {host[:100]!r} are not allowed. Do without them.")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(hosts),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "samovar", "Accept": "text/*"})
    try:
        with opener.open(request, timeout=LIMIT_S) as answer:
            kind = answer.headers.get_content_type()
            raw = answer.read(MOST_BYTES + 1)
            charset = answer.headers.get_content_charset() or "utf-8"
    except _Elsewhere as error:
        return refused(f"The page leads to {error}, whose host is not allowed.")
    except urllib.error.HTTPError as error:
        return failed(f"The server answered {error.code} {error.reason}.")
    except (OSError, HTTPException, ValueError) as error:
        return failed(f"The page cannot be fetched: {error}.")
    if not _TEXT.match(kind):
        return failed(f"The page is {kind}, not text.")
    more = f"\n[… the page is longer than {MOST_BYTES:,} bytes; the rest is left out …]"
    try:
        text = raw[:MOST_BYTES].decode(charset, "replace")
    except LookupError:
        text = raw[:MOST_BYTES].decode("utf-8", "replace")
    text = text_of(text) if kind in ("text/html", "application/xhtml+xml") else text
    return ToolResult(text=text + (more if len(raw) > MOST_BYTES else ""))


class _Reader(HTMLParser):
    """Keeps the text of a page. Mutable."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "template", "noscript"):
            self._hidden += 1
        elif tag in ("p", "br", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre"):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template", "noscript"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)


def text_of(html: str) -> str:
    """The text of a page, without its scripts and its tags."""
    reader = _Reader()
    reader.feed(html)
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
