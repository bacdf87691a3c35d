"""Answers prompts with a local model: plain values of the waist in, sessions on the pool out.

Above: `app.py` makes it; runs reach it through `base.py`. Below: `session.py`, `turn.py`, `pool.py`. It knows
no workflow. A run's named conversations, and its interest in the models it used, end with its connection.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import ClassVar

import anyio

from samovar.config.declared import DeclaredExecutor
from samovar.engines.base import GenerationEvent, ModelSpec
from samovar.errors import NotFoundError, SamovarError
from samovar.executors.base import (
    EmbedRequest,
    Executor,
    ExecutorAbilities,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
)
from samovar.executors.table import HERE, Locate, Parts
from samovar.generation import Embeddings, ModelFetching, ModelLoading, PromptEvent, Sampling
from samovar.serving.conversation import say
from samovar.serving.embedding import embed
from samovar.serving.session import LocalSession, Sessions
from samovar.serving.turn import Turn


class LocalExecutor:
    """See `executors.base.Executor`."""

    needs_local_model: ClassVar[bool] = True
    takes: ClassVar[frozenset[str]] = frozenset(("model",))
    abilities: ClassVar[ExecutorAbilities] = ExecutorAbilities(
        choices=True,
        schema=True,
        regex=True,
        grammar=True,
        tools=True,
        sessions=True,
        fork=True,
        embeddings=True,
        deterministic=True,
        confidence=True,
        sampling=frozenset(one.name for one in fields(Sampling)),
        stop=True,
        think=True,
        template=True,
        budget=True,
        evaluated=True,
        usage=True,
        resumes=True,
    )

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        """See `table.Member`."""
        return False

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        """See `table.Member`."""
        return HERE

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """See `table.Member`. Models are looked at in a way of their own, before a run too."""
        return None

    @classmethod
    def make(cls, parts: Parts) -> Executor:
        """See `table.Member`."""
        if parts.local is not None:
            return parts.local(parts)
        model = parts.declared.model or parts.settings.model
        return cls(parts.sessions, parts.locate, default_model=model, name=parts.declared.name)

    def __init__(
        self, sessions: Sessions, locate: Locate, *, default_model: str, name: str = "local"
    ) -> None:
        """`default_model`: the reference that answers requests which name none."""
        self.name = name
        self._sessions, self._locate, self._default_model = sessions, locate, default_model

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `base.Embedder`."""
        model = request.model or self._default_model
        spec = await self._locate(model, lambda done_bytes, total_bytes: None)
        return await embed(self._sessions.pool, spec, request.texts, prefix=request.prefix)

    async def count(self, request: PromptRequest) -> int:
        """See `base.Counter`."""
        spec = await self._locate(request.model or self._default_model, lambda done_bytes, total_bytes: None)
        async with self._sessions.pool.lease(spec) as model:
            return await model.count(say(request.history, request.messages), request.options)

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[LocalConnection]:
        async with AsyncExitStack() as stack:
            connection = LocalConnection(self._sessions, self._locate, self._default_model, stack)
            stack.push_async_callback(connection.close)
            yield connection


