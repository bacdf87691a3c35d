"""The executors that the contract suite is run over, each as a rig: opened, told what to do, looked at.

To have another one in the suite, add a maker to `MAKERS`. What an executor cannot be told to do, its tests
leave out.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import anyio
import pytest
from anyio.abc import ByteStream, TaskGroup, UNIXSocketStream

from samovar import __version__
from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.executors.base import ExecutorAbilities, PromptRequest
from samovar.executors.dispatch import Dispatcher
from samovar.executors.far import FarExecutor
from samovar.executors.frames import Hello
from samovar.executors.local import LocalExecutor
from samovar.executors.table import Locate, OnFetchProgress, Parts, member
from samovar.executors.wire import Connect
from samovar.generation import Message, Options
from samovar.serve.answering import AnsweredWith, EmbeddingExecutor, answer
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from tests.endpoint import Behaviour, ScriptedServer, served

KEY = "sk-a-key-that-nobody-may-see"
NOTHING = cast(Any, None)


@dataclass(kw_only=True)
class Rig:
    """One executor that a test may ask."""

    name: str
    dispatcher: Dispatcher
    abilities: ExecutorAbilities
    server: ScriptedServer | None = None
    """Whoever is behind it, and does what it is told; None: it answers as it likes."""
    kind: str = ""
    words: Mapping[str, str] | None = None
    """The dialect's own words for why an answer ended."""
    has_limit: bool = True
    """It can be told how many tokens an answer may have."""

    @property
    def scripted(self) -> ScriptedServer:
        assert self.server is not None
        return self.server

    def tell(self, *behaviours: Behaviour) -> None:
        self.scripted.tell(*behaviours)


Maker = Callable[[Path], AbstractAsyncContextManager[Rig]]
"""Makes a rig; the path is that of a tiny model with a chat template."""


async def _locate(model: str, on_progress: OnFetchProgress) -> ModelSpec:
    return ModelSpec(reference=model, path=Path(model), context_tokens=1024)


@asynccontextmanager
async def local(tiny: Path) -> AsyncIterator[Rig]:
    """A tiny model in the real engine."""
    engine = LlamaEngine()
    settings = Settings(model=str(tiny))
    try:
        async with Pool(engine, budget_bytes=1_000_000_000) as pool:
            sessions = Sessions(pool)
            dispatcher = Dispatcher(Parts(settings=settings, sessions=sessions, locate=_locate))
            yield Rig(name="local", dispatcher=dispatcher, abilities=member("local", settings).abilities)
            sessions.check()
    finally:
        engine.close()


@asynccontextmanager
async def far(tiny: Path) -> AsyncIterator[Rig]:
    """A tiny model at the other end of a wire, which another task answers."""
    engine = LlamaEngine()
    settings = Settings(model=str(tiny))
    try:
        async with Pool(engine, budget_bytes=1_000_000_000) as pool, anyio.create_task_group() as tasks:
            sessions = Sessions(pool)
            connect = answered_by(lambda locate: LocalExecutor(sessions, locate, default_model=""), tasks)

            def make(parts: Parts) -> FarExecutor:
                return FarExecutor(connect, parts.locate, default_model=str(tiny))

            parts = Parts(settings=settings, sessions=sessions, locate=_locate, local=make)
            yield Rig(
                name="local", dispatcher=Dispatcher(parts), abilities=member("local", settings).abilities
            )
            sessions.check()
            assert sessions.statistics().opened == sessions.statistics().closed
            tasks.cancel_scope.cancel()
    finally:
        engine.close()


def answered_by(make: Callable[[Locate], EmbeddingExecutor], tasks: TaskGroup) -> Connect:
    """Wires of this process, whose other ends are answered by what `make` gives."""
    hello = Hello(version=__version__, pid=os.getpid())
    answering = AnsweredWith(hello=hello, make=make, tell=_says_nothing)

    async def connect() -> ByteStream:
        here, there = socket.socketpair()
        stream = await UNIXSocketStream.from_socket(there)
        tasks.start_soon(answer, stream, answering)
        return await UNIXSocketStream.from_socket(here)

    return connect


