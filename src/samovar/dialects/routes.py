"""The model API's routes: which path is which dialect.

Above: `serve/`, which puts them into one application, checks who calls, and runs the service beside it.
Below: the dialects, one or more files each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from samovar.dialects.asking import Service
from samovar.dialects.base import ApiRequest, ModelEntry
from samovar.dialects.chat_reply import ChatWriter
from samovar.dialects.chat_request import ChatRequest
from samovar.dialects.embeddings import EmbeddingsRequest, embed
from samovar.dialects.http import ApiDialect, ApiEndpoint, HttpReply, M, ReplyWriter, Streamed, Whole, read
from samovar.dialects.messages_reply import MessagesWriter
from samovar.dialects.messages_request import ANTHROPIC, CountRequest, MessagesRequest
from samovar.dialects.openai_shape import OPENAI
from samovar.dialects.responses_request import CountedRequest, ResponsesRequest
from samovar.dialects.responses_stream import ResponsesWriter


def routes(service: Service) -> Sequence[Route]:
    """All of them. They answer while `service.running()` does."""
    own = _Routes(service)
    posts = (
        ("/v1/chat/completions", OPENAI, own.chat),
        ("/v1/responses", OPENAI, own.responses),
        ("/v1/responses/input_tokens", OPENAI, own.response_tokens),
        ("/v1/embeddings", OPENAI, own.embeddings),
        ("/v1/messages", ANTHROPIC, own.messages),
        ("/v1/messages/count_tokens", ANTHROPIC, own.message_tokens),
    )
    return [
        *(Route(path, ApiEndpoint(dialect, answer), methods=["POST"]) for path, dialect, answer in posts),
        Route("/v1/models", own.of_models(own.models), methods=["GET"]),
        Route("/v1/models/{name:path}", own.of_models(own.model), methods=["GET"]),
    ]


class _Routes:
    def __init__(self, service: Service) -> None:
        self._service, self._api = service, service.api

    async def chat(self, request: Request) -> HttpReply:
        body = await self._read(request, ChatRequest, OPENAI)
        asked = body.asked(self._api)
        includes_usage = bool(body.stream_options and body.stream_options.include_usage)
        writer = ChatWriter(asked.session, body.model or asked.entry.id, includes_usage=includes_usage)
        return self._reply(request, asked, writer, bool(body.stream))

    async def responses(self, request: Request) -> HttpReply:
        body = await self._read(request, ResponsesRequest, OPENAI)
        asked = body.asked(self._api, partial(self._service.known, request.scope))
        return self._reply(request, asked, ResponsesWriter(body, asked), bool(body.stream))

    async def response_tokens(self, request: Request) -> HttpReply:
        body = await self._read(request, CountedRequest, OPENAI)
        asked = body.asked(self._api, partial(self._service.known, request.scope))
        return self._counted(asked, {"object": "response.input_tokens"})

    async def embeddings(self, request: Request) -> HttpReply:
        body = await self._read(request, EmbeddingsRequest, OPENAI)
        return Whole(make=partial(embed, self._service, body))

    async def messages(self, request: Request) -> HttpReply:
        body = await self._read(request, MessagesRequest, ANTHROPIC)
        asked = body.asked(self._api, is_beta="anthropic-beta" in request.headers)
        return self._reply(request, asked, MessagesWriter(asked.session, body.model), bool(body.stream))

    async def message_tokens(self, request: Request) -> HttpReply:
        body = await self._read(request, CountRequest, ANTHROPIC)
        return self._counted(body.asked(self._api, is_beta="anthropic-beta" in request.headers), {})

    async def models(self, request: Request) -> HttpReply:
        found = self._api.models()
        if _is_anthropic(request):
            data = [_anthropic_model(one) for one in found if one.answers]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
            body = {"data": data, "has_more": False, "first_id": None, "last_id": None, **ends}
        else:
            body = {"object": "list", "data": [_openai_model(one) for one in found]}
        return Whole(make=partial(_made, body))

    async def model(self, request: Request) -> HttpReply:
        name = request.path_params["name"]
        found = next((one for one in self._api.models() if one.id == name), None) or self._api.entry(name)
        model = _anthropic_model(found) if _is_anthropic(request) else _openai_model(found)
        return Whole(make=partial(_made, model))

    def of_models(self, answer: Any) -> Any:
        """Both dialects have these paths; Anthropic's clients say who they are."""

        class Either:
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                dialect = ANTHROPIC if _is_anthropic(Request(scope)) else OPENAI
                await ApiEndpoint(dialect, answer)(scope, receive, send)

        return Either()

    async def _read(self, request: Request, kind: type[M], dialect: ApiDialect) -> M:
        return await read(request, kind, dialect, self._api.limits.body_bytes)

    def _reply(self, request: Request, asked: ApiRequest, writer: ReplyWriter, streams: bool) -> HttpReply:
        ask = partial(self._service.ask, request.scope, asked)
        if streams:
            return Streamed(writer=writer, ask=ask, ping_s=self._api.limits.ping_s)

        async def whole() -> Mapping[str, Any]:
            return writer.whole(await ask(lambda event: None))

        return Whole(make=whole)

    def _counted(self, asked: ApiRequest, around: Mapping[str, Any]) -> HttpReply:
        async def counted() -> Mapping[str, Any]:
            return {**around, "input_tokens": await self._service.count(asked)}

        return Whole(make=counted)


async def _made(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body


def _is_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _openai_model(entry: ModelEntry) -> dict[str, Any]:
    return {"id": entry.id, "object": "model", "created": entry.created, "owned_by": "samovar"}


def _anthropic_model(entry: ModelEntry) -> dict[str, Any]:
    created = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": entry.id, "display_name": entry.id, "created_at": created}
