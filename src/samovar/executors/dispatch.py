"""Has each prompt answered by the executor that it names: the one executor that a run knows.

Above: `app.py`, which makes it. Below: the table and its members. A member is made with the app's first
prompt for it, and opened with the run's first; it is opened and closed by one task, so that it may keep tasks
of its own in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup, TaskStatus

from samovar.executors.base import Connection, Executor, OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.table import Parts, member


class Dispatcher:
    """See `executors.base.Executor`. Mutable: the members made so far."""

    name = "dispatcher"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: dict[str, Executor] = {}

    def executor(self, name: str | None) -> Executor:
        """The member of that name; None is that of the settings. Raises `NotFoundError`."""
        name = name or self._parts.settings.executor
        if name not in self._made:
            self._made[name] = member(name).make(self._parts)
        return self._made[name]

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


class DispatchingConnection:
    """One run's access to all executors. Mutable: those that are open; `is_over` closes them."""

    def __init__(
        self, dispatcher: Dispatcher, run: str, tasks: TaskGroup, errors: list[BaseException]
    ) -> None:
        """`errors`: gets what a member raises when it closes."""
        self._dispatcher, self._run, self._tasks, self._errors = dispatcher, run, tasks, errors
        self._open: dict[str, Connection] = {}
        self._opening = anyio.Lock()
        self.is_over = anyio.Event()

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        connection = await self._connection(self._dispatcher.executor(request.executor))
        return await connection.ask(request, on_event)

    async def _connection(self, executor: Executor) -> Connection:
        async with self._opening:
            if executor.name not in self._open:
                self._open[executor.name] = await self._tasks.start(
                    self._keep, executor, name=f"executor {executor.name}"
                )
            return self._open[executor.name]

    async def _keep(self, executor: Executor, *, task_status: TaskStatus[Connection]) -> None:
        """Opens an executor and closes it at the end of the run. What opening raises, the asker gets."""
        is_open = False
        try:
            async with executor.open(self._run) as connection:
                is_open = True
                task_status.started(connection)
                await self.is_over.wait()
        except Exception as error:  # handed on: `open` raises it when all are closed
            if not is_open:
                raise
            self._errors.append(error)
