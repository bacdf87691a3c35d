"""The model API while it runs: whom each request is put to, and what of it is held.

Above: the dialects and `routes.py`. Below: `conversations.py`, the waist.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio.abc import TaskGroup

from samovar.dialects.base import ApiRequest, ModelApi
from samovar.dialects.conversations import ClientConversations, SaidBefore
from samovar.dialects.failures import ApiFailure, ApiRefusedError, refused
from samovar.errors import UnmetError
from samovar.executors.base import (
    Counter,
    Embedder,
    EmbedRequest,
    Executor,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
)
from samovar.generation import Embeddings, FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiStatistics:
    """What is held for clients."""

    answering: int
    """Requests that are being answered."""
    held: int
    """Conversations that are held open, and requests for which one is."""


class Service:
    """Answers what the dialects ask. Mutable: the conversations, by client and executor."""

    def __init__(self, api: ModelApi) -> None:
        self.api = api
        self._tasks: TaskGroup | None = None
        self._conversations: dict[tuple[str, int], ClientConversations] = {}
        self._answering = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Requests are answered in it. Leaving it stops what is being answered, and gives back all."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                self._conversations.clear()
                tasks.cancel_scope.cancel()

    def statistics(self) -> ApiStatistics:
        held = sum(one.held for one in self._conversations.values())
        return ApiStatistics(answering=self._answering, held=held)

    def known(self, scope: Mapping[str, Any], session: str) -> SaidBefore | None:
        """What was said up to an answer that this client may go on from."""
        client = self.api.client_of(scope)
        found = (one.known(session) for (whose, _), one in self._conversations.items() if whose == client)
        return next((said for said in found if said is not None), None)

    async def ask(self, scope: Mapping[str, Any], asked: ApiRequest, on_event: OnPromptEvent) -> PromptReply:
        """Raises `ApiRefusedError`, and what `Connection.ask` raises."""
        conversations = self._of(self.api.client_of(scope), asked.entry.executor or self.api.executor)
        self._answering += 1
        try:
            try:
                reply = await conversations.ask(asked, on_event)
            except UnmetError:
                if asked.options.think is not False:
                    raise
                # A model whose thinking cannot be turned off, or that has none, answers as it does.
                asked = replace(asked, options=replace(asked.options, think=None))
                reply = await conversations.ask(asked, on_event)
        finally:
            self._answering -= 1
        if reply.finish_reason in (FinishReason.CANCELLED, FinishReason.TIMEOUT):
            message = "The answer was given up before its end: the model was closed or took too long."
            raise ApiRefusedError(
                ApiFailure(status=503, message=message, kind="overloaded", retry_after_s=1.0, may_pass=True)
            )
        return reply

    def _of(self, client: str, executor: Executor) -> ClientConversations:
        if self._tasks is None:
            raise ApiRefusedError(
                ApiFailure(status=503, message="The server is not running.", kind="overloaded", may_pass=True)
            )
        key = (client, id(executor))
        if key not in self._conversations:
            idle = [key for key, one in self._conversations.items() if not one.held and not one.remembers]
            for one in idle:
                del self._conversations[one]
            self._conversations[key] = ClientConversations(executor, self.api.limits, self._tasks)
        return self._conversations[key]

    async def count(self, asked: ApiRequest) -> int:
        """The tokens of a prompt."""
        executor = asked.entry.executor or self.api.executor
        if not isinstance(executor, Counter):
            raise refused(f"Who answers for {asked.entry.id!r} cannot count the tokens of a prompt.", "model")
        model = asked.entry.reference or asked.entry.id
        return await executor.count(
            PromptRequest(messages=asked.messages, model=model, options=asked.options)
        )

    async def embed(self, name: str | None, texts: tuple[str, ...]) -> Embeddings:
        entry = self.api.entry(name, embeds=True)
        executor = entry.executor or self.api.executor
        if not isinstance(executor, Embedder):
            raise refused(f"Who answers for {entry.id!r} cannot embed texts.", "model")
        return await executor.embed(EmbedRequest(texts=texts, model=entry.reference or entry.id))


def new_id(prefix: str) -> str:
    """An id that nobody can guess."""
    return f"{prefix}_{secrets.token_hex(20)}"


def any_seed() -> int:
    """For a client that names none, and does not expect the same answer again."""
    return secrets.randbelow(2**32)
