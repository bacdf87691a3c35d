"""Fetches a page of the web: only from hosts that are allowed, also on the way, and no more than is useful.

Above: the servers of a run; `web.py`. Below: `page_line.py`, which connects; the standard library.
"""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from samovar.actions.tools import ToolResult, failed, refused
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.tools.page_line import Dial, Find, InsideError, PageLine, dial, found_addresses

MOST_BYTES = 2_000_000
LIMIT_S = 30.0
"""For a connection, to whichever address; without an answer; or between two pieces of it."""
WHOLE_S = 120.0
"""For all of it: the way there, and every piece."""
PIECE_BYTES = 65_536
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
    """It leads to where nobody may be led; the text is a sentence."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        fp.close()  # the library would read all of what comes with it, however much that is
        host = host_of(newurl)
        if host is None or not is_among(host, self._hosts):
            raise _Elsewhere(f"The page leads to {newurl[:200]}, whose host is not allowed.")
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise _Elsewhere(f"The page leads to {newurl[:200]}, which is not encrypted.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def fetch(url: str, hosts: Sequence[str], *, find: Find = found_addresses, dial: Dial = dial) -> ToolResult:
    """A page as text, if its host is among these. Blocks. `find`, `dial`: see `PageLine`."""
    host = host_of(url)
    if host is None:
        return refused("Only http:// and https:// addresses, without a name and a password, are fetched.")
    if not is_among(host, hosts):
        return refused(f"Pages of {host[:100]!r} are not allowed. Do without them.")
    try:
        with (
            PageLine(WHOLE_S, find=find, dial=dial) as line,
            _opened(url, hosts, line) as answer,
        ):
            kind = answer.headers.get_content_type()
            coding = answer.headers.get("Content-Encoding", "identity")
            raw = _read(answer, line)
            lacks_bytes = 0 if len(raw) > MOST_BYTES else answer.length or 0
            charset = answer.headers.get_content_charset() or "utf-8"
    except _Elsewhere as error:
        return refused(str(error))
    except urllib.error.HTTPError as error:
        error.close()
        return failed(f"The server answered {error.code} {error.reason[:100]}.")
    except (OSError, HTTPException, ValueError) as error:
        inside = getattr(error, "reason", None)
        if isinstance(inside, InsideError):
            return refused(f"{inside} Do without it.")
        if isinstance(inside, ssl.SSLCertVerificationError):
            return failed(f"The certificate of the page is not to be trusted: {inside.verify_message[:300]}.")
        why = f"it took longer than {lasting(WHOLE_S)}" if line.is_cut else str(inside or error)[:300]
        return failed(f"The page cannot be fetched: {why.rstrip('.')}.")
    if coding.strip().lower() not in ("", "identity"):  # which nobody asked for, and which may be a bomb
        return failed(f"The page is packed ({coding[:50]}), which is not read.")
    if not _TEXT.match(kind):
        return failed(f"The page is {kind[:100]}, not text.")
    more = f"\n[… the page is longer than {MOST_BYTES:,} bytes; the rest is left out …]"
    try:
        text = raw[:MOST_BYTES].decode(charset, "replace")
    except LookupError:
        text = raw[:MOST_BYTES].decode("utf-8", "replace")
    text = text_of(text) if kind in ("text/html", "application/xhtml+xml") else text
    if lacks_bytes:
        more = f"\n[… the connection ended {counted(lacks_bytes, 'byte')} before the end of the page …]"
    return ToolResult(text=text + (more if lacks_bytes or len(raw) > MOST_BYTES else ""))


def _opened(url: str, hosts: Sequence[str], line: PageLine) -> Any:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        *line.handlers(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(hosts),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "samovar", "Accept": "text/*"})
    return opener.open(request, timeout=LIMIT_S)


def _read(answer: Any, line: PageLine) -> bytes:
    """No more than is useful. Raises `OSError` if it takes too long."""
    raw = bytearray()
    while len(raw) <= MOST_BYTES:
        piece = answer.read1(PIECE_BYTES)
        if line.is_cut:
            raise TimeoutError
        if not piece:
            break
        raw += piece
    return bytes(raw[: MOST_BYTES + 1])


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
