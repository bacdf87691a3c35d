"""The model API in this process, for the body of a test: over a script or a tiny model, behind a real server.

What it left is looked at behind the body: nothing is held, and the books of what is below balance.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn
from starlette.applications import Starlette

from samovar.dialects.asking import Service
from samovar.dialects.base import ApiLimits, ModelApi, ModelEntry
from samovar.dialects.routes import routes
from samovar.engines.base import Engine, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.scripted import ScriptedEngine, echo
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.generation import Message
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

WAIT_S = 60.0
LIMITS = ApiLimits()


@dataclass(kw_only=True)
class Served:
    """What a test may look at."""

    service: Service
    sessions: Sessions
    app: Starlette
    url: str = ""

    @property
    def http(self) -> httpx2.AsyncClient:
        """A client of the application, without a server between."""
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url="http://samovar")

    def post(self, path: str, body: Any, **more: Any) -> Any:
        return self.http.post(path, json=body, **more)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for it, not for ever."""
        with anyio.fail_after(WAIT_S):
            while not holds():  # noqa: ASYNC110 - nobody is told when
                await anyio.sleep(0.002)

    @property
    def leases(self) -> int:
        return self.sessions.pool.statistics().leases

    @property
    def open_sessions(self) -> int:
        statistics = self.sessions.statistics()
        return statistics.opened - statistics.closed


def script_of(answer: str | Callable[[Sequence[Message]], str]) -> Callable[[Sequence[Message]], str]:
    return answer if callable(answer) else lambda messages: answer


@asynccontextmanager
async def served(
    answer: str | Callable[[Sequence[Message]], str] = echo,
    *,
    model: Path | None = None,
    context_tokens: int = 4096,
    limits: ApiLimits = LIMITS,
    pause: Callable[[], object] = lambda: None,
) -> AsyncIterator[Served]:
    """`model`: the file of one for the real engine; without it the script answers."""
    engine: Engine = ScriptedEngine(script_of(answer), pause=pause) if model is None else LlamaEngine()

    async def locate(reference: str, on_progress: OnFetchProgress) -> ModelSpec:
        path = model or Path(reference)
        return ModelSpec(reference=reference, path=path, context_tokens=context_tokens, embedding_tokens=512)

    try:
        async with Pool(engine, budget_bytes=1_000_000_000, keep_alive_s=None) as pool:
            sessions = Sessions(pool)
            executor = LocalExecutor(sessions, locate, default_model="tiny")
            entries = [ModelEntry(id="tiny", created=1_700_000_000, embeds=True)]
            api = ModelApi(
                executor=executor,
                models=lambda: entries,
                default_model="tiny",
                aliases={"gpt-4o-mini": "tiny"},
                limits=limits,
            )
            service = Service(api)
            app = Starlette(routes=list(routes(service)))
            async with service.running():
                yield Served(service=service, sessions=sessions, app=app)
                assert service.statistics().answering == 0
            assert pool.statistics().leases == 0
            sessions.check()
            assert sessions.statistics().opened == sessions.statistics().closed
    finally:
        engine.close()


@asynccontextmanager
async def behind_a_server(*given: Any, **more: Any) -> AsyncIterator[Served]:
    """As `served`, on a port of this machine."""
    async with served(*given, **more) as api:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(api.app, log_level="warning", lifespan="off", timeout_graceful_shutdown=5)
            server = uvicorn.Server(config)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: server.serve(sockets=[listening]))
                try:
                    await api.until(lambda: server.started)
                    yield replace(api, url=url)
                finally:
                    server.should_exit = True
