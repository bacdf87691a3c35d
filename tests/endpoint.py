"""An endpoint in this process that speaks both dialects, says what a test tells it, and fails as it is told.

Requests are kept as they came. Each behaviour is used once; then the server answers with how many messages it
was sent, or with what fits the form that it was asked for.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["cut", "garbage", "html", "silence", "huge", "steady", "before", "in_stream"]
WAIT_S = 30
"""The longest that the server waits for anything."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What one request is answered with."""

    pieces: Sequence[str] | None = None
    """Of the text; None: how many messages there were, or what fits the form."""
    thoughts: Sequence[str] = ()
    calls: Sequence[tuple[str, str]] = ()
    """Names and arguments; the names as the endpoint has them."""
    finish: str | None = None
    """The reason, in the dialect's own word; None: what suits the rest."""
    usage: bool = True
    cached: int | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    """Of an error."""
    echoes: bool = False
    """The text is the key that it was sent, in pieces."""
    fault: Fault | None = None
    """`silence`: after the first piece; `before`: nothing at all; `steady`: pieces without an end."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    raw: bytes

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body["messages"]
        return found


class ScriptedServer:
    """The server. Mutable: what it is told, what it was asked."""

    def __init__(self) -> None:
        self.behaviours: deque[Behaviour] = deque()
        self.received: list[Received] = []
        self.models = ["only"]
        self.left = threading.Semaphore(0)
        """Released when a client has gone while it was being answered."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tell(self, *behaviours: Behaviour) -> None:
        self.behaviours.extend(behaviours)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(WAIT_S)
        self._server.server_close()


@contextmanager
def served() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def fitting(schema: Any) -> object:
    """The simplest value of a schema."""
    if "enum" in schema:
        return schema["enum"][-1]
    match schema.get("type"):
        case "object":
            return {key: fitting(one) for key, one in schema.get("properties", {}).items()}
        case "array":
            return [fitting(schema["items"])]
        case "integer":
            return 7
        case "boolean":
            return True
        case _:
            return "ä\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is nothing to speak of."""


class _Handler(BaseHTTPRequestHandler):
    owner: ScriptedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [{"id": one} for one in self.owner.models]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(path=self.path, headers=headers, body=json.loads(raw), raw=raw)
        self.owner.received.append(received)
        told = self.owner.behaviours
        behaviour = told.popleft() if told else Behaviour()
        if behaviour.fault == "before":
            self._wait_for_the_client()
        elif behaviour.status != 200:
            self._json(behaviour.status, behaviour.body, behaviour.headers)
        elif behaviour.fault == "html":
            self._text("<html><body>It works!</body></html>")
        else:
            self._stream(behaviour, received)

    def _json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _text(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, behaviour: Behaviour, received: Received) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        is_messages = self.path.partition("?")[0].endswith("/messages")
        events = (_messages if is_messages else _chat)(behaviour, received)
        try:
            for event in events:
                if event == "wait":
                    self._wait_for_the_client()
                    return
                if event == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self._chunk(event)
            self._chunk("")
        except OSError:
            self.owner.left.release()
            self.close_connection = True

    def _chunk(self, text: str) -> None:
        raw = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))

    def _wait_for_the_client(self) -> None:
        ready, _, _ = select.select([self.connection], [], [], WAIT_S)
        if ready and not self.connection.recv(1):
            self.owner.left.release()
        self.close_connection = True


def _pieces(behaviour: Behaviour, received: Received, schema: Any) -> list[str]:
    if behaviour.echoes:
        sent = "it was " + received.headers.get("authorization", received.headers.get("x-api-key", "nothing"))
        return [sent[start : start + 7] for start in range(0, len(sent), 7)]
    if behaviour.pieces is not None:
        return list(behaviour.pieces)
    if schema is not None:
        text = json.dumps(fitting(schema), indent=1)
        return [text[:3], text[3:]]
    if behaviour.calls:
        return []
    return [str(len(received.messages)), " messages"]


def _endless(behaviour: Behaviour) -> Iterator[str]:
    while behaviour.fault == "huge":
        yield "x" * 100_000
    while behaviour.fault == "steady":
        threading.Event().wait(0.002)  # so that it takes its time
        yield "x "


