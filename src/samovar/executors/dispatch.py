"""Passes each prompt to the executor that it names: the only executor that a run knows.

Above: `app.py`, which makes it. Below: the table and its members. A member is made with the app's first
prompt for it, opened with the run's first, and closed with the run; if it fails in between, anyone who asks
gets what it raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from samovar.background import KeepsOpen, keeping_open
from samovar.config.declared import DeclaredExecutor
from samovar.errors import BudgetError, ModelError, UsageError
from samovar.executors.abilities import asked_for, cannot
from samovar.executors.base import (
    Connection,
    Counter,
    Embedder,
    EmbedRequest,
    Executor,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
    forget,
)
from samovar.executors.table import Parts, chosen_executors, declared_executor, known_executors, member
from samovar.generation import Embeddings, ExecutorFailed, PromptEvent, TextGenerated, TokenCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorUse:
    """What one executor was asked for."""

    name: str
    kind: str
    where: str
    """Where what it was asked went, for a person: a host, a program, this process."""
    is_remote: bool
    """What it was asked may have left this machine."""
    prompts: int = 0
    """Asked of it, those that it failed to answer among them."""
    failed: int = 0
    sent_bytes: int = 0
    """What was sent to it, where that is not this process: prompts, history and definitions, each time."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    cost: float | None = 0.0
    """In the currency of its prices; None if one answer's cost is not known."""


class Dispatcher:
    """See `executors.base.Executor`. Mutable: the members made so far."""

    name = "dispatcher"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: dict[str, Executor] = {}
        self._uses: dict[str, ExecutorUse] = {}

    def chosen(self, request: PromptRequest | EmbedRequest) -> tuple[DeclaredExecutor, ...]:
        """The members that are to answer, in their order. Raises as `chosen_executors` does."""
        settings = self._parts.settings
        return chosen_executors(settings.executor if request.executor is None else request.executor, settings)

    def executor(self, name: str) -> Executor:
        """The member of that name. Raises `NotFoundError`."""
        if name not in self._made:
            settings = self._parts.settings
            declared = declared_executor(name, settings)
            kind = member(name, settings)
            self._uses[name] = ExecutorUse(
                name=name, kind=declared.kind, where=kind.where(declared), is_remote=kind.is_remote(declared)
            )
            self._made[name] = kind.make(
                replace(
                    self._parts,
                    declared=declared,
                    on_sent=partial(self._has_sent, name),
                    on_where=partial(self._is_answered, name),
                )
            )
        return self._made[name]

    def check(self, name: str, request: PromptRequest) -> None:
        """Raises `UsageError` for what this member cannot do."""
        abilities = member(name, self._parts.settings).abilities
        for option in asked_for(request):
            if words := cannot(abilities, option):
                raise UsageError(f"The executor {name!r} cannot {words} (`{option}`).")

    def _has_sent(self, name: str, sent_bytes: int) -> None:
        use = self._uses[name]
        self._uses[name] = replace(use, sent_bytes=use.sent_bytes + sent_bytes)

    def _is_answered(self, name: str, where: str) -> None:
        self._uses[name] = replace(self._uses[name], where=where)

    def has_asked(self, name: str, reply: PromptReply | None) -> None:
        """A member was asked; None: it did not answer."""
        use = self._uses[name]
        if reply is None:
            self._uses[name] = replace(use, prompts=use.prompts + 1, failed=use.failed + 1)
            return
        cost = None if use.cost is None or reply.cost is None else use.cost + reply.cost
        self._uses[name] = replace(use, prompts=use.prompts + 1, tokens=use.tokens + reply.tokens, cost=cost)

    def statistics(self) -> tuple[ExecutorUse, ...]:
        """What each member was asked for so far, in the order in which they were first asked."""
        return tuple(self._uses.values())

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `base.Embedder`. Raises `UsageError` if the executor that it names cannot embed."""
        name = self.chosen(request)[0].name
        executor = self.executor(name)
        if not isinstance(executor, Embedder):
            settings = self._parts.settings
            able = ", ".join(
                one for one in known_executors(settings) if member(one, settings).abilities.embeddings
            )
            raise UsageError(f"The executor {name!r} cannot embed texts. There is: {able}.")
        return await executor.embed(request)

    async def count(self, request: PromptRequest) -> int:
        """See `base.Counter`. Raises `UsageError` if the executor that it names cannot count."""
        name = self.chosen(request)[0].name
        executor = self.executor(name)
        if not isinstance(executor, Counter):
            raise UsageError(f"The executor {name!r} cannot count the tokens of a prompt.")
        return await executor.count(request)

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[DispatchingConnection]:
        async with keeping_open() as keeps:
            yield DispatchingConnection(self, run, keeps)


class DispatchingConnection:
    """One run's access to all executors. Mutable: what conversations were begun with."""

    def __init__(self, dispatcher: Dispatcher, run: str, keeps: KeepsOpen[Connection]) -> None:
        self._dispatcher, self._run, self._keeps = dispatcher, run, keeps
        self._begun: dict[str, str] = {}
        """By conversation, the executor that it was begun with."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        chosen = self._able_to_go_on(request, self._dispatcher.chosen(request))
        has_said = False

        def heard(event: PromptEvent) -> None:
            nonlocal has_said
            has_said = has_said or isinstance(event, TextGenerated)
            on_event(event)

        for number, one in enumerate(chosen):
            own = replace(request, model=None) if number and one.model else request
            try:
                reply = await self._ask(one.name, own, heard)
            except ModelError as error:
                if number + 1 == len(chosen) or has_said or not _may_pass(error):
                    raise
                why = error.message
            else:
                if request.session is not None:
                    self._begun[request.session] = one.name
                return reply
            on_event(ExecutorFailed(executor=one.name, next=chosen[number + 1].name, why=why))
        raise AssertionError("at least one is chosen")

    def _able_to_go_on(
        self, request: PromptRequest, chosen: tuple[DeclaredExecutor, ...]
    ) -> tuple[DeclaredExecutor, ...]:
        """Those who know the conversation that goes on, if one does. Raises `UsageError` if nobody does."""
        name = request.session if request.fork is None else request.fork
        begun = None if name is None else self._begun.get(name)
        if begun is None:
            return chosen
        able = tuple(one for one in chosen if one.name == begun)
        if not able:
            raise UsageError(
                f"The conversation {name!r} was begun with the executor {begun!r}: "
                f"{chosen[0].name!r} does not know what was said in it."
            )
        return able

    async def _ask(self, name: str, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        reply: PromptReply | None = None
        self._dispatcher.check(name, request)
        opened = await self._keeps.opened(name, lambda: self._dispatcher.executor(name).open(self._run))
        try:
            reply = await opened.asked(lambda: opened.it.ask(request, on_event))
            reply = replace(reply, executor=name)
        finally:
            self._dispatcher.has_asked(name, reply)
        return reply

    async def forget(self, session: str) -> None:
        """See `base.Forgets`: it may be a conversation of any of them."""
        self._begun.pop(session, None)
        for connection in self._keeps.all():
            await forget(connection, session)


def _may_pass(error: ModelError) -> bool:
    """Another executor is asked in place of one that fails so: later, this one might answer.

    What has to be corrected (a key, a prompt that is too long) is not among it.
    """
    return error.retryable or isinstance(error, BudgetError)
