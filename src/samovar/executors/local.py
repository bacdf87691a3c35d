"""Answers prompts with a local model: the waist's plain values in, sessions on the pool out.

Above: `app.py` makes it; runs reach it through `base.py`. Below: `session.py`, `pool.py`. It knows no
workflow. A run's named conversations, and its interest in the models it used, end with its connection.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from samovar.engines.base import GenerationEvent, ModelSpec, PromptProgress, TextPart
from samovar.executors.base import (
    EvaluatingPrompt,
    FetchingModel,
    LoadingModel,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
    TextPiece,
)
from samovar.session import Session, Sessions, Turn

OnFetchProgress = Callable[[int, int | None], None]
Locate = Callable[[str, OnFetchProgress], Awaitable[ModelSpec]]
"""Finds the file of a model reference, fetching it where that is allowed."""


class LocalExecutor:
    """See `executors.base.Executor`."""

    name = "local"

    def __init__(self, sessions: Sessions, locate: Locate, *, default_model: str) -> None:
        """`default_model`: the reference that answers requests which name none."""
        self._sessions, self._locate, self._default_model = sessions, locate, default_model

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[LocalConnection]:
        async with AsyncExitStack() as stack:
            yield LocalConnection(self._sessions, self._locate, self._default_model, stack)


class LocalConnection:
    """One run's access; everything it holds is on `stack`."""

    def __init__(self, sessions: Sessions, locate: Locate, default_model: str, stack: AsyncExitStack) -> None:
        self._sessions, self._locate, self._stack = sessions, locate, stack
        self._default_model = default_model
        self._specs: dict[str, ModelSpec] = {}
        self._named: dict[tuple[str, str], Session] = {}
        self._locating = anyio.Lock()

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        started = time.monotonic()
        spec = await self._spec(request.model or self._default_model, on_event)
        asked = time.monotonic()
        if request.session is None:
            async with self._sessions.open(spec) as session:
                turn = await self._ask(session, spec, request, on_event)
        else:
            session = await self._named_session(request.session, spec)
            turn = await self._ask(session, spec, request, on_event)
        first = turn.first_token_s
        return PromptReply(
            text=turn.text,
            finish_reason=turn.reason,
            model=spec.reference,
            tokens=turn.tokens,
            duration_s=time.monotonic() - started,
            first_token_s=None if first is None else first + asked - started,
            session=request.session,
        )

    async def _spec(self, model: str, on_event: OnPromptEvent) -> ModelSpec:
        """Where the model is; the run keeps an interest in it from now to its end."""
        async with self._locating:
            if model not in self._specs:

                def told(done_bytes: int, total_bytes: int | None) -> None:
                    on_event(FetchingModel(model=model, done_bytes=done_bytes, total_bytes=total_bytes))

                spec = await self._locate(model, told)
                self._stack.enter_context(self._sessions.pool.interest(spec))
                self._specs[model] = spec
            return self._specs[model]

    async def _named_session(self, name: str, spec: ModelSpec) -> Session:
        key = (name, spec.reference)
        if key not in self._named:
            self._named[key] = await self._stack.enter_async_context(self._sessions.open(spec))
        return self._named[key]

    async def _ask(
        self, session: Session, spec: ModelSpec, request: PromptRequest, on_event: OnPromptEvent
    ) -> Turn:
        def passed_on(event: GenerationEvent) -> None:
            if isinstance(event, TextPart):
                on_event(TextPiece(text=event.text))
            elif isinstance(event, PromptProgress):
                on_event(
                    EvaluatingPrompt(
                        total_tokens=event.total_tokens,
                        reused_tokens=event.reused_tokens,
                        evaluated_tokens=event.evaluated_tokens,
                    )
                )

        def loading(fraction: float) -> None:
            on_event(LoadingModel(model=spec.reference, fraction=fraction))

        return await session.ask(request.messages, request.options, on_event=passed_on, on_load=loading)