async def _says_nothing(what: str) -> dict[str, object]:
    return {}


def endpoint_rig(
    kind: str,
    url: str | None,
    *,
    server: ScriptedServer | None = None,
    model: str | None = "m",
    **declared: Any,
) -> Rig:
    """An executor of an endpoint."""
    one = DeclaredExecutor(name="there", kind=kind, url=url, model=model, **declared)
    settings = Settings(executor="there", executors=(one,), value_bytes=1_000_000)
    parts = Parts(settings=settings, sessions=NOTHING, locate=NOTHING)
    words = {"openai": {"length": "length"}, "anthropic": {"length": "max_tokens"}}[kind]
    return Rig(
        name="there",
        dispatcher=Dispatcher(parts),
        abilities=member("there", settings).abilities,
        server=server,
        kind=kind,
        words=words,
    )


def url_for(kind: str, url: str) -> str:
    return url + ("/v1" if kind == "openai" else "")


def scripted(kind: str) -> Maker:
    """An endpoint of this process that does what it is told."""

    @asynccontextmanager
    async def make(tiny: Path) -> AsyncIterator[Rig]:
        with served() as server, key_file(tiny) as key:
            yield endpoint_rig(
                kind,
                url_for(kind, server.url),
                server=server,
                key=f"file:{key}",
                silence_s=20.0,
                input_price=1.0,
                output_price=10.0,
            )

    return make


@contextmanager
def key_file(beside: Path) -> Iterator[Path]:
    path = beside.parent / "key.txt"
    path.write_text(f"{KEY}\n", encoding="utf-8")
    yield path


_SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.n_gpu_layers = sys.argv[1], 4096, 2, 0
params.fit_params, params.verbosity, params.ui = False, 0, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
import os
os._exit(0)
"""


@contextmanager
def llama_server(model: Path) -> Iterator[str]:
    """The engine's own server, of llama.cpp, in a process of its own: its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(30)


def real(kind: str) -> Maker:
    """The engine's own server with the tiny model."""

    @asynccontextmanager
    async def make(tiny: Path) -> AsyncIterator[Rig]:
        with llama_server(tiny) as url:
            rig = endpoint_rig(kind, url_for(kind, url), model="tiny")
            # The template of the tiny model knows no tools, so that this dialect can ask for no form either.
            abilities = rig.abilities
            if kind == "anthropic":
                abilities = replace(abilities, choices=False, schema=False)
            yield replace(rig, abilities=replace(abilities, tools=False))

    return make


def program(kind: str, file: str) -> Maker:
    """A program of the tests that speaks as one of this kind does."""

    @asynccontextmanager
    async def make(tiny: Path) -> AsyncIterator[Rig]:
        command = (sys.executable, str(Path(__file__).with_name(file)))
        one = DeclaredExecutor(
            name="there", kind=kind, command=command, environment=("CLAUDE_CONFIG_DIR",), silence_s=60.0
        )
        settings = Settings(executor="there", executors=(one,), value_bytes=1_000_000)
        parts = Parts(settings=settings, sessions=NOTHING, locate=NOTHING)
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLAUDE_CONFIG_DIR", folder)
            yield Rig(
                name="there",
                dispatcher=Dispatcher(parts),
                abilities=member("there", settings).abilities,
                has_limit=kind != "acp",
            )

    return make


MAKERS: Mapping[str, Maker] = {
    "local": local,
    "far": far,
    "openai": scripted("openai"),
    "anthropic": scripted("anthropic"),
    "openai-llama-server": real("openai"),
    "anthropic-llama-server": real("anthropic"),
    "claude-code": program("claude-code", "fake_claude.py"),
    "acp": program("acp", "acp_agent_program.py"),
}


def request(text: str, **given: Any) -> PromptRequest:
    """A prompt with a short answer. Options by name, beside the fields of the request."""
    fields = {"session", "fork", "executor", "model", "history"} & given.keys()
    of_request = {name: given.pop(name) for name in fields}
    options = Options(**{"max_tokens": 8, **given})
    return PromptRequest(messages=(Message(role="user", content=text),), options=options, **of_request)
