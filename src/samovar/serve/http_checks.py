"""Who may speak HTTP to the daemon, and how much, before anything of the application sees a request.

Above: `http.py`. Below: ASGI. A request over TCP shows the token; one over the socket need not, since only
its user can open that. `Host` is one that we are called by, so that no name of another's leads a browser
here, and a page of another origin is refused, whatever it shows.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import anyio

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 32_000_000
BODY_S = 60.0
"""A body is whole by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """An ASGI application around another one."""

    application: Application
    token: str
    hosts: tuple[str, ...]
    """What we are called in `Host`, without the port."""
    most_body_bytes: int = MOST_BODY_BYTES
    body_s: float = BODY_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # which is closed then
        headers = _headers(scope)
        if headers is None:
            await _refuse(send, 400, "invalid_request_error", "A header is there twice.")
        elif not scope["state"].get("is_trusted") and (wrong := self._stranger(headers)):
            await _refuse(send, *wrong)
        elif _is_foreign(headers):
            await _refuse(send, 403, "permission_error", "Pages of other origins may not ask.")
        elif int(headers.get("content-length", "0") or 0) > self.most_body_bytes:
            await self._too_large(send)
        else:
            await self._pass_on(scope, receive, send)

    def _stranger(self, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Why a request over TCP is refused: status, kind and message."""
        host = headers.get("host", "").lower()
        if host.rpartition(":")[0] not in self.hosts and host not in self.hosts:
            return 421, "invalid_request_error", "This server is not called that."
        given = headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2]
        if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode()):
            return (
                401,
                "authentication_error",
                "The token is missing or wrong: samovar serve --token shows it.",
            )
        return None

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The body is taken piece by piece: one that is too long or too slow ends the request."""
        taken, is_whole, has_begun = 0, False, False
        end = anyio.current_time() + self.body_s

        async def limited() -> MutableMapping[str, Any]:
            nonlocal taken, is_whole
            if is_whole:
                return await receive()
            with anyio.fail_after(max(0.0, end - anyio.current_time())):
                message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most_body_bytes:
                raise _TooLargeError
            is_whole = not message.get("more_body", False)
            return message

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.application(scope, limited, noted)
        except* (_TooLargeError, TimeoutError):
            if has_begun or is_whole:
                raise
            if taken > self.most_body_bytes:
                await self._too_large(send)
            else:
                await _refuse(send, 408, "invalid_request_error", "The body did not come in time.")

    async def _too_large(self, send: Send) -> None:
        most = f"A request has at most {self.most_body_bytes} bytes."
        await _refuse(send, 413, "request_too_large", most)


class _TooLargeError(Exception):
    """More came than is taken."""


def _headers(scope: Scope) -> dict[str, str] | None:
    """By name; None if one that is looked at here is there twice."""
    found: dict[str, str] = {}
    for raw_name, raw in scope["headers"]:
        name = raw_name.decode("latin-1")
        if name in ("host", "origin", "authorization", "x-api-key", "content-length") and name in found:
            return None
        found[name] = raw.decode("latin-1")
    return found


def _is_foreign(headers: dict[str, str]) -> bool:
    """A browser asks for a page of another origin."""
    origin = headers.get("origin")
    if origin is not None and origin not in (
        f"http://{headers.get('host')}",
        f"https://{headers.get('host')}",
    ):
        return True
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def refusal(kind: str, message: str) -> dict[str, Any]:
    """In a form that clients of either dialect read."""
    return {"type": "error", "error": {"type": kind, "code": kind, "message": message, "param": None}}


async def _refuse(send: Send, status: int, kind: str, message: str) -> None:
    body = json.dumps(refusal(kind, message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
    headers += [(b"connection", b"close")] if status in (408, 413) else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
