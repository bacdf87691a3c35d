"""Requests read, replies sent, streams of events: the HTTP that all dialects share, on starlette.

Above: the dialects. Below: `failures.py`, starlette. A client that goes away ends what is done for it, at any
time. What a model said is JSON in ASCII wherever it goes, so it can end no line and begin no event.
"""

from __future__ import annotations

import json
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from samovar.background import alone
from samovar.dialects.failures import UNKNOWN, ApiFailure, ApiRefusedError, failure_of
from samovar.errors import SamovarError
from samovar.executors.base import OnPromptEvent, PromptReply
from samovar.generation import PromptEvaluating, PromptEvent, TextGenerated

M = TypeVar("M", bound=BaseModel)
_log = logging.getLogger("samovar.dialects")
Ask = Callable[[OnPromptEvent], Awaitable[PromptReply]]


class RequestBody(BaseModel):
    """A request's body. Fields that it does not have are kept as extra ones, and refused or not."""

    model_config = ConfigDict(strict=True, extra="allow")


class BodyPart(BaseModel):
    """Something within a body. Fields that it does not have are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a stream."""

    data: Mapping[str, Any] | str
    """An object, or a word of the dialect's own."""
    name: str | None = None

    def encoded(self) -> bytes:
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, separators=(",", ":"))
        name = f"event: {self.name}\n" if self.name else ""
        return f"{name}data: {data}\n\n".encode()


class ReplyWriter(ABC):
    """One answer in the words of a dialect. Mutable: how far a stream has come."""

    ping: ClassVar[bytes] = b": still here\n\n"
    """What a stream says that has nothing to say."""

    @abstractmethod
    def whole(self, reply: PromptReply) -> dict[str, Any]:
        """The body of an answer that is sent at once."""

    @abstractmethod
    def begin(self, evaluating: PromptEvaluating | None) -> Iterable[Event]:
        """The first events of a stream."""

    @abstractmethod
    def piece(self, piece: TextGenerated) -> Iterable[Event]:
        """The events of a piece of text, or of reasoning, which is not empty."""

    @abstractmethod
    def end(self, reply: PromptReply) -> Iterable[Event]:
        """The last ones."""

    @abstractmethod
    def failed(self, failure: ApiFailure) -> Iterable[Event]:
        """The last ones of a stream that has begun, and cannot go on."""


class ApiDialect(ABC):
    """How one dialect says what went wrong."""

    @abstractmethod
    def error(self, failure: ApiFailure) -> tuple[int, dict[str, Any]]:
        """The status and the body."""

    @abstractmethod
    def place(self, location: tuple[str | int, ...]) -> str:
        """A place in a body, as the dialect writes it."""


def told(error: Exception) -> ApiFailure:
    """What a client is told of whatever was raised."""
    error = alone(error)
    if isinstance(error, ApiRefusedError):
        return error.failure
    if isinstance(error, SamovarError):
        return failure_of(error)
    _log.error("A request failed", exc_info=error)
    return UNKNOWN


