"""A hub of models on this machine, and the host that its large files are on: for tests of fetches."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {"GatedRepo": 403, "RepoNotFound": 401, "RevisionNotFound": 404, "EntryNotFound": 404}


@dataclass
class FakeHub:
    """What it holds, how it misbehaves, and what it was asked. Mutable: a test changes it as it goes on."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Of the one repository `own/repo`, by name."""
    told: dict[str, str] = field(default_factory=dict)
    """Hashes that it says instead of the right ones, by the file's name."""
    cuts: list[int] = field(default_factory=list)
    """Each of the next transfers of a file ends after so many bytes."""
    stalls_after: int | None = None
    """Each transfer of a file stops there until `goes_on` is set."""
    goes_on: threading.Event = field(default_factory=threading.Event)
    refused_elsewhere: int = 0
    """So many of the next requests for large files are answered with 403."""
    busy: int = 0
    """So many of the next requests are answered with 503."""
    refusal: str | None = None
    """What it says in `X-Error-Code` to everybody."""
    token: str | None = None
    """Without it nobody gets anything."""
    location: str | None = None
    """Where the first request is sent to."""
    listed: str | None = None
    """What it answers instead of a list of its files."""
    takes_ranges: bool = True
    commit: str = COMMIT
    sent_bytes: int = 0
    """Of files, on all connections."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Each request: `hub` or `files`, the path, the token."""
    starts: list[int] = field(default_factory=list)
    """Where each transfer of a file began."""
    endpoint: str = ""
    elsewhere: str = ""
    """Where the large files are."""

    def listing(self) -> bytes:
        if self.listed is not None:
            return self.listed.encode()
        siblings = [
            {
                "rfilename": name,
                "size": len(raw),
                "lfs": {"size": len(raw), "sha256": self.told.get(name) or hashlib.sha256(raw).hexdigest()},
            }
            if len(raw) > 100
            else {
                "rfilename": name,
                "size": len(raw),
                "blobId": hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest(),
            }
            for name, raw in self.files.items()
        ]
        return json.dumps({"sha": self.commit, "siblings": siblings}).encode()


@contextmanager
def open_hub(hub: FakeHub) -> Iterator[FakeHub]:
    """Serves it on two ports until the end."""

    class Handler(BaseHTTPRequestHandler):
        where = "hub"
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            authorization = self.headers.get("Authorization")
            hub.asked.append((self.where, path, authorization))
            if hub.busy:
                hub.busy -= 1
                self.answer(503)
            elif self.where == "files" and hub.refused_elsewhere:
                hub.refused_elsewhere -= 1
                self.answer(403)
            elif self.where == "files":
                self.send_file(path.rpartition("/files/")[2])
            elif hub.refusal is not None:
                self.answer(REFUSALS[hub.refusal], {"X-Error-Code": hub.refusal})
            elif hub.token is not None and authorization != f"Bearer {hub.token}":
                self.answer(401, {"X-Error-Code": "RepoNotFound"})
            elif hub.location is not None:
                location, hub.location = hub.location, None
                self.answer(307, {"Location": location})
            elif path.startswith("/api/models/own/repo/revision/"):
                self.answer(200, {}, hub.listing())
            elif path.startswith("/api/models/old/name/"):
                self.answer(307, {"Location": path.replace("old/name", "own/repo")})
            elif "/resolve/" in path and (name := path.partition(hub.commit + "/")[2]) in hub.files:
                self.answer(302, {"Location": f"{hub.elsewhere}/files/{name}", "X-Repo-Commit": hub.commit})
            else:
                self.answer(404, {"X-Error-Code": "RepoNotFound"})

        def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def send_file(self, name: str) -> None:
            raw, start = hub.files[name], 0
            wanted = self.headers.get("Range")
            if wanted and hub.takes_ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(raw) - 1}/{len(raw)}")
            else:
                self.send_response(200)
            hub.starts.append(start)
            self.send_header("Content-Length", str(len(raw) - start))
            self.end_headers()
            body = raw[start : start + hub.cuts.pop(0)] if hub.cuts else raw[start:]
            with suppress(ConnectionError):  # who asked has gone
                if hub.stalls_after is not None:
                    self.wfile.write(body[: hub.stalls_after])
                    assert hub.goes_on.wait(60)
                    body = body[hub.stalls_after :]
                self.wfile.write(body)
            self.close_connection = True
            hub.sent_bytes += len(body)

    class Elsewhere(Handler):
        where = "files"

    with serving(Handler) as hub.endpoint, serving(Elsewhere) as hub.elsewhere:
        yield hub


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that lives until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
