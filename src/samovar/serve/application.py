"""The application that HTTP clients of the daemon speak to: its routes, and what is open while it lives.

Above: `daemon.py`, which makes it with the first connection that wants it. Below: `http_checks.py`, which is
around it, and whoever has routes. Each of those is a `HttpPart`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from samovar.config import Settings
from samovar.dialects.asking import Service
from samovar.dialects.base import ModelApi, ModelEntry
from samovar.dialects.routes import routes
from samovar.executors.base import Executor
from samovar.serve.http_checks import Application, Checks, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPart:
    """Routes, and what has to be open for them."""

    routes: Sequence[BaseRoute]
    running: Callable[[], AbstractAsyncContextManager[Any]] = field(default=nullcontext)


def status_part(figures: Callable[[], Awaitable[dict[str, Any]]]) -> HttpPart:
    """How the daemon is, as `samovar serve --status --json` has it."""

    async def status(request: Request) -> JSONResponse:
        return JSONResponse(await figures())

    return HttpPart(routes=(Route("/status", status, methods=["GET"]),))


def api_part(
    executor: Executor, settings: Settings, others: Callable[[], Sequence[ModelEntry]] = tuple
) -> HttpPart:
    """The model API: the default model, the user's own names for models, and `others`."""
    names = dict.fromkeys((settings.model, *(name for name, _ in settings.aliases)))
    entries = [ModelEntry(id=name, embeds=True) for name in names]
    api = ModelApi(executor=executor, models=lambda: [*entries, *others()], default_model=settings.model)
    service = Service(api)
    return HttpPart(routes=routes(service), running=service.running)


def application(parts: Sequence[HttpPart], *, token: str, hosts: tuple[str, ...]) -> Application:
    """All parts, behind the checks."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in parts:
                await stack.enter_async_context(part.running())
            yield

    app = Starlette(
        routes=[route for part in parts for route in part.routes],
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_route},
    )
    return Checks(application=app, token=token, hosts=hosts)


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    """A path that there is not, or that is not asked so."""
    assert isinstance(error, HTTPException)
    message = f"There is no {request.method} {request.url.path[:200]} here."
    return JSONResponse(refusal("not_found_error", message), error.status_code, error.headers)
