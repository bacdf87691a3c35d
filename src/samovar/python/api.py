"""The objects behind `samovar.open`: sessions on a local model, and runs of workflows.

Above: `opening.py`, `blocking.py`, programs. Below: `app.py`, `preflight/`, the
runner, and sessions. It only makes plain calls of keywords: names are checked at once, everything else
happens below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Unpack

import anyio
import anyio.to_thread

from samovar import memory
from samovar.app import App, check_answers, open_library
from samovar.engines.base import ModelSpec
from samovar.errors import ClosedError
from samovar.executors.base import EmbedRequest
from samovar.folders import current_folder
from samovar.generation import Embeddings, Message
from samovar.language.model_names import beside
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.python.answers import AnswerOptions, make_options
from samovar.python.arguments import check_session, expect, texts_of
from samovar.python.figures import Statistics, figures_of
from samovar.python.home import home_of
from samovar.python.rows import GivenRows, Row, rows_of, run_bound
from samovar.python.run_options import (
    RunOptions,
    Variables,
    is_text,
    read_options,
    read_variables,
    runner_settings,
    sources_of,
)
from samovar.python.runs import RunHandle, RunReport
from samovar.python.sessions import Session
from samovar.python.unentered import Unentered
from samovar.running.prepared import Prepared
from samovar.running.runner import Runner, RunnerSettings
from samovar.serving.session import LocalSession


class Samovar:
    """What `samovar.open` gives. Mutable: the sessions that are open, until it closes them."""

    def __init__(
        self, app: App, *, start: Path | None = None, is_scripted: bool = False, trusts: bool = False
    ) -> None:
        """`start`: where runs are at home; None: in the current folder. `is_scripted`: there is no model."""
        self._app, self._start, self._is_scripted, self._trusts = app, start, is_scripted, trusts
        self._named: list[Workflow] = []
        """What `workflow` has read by a name: the project chose the file, also when it is run later."""
        self._sessions: set[Session] = set()
        self._closed = False

    def session(
        self, model: str | None = None, *, system: str | None = None, **defaults: Unpack[AnswerOptions]
    ) -> AbstractAsyncContextManager[Session]:
        """A fresh conversation, closed on leaving the context.

        `model`: a path, `package:…`, `hf:…`, `ollama:…`, `lmstudio:…` or a known name; None for that of the
        settings. It is fetched on entry if that is needed, loaded with the first question, and kept loaded
        while a session uses it. `system`: the system prompt. `defaults`: for every question of
        the session. Raises `TypeError` for an option's name, `UsageError` for its value, and on entry
        `ModelError` for a model that cannot be had.
        """
        check_session("session()", model, system)
        make_options("session()", defaults)
        form = "async with app.session() as session"
        return Unentered(
            self._session(model, system, defaults),
            Session,
            form,
            "samovar.open_blocking(), whose sessions wait",
        )

    @asynccontextmanager
    async def _session(
        self, model: str | None, system: str | None, defaults: AnswerOptions
    ) -> AsyncIterator[Session]:
        async with await self.open_session(model, system=system, **defaults) as session:
            yield session

    async def open_session(
        self, model: str | None = None, *, system: str | None = None, **defaults: Unpack[AnswerOptions]
    ) -> Session:
        """As `session`; the caller closes it."""
        self._check_open()
        check_session("open_session()", model, system)
        make_options("open_session()", defaults)
        spec = await self._app.locate(
            self._reference(model) or self._app.settings.model, lambda done_bytes, total_bytes: None
        )
        if not self._is_scripted:
            await anyio.to_thread.run_sync(check_answers, spec)
        self._check_open()
        secret = defaults.get("secret", False)
        first = () if system is None else (Message(role="system", content=system, secret=secret),)
        return self._keep(self._app.sessions.open(spec, first), spec, defaults)

    def _reference(self, model: str | None) -> str | None:
        return None if model is None else beside(self._start, model)

    def _keep(self, session: LocalSession, spec: ModelSpec, defaults: AnswerOptions) -> Session:
        stack = ExitStack()
        stack.enter_context(self._app.pool.interest(spec))

        def fork() -> Session:
            return self._keep(session.fork(), spec, defaults)

        kept = Session(session, fork, defaults, stack)
        self._sessions.add(kept)
        stack.callback(self._sessions.discard, kept)
        return kept

    def workflow(
        self, workflow: str | Path, *, folder: str | Path | None = None, lenient: bool = False
    ) -> Workflow:
        """Reads a workflow without running it: a file, a name of the library, or a text.

        As `run` does; what it gives can be run many times. Raises `NotFoundError`, `UsageError`, and
        `FaultsError` with everything that is wrong within the file.
        """
        self._check_open()
        given = read_options(folder=folder, lenient=lenient)
        read = self._read(workflow, given)
        is_named = not is_text(workflow) and not self._library(given).is_path(str(workflow))
        if is_named and not any(one is read for one in self._named):
            self._named.append(read)
        return read

    def _read(self, workflow: object, given: RunOptions) -> Workflow:
        if isinstance(workflow, Workflow):
            return workflow
        expect("run()", "workflow", workflow, (str, Path), "a path, a name, a text, or a samovar.Workflow")
        library, lenient = self._library(given), given.get("lenient", False)
        if is_text(workflow):
            return library.read(str(workflow), None, lenient=lenient)
        return library.workflow(str(workflow), lenient=lenient)

    def _folder(self, given: RunOptions) -> Path:
        return home_of("run()", given.get("folder"), self._start) or current_folder()

    def _library(self, given: RunOptions) -> Library:
        is_home = given.get("folder") is None
        return self._app.library if is_home else open_library(self._folder(given), is_current=False)

    async def run(
        self,
        workflow: str | Path | Workflow,
        variables: Variables | None = None,
        **options: Unpack[RunOptions],
    ) -> RunReport:
        """Runs a workflow to one of its endings and returns the record of it.

        `workflow`: a path, a name of the library, the text of a workflow (which has several lines), or one
        that was read before. `variables`: by name, or a YAML or JSON file of them, or a list of these.
        `options`: see `RunOptions`.

        A run that fails is not an exception: `ending` and `error` of the record say so. Raises `TypeError`
        for an option's name, `NotFoundError`, `FaultsError` with everything wrong in the file, `UsageError`
        for what cannot be and for variables the workflow does not take, and `ModelError` if a model is
        known to be missing; nothing was run then. Cancelled, it continues as that; `handle` has the record.
        """
        self._check_open()
        given = read_options(**options)
        settings = runner_settings(given, self._folder(given), self._app.settings, trusts=self._trusts)
        sources = sources_of(variables)
        prepared = await anyio.to_thread.run_sync(self._prepare, workflow, sources, given, settings)
        runner = self._runner(given, settings)
        handle = given.get("handle") or RunHandle()
        handle.attach(runner)
        try:
            record = await runner.run(prepared)
        finally:
            figures = figures_of(self._app)
            handle.end(figures)
        return RunReport.of(record, figures)

    async def run_rows(
        self,
        workflow: str | Path | Workflow,
        rows: Iterable[Row],
        variables: Variables | None = None,
        *,
        at_once: int = 8,
        **options: Unpack[RunOptions],
    ) -> list[RunReport]:
        """Runs a workflow once for each row, several at once, and returns their records in the rows' order.

        `variables`: the same for all rows; a row's own override them. `at_once`: rows worked on together; 1
        if their commands must not run side by side. `options`: as for `run`, without `ask` and `handle`.
        Before any row is run, raises `UsageError` that names a wrong one, and what `run` raises.
        """
        self._check_open()
        given = read_options(**options)
        found = rows_of(rows, at_once, given)
        settings = runner_settings(given, self._folder(given), self._app.settings, trusts=self._trusts)
        sources, library = sources_of(variables), self._library(given)

        def prepare_rows() -> tuple[list[Mapping[str, object]], Prepared]:
            read, own = self._read(workflow, given), self._app.settings
            same = read_variables(sources, read, settings.folder)
            many = GivenRows(
                rows=found, workflow=read, given=same, library=library, settings=own, run=settings
            )
            return many.bound(), self._prepare(workflow, [same, found[0]], given, settings)

        if not found:
            return []
        bound, prepared = await anyio.to_thread.run_sync(prepare_rows)
        records = await run_bound(bound, prepared, lambda keeping: self._runner(given, settings), at_once)
        figures = figures_of(self._app)
        return [RunReport.of(record, figures) for record in records]

    def _prepare(
        self, workflow: object, sources: Sequence[Row | Path], given: RunOptions, settings: RunnerSettings
    ) -> Prepared:
        """What a run begins with. It reads files."""
        found = self._read(workflow, given)
        is_read = isinstance(workflow, Workflow) or is_text(workflow)
        return prepare(
            found if is_read else str(workflow),
            read_variables(sources, found, settings.folder),
            self._library(given),
            self._app.settings,
            settings,
            is_named=any(one is workflow for one in self._named),
            ask=given.get("ask"),
            needs_models=not self._is_scripted,
            budget=self._app.room_bytes,
        )

    def _runner(self, given: RunOptions, settings: RunnerSettings) -> Runner:
        on_event = given.get("on_event") or (lambda event: None)
        return Runner(self._library(given), self._app.executor, on_event=on_event, settings=settings)

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        prefix: str = "",
        executor: str | None = None,
    ) -> Embeddings:
        """Texts as vectors: `vectors` has one `array("f")` of length 1 for each, in their order.

        `model`: as for `session`; one that was made for it, or one that answers, whose vectors are the mean
        of its tokens'. It is loaded if need be, beside those that are. `prefix`: put before each text as it
        is; many models were trained with one (docs/python.md). Cancelling stops it. Raises `UsageError` for
        what are not texts, and `ModelError` if there is nothing to embed with, or for a text that is too long
        (`ContextError`, which names it).
        """
        self._check_open()
        expect("embed()", "model", model, (str, type(None)), "a model reference")
        expect("embed()", "executor", executor, (str, type(None)), "the name of an executor")
        expect("embed()", "prefix", prefix, (str,), "a text")
        request = EmbedRequest(
            texts=texts_of("embed()", texts),
            prefix=prefix,
            executor=executor,
            model=self._reference(model),
        )
        return await self._app.embedder.embed(request)

    def statistics(self) -> Statistics:
        """The books unchanged."""
        return Statistics(
            pool=self._app.pool.statistics(),
            sessions=self._app.sessions.statistics(),
            resident_bytes=memory.resident_bytes(),
        )

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        self._app.sessions.check()

    async def close(self) -> None:
        """Closes the sessions that are open; nothing can be asked any more. Safe to call twice."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            for session in list(self._sessions):
                await session.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("Samovar was closed: use it inside of `async with samovar.open() as app`.")