class LocalConnection:
    """One run's access. Mutable: the named conversations, and the models found; `stack` has its interests."""

    def __init__(self, sessions: Sessions, locate: Locate, default_model: str, stack: AsyncExitStack) -> None:
        self._sessions, self._locate, self._stack = sessions, locate, stack
        self._default_model = default_model
        self._specs: dict[str, ModelSpec] = {}
        self._locating = anyio.Lock()
        self._named: dict[tuple[str, str], LocalSession] = {}
        """By name and model, the one used last at the end."""
        self._turns: dict[str, anyio.Lock] = {}
        """By name: those who ask in a named conversation wait for each other."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        started = time.monotonic()
        spec = await self._spec(request.model or self._default_model, on_event)
        asked = time.monotonic()
        async with self._session(request, spec) as session:
            turn = await self._ask(session, spec, request, on_event)
        first = turn.first_token_s
        return PromptReply(
            text=turn.text,
            finish_reason=turn.reason,
            model=spec.reference,
            tokens=turn.tokens,
            duration_s=time.monotonic() - started,
            first_token_s=None if first is None else first + asked - started,
            dropped_messages=turn.dropped_messages,
            parts=turn.parts,
            cut=turn.cut,
            chosen=turn.chosen,
            calls=turn.calls,
            tools_tokens=turn.tools_tokens,
            context_tokens=turn.context_tokens or None,
            cost=0.0,
        )

    @asynccontextmanager
    async def _session(self, request: PromptRequest, spec: ModelSpec) -> AsyncIterator[LocalSession]:
        """The conversation of a request: a fresh one, a named one, or a copy of a named one."""
        if request.session is None:
            source = None if request.fork is None else self._source(request.fork, request, spec)
            async with (
                source.fork(spec, goes_on=False) if source else self._sessions.open(spec, goes_on=False)
            ) as session:
                yield session
        else:
            async with self._turns.setdefault(request.session, anyio.Lock()):
                if request.fork is not None:
                    source = self._source(request.fork, request, spec)
                    await self._replace(request.session, source.fork(spec), spec)
                key = (request.session, spec.reference)
                if key in self._named:
                    session = self._named.pop(key)
                else:
                    session = self._sessions.open(spec, () if request.fork else request.history)
                self._named[key] = session
                if request.may_come_again:
                    session.may_come_again()
                yield session

    def _source(self, name: str, request: PromptRequest, spec: ModelSpec) -> LocalSession:
        """What a request starts from a copy of; as its history has it, if this process does not know it."""
        if request.history and not any(known == name for known, _ in self._named):
            self._named[name, spec.reference] = self._sessions.open(spec, request.history)
        return self._known(name, spec)

    def _known(self, name: str, spec: ModelSpec) -> LocalSession:
        """The conversation of that name: the one with this model, else the one used last."""
        found = [session for (known, _), session in self._named.items() if known == name]
        if not found:
            raise NotFoundError("session", name, [known for known, _ in self._named])
        return self._named.get((name, spec.reference), found[-1])

    async def _replace(self, name: str, copy: LocalSession, spec: ModelSpec) -> None:
        """`copy` is the conversation of that name from now on; what had the name is closed."""
        old = [self._named.pop(key) for key in list(self._named) if key[0] == name]
        self._named[name, spec.reference] = copy
        for session in old:
            await session.close()

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        async with self._turns.setdefault(session, anyio.Lock()):
            for key in [key for key in self._named if key[0] == session]:
                await self._named.pop(key).close()
        self._turns.pop(session, None)

    async def close(self) -> None:
        """Ends the named conversations."""
        for session in self._named.values():
            await session.close()
        self._named.clear()

    async def _spec(self, model: str, on_event: OnPromptEvent) -> ModelSpec:
        """Where the model is; the run keeps an interest in it from now to its end."""
        async with self._locating:
            if model not in self._specs:

                def told(done_bytes: int, total_bytes: int | None) -> None:
                    on_event(ModelFetching(model=model, done_bytes=done_bytes, total_bytes=total_bytes))

                spec = await self._locate(model, told)
                self._stack.enter_context(self._sessions.pool.interest(spec))
                self._specs[model] = spec
            return self._specs[model]

    async def _ask(
        self, session: LocalSession, spec: ModelSpec, request: PromptRequest, on_event: OnPromptEvent
    ) -> Turn:
        def passed_on(event: GenerationEvent) -> None:
            if isinstance(event, PromptEvent):
                on_event(event)

        def loading(fraction: float) -> None:
            on_event(ModelLoading(model=spec.reference, fraction=fraction))

        return await session.ask(
            request.messages,
            request.options,
            on_event=passed_on,
            on_load=loading,
            going_on=request.going_on,
        )