async def read(request: Request, kind: type[M], dialect: ApiDialect, most_bytes: int) -> M:
    """The body. Raises `ApiRefusedError` if it is too large, or is not what the dialect says."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most_bytes:
            message = f"The request is larger than {most_bytes:,} bytes."
            raise ApiRefusedError(ApiFailure(status=413, message=message, kind="too_large"))
    try:
        return kind.model_validate_json(bytes(raw))
    except ValidationError as error:
        raise ApiRefusedError(_wrong(error, dialect)) from None
    except (ValueError, RecursionError):  # half of a surrogate pair, say
        raise ApiRefusedError(ApiFailure(message="The body of the request cannot be read as JSON.")) from None


def _wrong(error: ValidationError, dialect: ApiDialect) -> ApiFailure:
    first = error.errors(include_url=False, include_input=False)[0]
    location, message = first["loc"], str(first["msg"])[:500]
    if first["type"] == "json_invalid":
        return ApiFailure(message=f"We could not parse the JSON body of your request. {message}.")
    place = dialect.place(location)
    if first["type"] == "missing":
        said = f"Missing required parameter: '{place}'."
        return ApiFailure(message=said, param=place, code="missing_parameter")
    if not place:
        return ApiFailure(message=f"The body of the request is wrong: {message}.")
    return ApiFailure(message=f"Invalid value for '{place}': {message}.", param=place)


def schema_text(value: Any, param: str) -> str:
    """A JSON Schema as the waist has it. Raises `ApiRefusedError` for what is not JSON."""
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise ApiRefusedError(
            ApiFailure(message=f"'{param}' cannot be written as JSON.", param=param)
        ) from None


class ApiEndpoint:
    """One route: reads a request, answers it, and says what went wrong. An ASGI application."""

    def __init__(self, dialect: ApiDialect, answer: Callable[[Request], Awaitable[HttpReply]]) -> None:
        """`answer`: raises before anything is sent, or gives what sends itself."""
        self._dialect, self._answer = dialect, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        async with anyio.create_task_group() as tasks:
            try:
                reply = await self._answer(Request(scope, receive))
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                await reply.send(scope, receive, sent)
            except ClientDisconnect:
                pass  # nobody is there to be told
            except Exception as error:
                if not started:
                    failure = told(error)
                    status, body = self._dialect.error(failure)
                    await JSONResponse(body, status, failure.headers)(scope, receive, send)
                elif not isinstance(alone(error), OSError):  # which says that the client has gone
                    # It ends as it is: a client sees that it is not whole.
                    _log.error("An answer failed while it was sent", exc_info=alone(error))
            tasks.cancel_scope.cancel()


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """A client that has gone needs no answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class HttpReply(ABC):
    """What is sent. Raises, if nothing is sent yet; else says itself what went wrong."""

    @abstractmethod
    async def send(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole(HttpReply):
    """A body that is sent at once, when it is there."""

    make: Callable[[], Awaitable[Mapping[str, Any]]]

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _ascii(await self.make())(scope, receive, send)


def _ascii(body: Mapping[str, Any]) -> Response:
    """JSON without half of a surrogate pair, which no encoding has."""
    return Response(json.dumps(body, separators=(",", ":")), media_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed(HttpReply):
    """An answer as it comes.

    It begins when the prompt is being evaluated, so that a prompt which cannot be answered has a status of
    its own; or when that takes long, so that the client knows that somebody is there.
    """

    writer: ReplyWriter
    ask: Ask
    ping_s: float

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        into, events = anyio.create_memory_object_stream[PromptEvent | PromptReply | Exception](math.inf)
        has_begun = False

        async def put(some: Iterable[Event]) -> None:
            raw = b"".join(event.encoded() for event in some)
            if raw:
                await send({"type": "http.response.body", "body": raw, "more_body": True})

        async def begin(evaluating: PromptEvaluating | None) -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                await put(self.writer.begin(evaluating))

        async def asked() -> None:
            try:
                into.send_nowait(await self.ask(into.send_nowait))
            except Exception as error:  # handed on: it is raised or told below
                into.send_nowait(error)

        async with into, events, anyio.create_task_group() as tasks:
            tasks.start_soon(asked)
            while True:
                item: PromptEvent | PromptReply | Exception | None = None
                with anyio.move_on_after(self.ping_s):
                    item = await events.receive()
                match item:
                    case None:
                        await begin(None)
                        await send(
                            {"type": "http.response.body", "body": self.writer.ping, "more_body": True}
                        )
                    case PromptEvaluating():
                        await begin(item)
                    case TextGenerated():
                        await begin(None)
                        if item.piece and item.kind != "call":  # calls are sent whole, at the end
                            await put(self.writer.piece(item))
                    case PromptReply():
                        await begin(None)
                        await put(self.writer.end(item))
                        break
                    case Exception():
                        if not has_begun:
                            raise item
                        await put(self.writer.failed(told(item)))
                        break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