def _chat(behaviour: Behaviour, received: Received) -> Iterator[str]:
    def data(delta: dict[str, Any], finish: str | None = None, **more: object) -> str:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        return f"data: {json.dumps(chunk | more)}\n\n"

    form = (received.body.get("response_format") or {}).get("json_schema") or {}
    yield data({"role": "assistant", "content": None})
    for thought in behaviour.thoughts:
        yield data({"reasoning_content": thought})
    pieces = _pieces(behaviour, received, form.get("schema"))
    for piece in pieces:
        yield data({"content": piece})
        if behaviour.fault == "silence":
            yield "wait"
        if behaviour.fault == "cut":
            yield "cut"
    if behaviour.fault == "garbage":
        yield "data: {not json\n\n"
    if behaviour.fault == "in_stream":
        yield 'data: {"error": {"message": "busy", "type": "server_error", "code": 503}}\n\n'
        return
    for piece in _endless(behaviour):
        yield data({"content": piece})
    for number, (name, arguments) in enumerate(behaviour.calls):
        function = {"name": name, "arguments": arguments[:2]}
        yield data({"tool_calls": [{"index": number, "id": f"id{number}", "function": function}]})
        yield data({"tool_calls": [{"index": number, "function": {"arguments": arguments[2:]}}]})
    yield data({}, behaviour.finish or ("tool_calls" if behaviour.calls else "stop"))
    if behaviour.usage:
        usage: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
        if behaviour.cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": behaviour.cached}
        yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def _messages(behaviour: Behaviour, received: Received) -> Iterator[str]:
    def data(kind: str, **fields: object) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    def block(index: int, begin: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> Iterator[str]:
        yield data("content_block_start", index=index, content_block=begin)
        for delta in deltas:
            yield data("content_block_delta", index=index, delta=delta)
        yield data("content_block_stop", index=index)

    usage: dict[str, Any] = {"input_tokens": 10 - (behaviour.cached or 0), "output_tokens": 1}
    if behaviour.cached is not None:
        usage |= {"cache_read_input_tokens": behaviour.cached, "cache_creation_input_tokens": 0}
    message: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m"}
    message |= {"stop_reason": None, "stop_sequence": None}
    yield data("message_start", message=message | {"usage": usage if behaviour.usage else None})
    index = 0
    if behaviour.thoughts:
        deltas = [{"type": "thinking_delta", "thinking": one} for one in behaviour.thoughts]
        deltas.append({"type": "signature_delta", "signature": "signed"})
        yield from block(0, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
        index = 1
    forced = (received.body.get("tool_choice") or {}).get("name")
    forms = [one for one in received.body.get("tools", ()) if one["name"] == "give_the_answer"]
    is_form = bool(forms) and behaviour.fault is None and not behaviour.calls
    pieces = _pieces(behaviour, received, forms[0]["input_schema"] if is_form else None)
    if is_form:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield from block(
            index, {"type": "tool_use", "id": "f", "name": "give_the_answer", "input": {}}, deltas
        )
    elif pieces or behaviour.fault:
        yield data("content_block_start", index=index, content_block={"type": "text", "text": ""})
        yield data("ping")
        for piece in pieces:
            yield data("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
            if behaviour.fault == "silence":
                yield "wait"
            if behaviour.fault == "cut":
                yield "cut"
        if behaviour.fault == "garbage":
            yield "event: content_block_delta\ndata: {not json\n\n"
        if behaviour.fault == "in_stream":
            yield data("error", error={"type": "overloaded_error", "message": "busy"})
            return
        for piece in _endless(behaviour):
            yield data("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
        yield data("content_block_stop", index=index)
    for number, (name, arguments) in enumerate(behaviour.calls, index + 1):
        begin = {"type": "tool_use", "id": f"id{number - index - 1}", "name": name, "input": {}}
        deltas = [
            {"type": "input_json_delta", "partial_json": part} for part in (arguments[:2], arguments[2:])
        ]
        yield from block(number, begin, deltas)
    finish = behaviour.finish or ("tool_use" if behaviour.calls or forced else "end_turn")
    ended = {"stop_reason": finish, "stop_sequence": None}
    yield data("message_delta", delta=ended, usage={"output_tokens": 4} if behaviour.usage else None)
    yield data("message_stop")
