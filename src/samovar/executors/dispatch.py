"""Passes each prompt to the executor that it names: the only executor that a run knows.

Above: `app.py`, which makes it. Below: the table and its members. A member is made with the app's first
prompt for it, and opened with the run's first. One task opens it and closes it, so that it may keep tasks of
its own in between; if one of those fails, anyone who asks gets what it raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup, TaskStatus

from samovar.errors import SamovarError, UsageError
from samovar.executors.base import (
    Connection,
    Embedder,
    EmbedRequest,
    Executor,
    OnPromptEvent,
    PromptReply,
    PromptRequest,
    forget,
)
from samovar.executors.table import Parts, declared_executor, known_executors, member
from samovar.generation import Embeddings


class Dispatcher:
    """See `executors.base.Executor`. Mutable: the members made so far."""

    name = "dispatcher"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: dict[str, Executor] = {}

    def name_of(self, request: PromptRequest | EmbedRequest) -> str:
        """The name of the member that is to answer."""
        return self._parts.settings.executor if request.executor is None else request.executor

    def executor(self, name: str) -> Executor:
        """The member of that name. Raises `NotFoundError`."""
        if name not in self._made:
            settings = self._parts.settings
            parts = replace(self._parts, declared=declared_executor(name, settings))
            self._made[name] = member(name, settings).make(parts)
        return self._made[name]

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `base.Embedder`. Raises `UsageError` if the executor that it names cannot embed."""
        name = self.name_of(request)
        executor = self.executor(name)
        if not isinstance(executor, Embedder):
            settings = self._parts.settings
            able = ", ".join(
                one for one in known_executors(settings) if member(one, settings).abilities.embeddings
            )
            raise UsageError(f"The executor {name!r} cannot embed texts. There is: {able}.")
        return await executor.embed(request)

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[DispatchingConnection]:
        errors: list[BaseException] = []
        async with anyio.create_task_group() as tasks:
            connection = DispatchingConnection(self, run, tasks, errors)
            try:
                yield connection
            except BaseException as error:  # handed on: it is raised below, in no group
                errors.insert(0, error)
            finally:
                connection.is_over.set()
        if errors:
            raise errors[0]


@dataclass(slots=True, eq=False)
class _Open:
    """A member that is open. Changed by the task that keeps it."""

    connection: Connection
    asking: set[anyio.CancelScope] = field(default_factory=set)
    """The scopes of those who wait for an answer."""
    error: Exception | None = None
    """Why it is open no more, although the run continues."""


class DispatchingConnection:
    """One run's access to all executors. Mutable: those that are open; `is_over` closes them."""

    def __init__(
        self, dispatcher: Dispatcher, run: str, tasks: TaskGroup, errors: list[BaseException]
    ) -> None:
        """`errors`: gets what a member raises when it closes."""
        self._dispatcher, self._run, self._tasks, self._errors = dispatcher, run, tasks, errors
        self._open: dict[str, _Open] = {}
        self._opening = anyio.Lock()
        self.is_over = anyio.Event()

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        opened = await self._opened(self._dispatcher.name_of(request))
        with anyio.CancelScope() as scope:
            opened.asking.add(scope)
            try:
                if opened.error is None:
                    return await opened.connection.ask(request, on_event)
            finally:
                opened.asking.discard(scope)
        assert opened.error is not None, "only a member that failed stops those who ask"
        raise opened.error

    async def forget(self, session: str) -> None:
        """See `base.Forgets`: it may be a conversation of any of them."""
        for opened in tuple(self._open.values()):
            await forget(opened.connection, session)

    async def _opened(self, name: str) -> _Open:
        async with self._opening:
            if name not in self._open:
                executor = self._dispatcher.executor(name)
                self._open[name] = await self._tasks.start(self._keep, executor, name=f"executor {name}")
            return self._open[name]

    async def _keep(self, executor: Executor, *, task_status: TaskStatus[_Open]) -> None:
        """Opens an executor and closes it at the end of the run. What opening raises, the asker gets."""
        opened: _Open | None = None
        try:
            async with executor.open(self._run) as connection:
                opened = _Open(connection)
                task_status.started(opened)
                await self.is_over.wait()
        except Exception as raised:  # handed on: to who asks, or by `open` when all are closed
            error = _alone(raised)
            if opened is None:
                raise error from None
            if self.is_over.is_set():
                self._errors.append(error)
            opened.error = error
            for scope in opened.asking:
                scope.cancel()


def _alone(error: Exception) -> Exception:
    """What a member's tasks raised, without the groups around it: its own error first, if it has one."""
    found: list[Exception] = [error]
    while any(isinstance(one, ExceptionGroup) for one in found):
        found = [
            inner
            for one in found
            for inner in (one.exceptions if isinstance(one, ExceptionGroup) else (one,))
        ]
    return next((one for one in found if isinstance(one, SamovarError)), found[0])
