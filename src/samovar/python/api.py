"""The door for programs: sessions on a local model, and runs of workflows.

Above: `blocking.py` and programs, which reach it as `samovar.open`. Below: `app.py`, `preflight/`, the
runner, and sessions. It only makes plain calls of keywords: names are checked at once, everything else
happens below.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any, Unpack

import anyio
import anyio.to_thread

from samovar import memory
from samovar.actions.base import ThisMachine
from samovar.actions.question import NO, YES, Ask, Question, Reply
from samovar.app import App, Locator, check_answers, open_app, open_stores, surroundings
from samovar.config import load_settings, settings_known
from samovar.engines.base import ModelSpec
from samovar.errors import ClosedError, UsageError
from samovar.events import OnEvent
from samovar.executors.base import EmbedRequest
from samovar.folders import current_folder
from samovar.generation import SEEDS, Embeddings, Message, is_seed
from samovar.preflight.prepare import prepare
from samovar.projects.opening import uncounted
from samovar.python.answers import AnswerOptions, make_options
from samovar.python.arguments import check_names, expect, expect_truth, texts_of
from samovar.python.open_settings import OpenSettings
from samovar.python.sessions import Session
from samovar.python.unentered import Unentered
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.serving.pool import PoolStatistics
from samovar.serving.session import LocalSession, SessionStatistics

_log = logging.getLogger("samovar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is held and what was done. Figures are measured, or None."""

    pool: PoolStatistics
    """Each model's loads, tokens, threads and bytes; the budget."""
    sessions: SessionStatistics
    resident_bytes: int | None
    """Of this process, now."""


def open(*, trust: bool = False, **settings: Unpack[OpenSettings]) -> AbstractAsyncContextManager[Samovar]:
    """Everything that sessions and runs need; nothing is loaded before the first prompt.

    What is not given comes from `SAMOVAR_*` variables and the files of settings. `trust`: the project that
    the program runs in counts as trusted, as by `samovar trust`: its settings that open something, and its
    workflows when they are run by name. Leaving the context
    closes the sessions that are open, and gives every byte back. Raises `TypeError` for a name that there
    is not, and on entry `UsageError` for a value.
    """
    check_names("samovar.open()", settings, settings_known())
    form = "async with samovar.open() as app"
    expect_truth("samovar.open()", "trust", trust)
    return Unentered(_opened(dict(settings), trust), Samovar, form, "samovar.open_blocking()")


@asynccontextmanager
async def _opened(settings: dict[str, Any], trust: bool) -> AsyncIterator[Samovar]:
    async with open_app(load_settings(settings, trusts=trust)) as app:
        for one in () if trust else uncounted(settings_known()):
            _log.warning(one.line)
        samovar = Samovar(app, trusts=trust)
        try:
            yield samovar
        finally:
            await samovar.close()


Answer = Callable[[Question], bool | Awaitable[bool | None] | None]
"""What a program says to a question of a run."""


class Samovar:
    """What `samovar.open` gives. Mutable: the sessions that are open, until it closes them."""

    def __init__(self, app: App, *, trusts: bool = False) -> None:
        self._app, self._trusts = app, trusts
        self._locate = Locator(app.settings, open_stores(app.settings))
        self._sessions: set[Session] = set()
        self._closed = False

    def session(
        self, model: str | None = None, *, system: str | None = None, **defaults: Unpack[AnswerOptions]
    ) -> AbstractAsyncContextManager[Session]:
        """A fresh conversation, closed on leaving the context.

        `model`: a path, `package:…`, `hf:…`, `ollama:…`, `lmstudio:…` or a known name; None for that of the
        settings. It is fetched on entry where that is needed, loaded with the first question, and kept loaded
        while a session uses it.
        `system`: what the model is told to be. `defaults`: for every question of the session. Raises
        `TypeError` for an option's name, `UsageError` for its value, and on entry `ModelError` for a
        model that cannot be had.
        """
        _check_session("session()", model, system)
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
        _check_session("open_session()", model, system)
        make_options("open_session()", defaults)
        spec = await self._locate(model or self._app.settings.model, lambda done_bytes, total_bytes: None)
        await anyio.to_thread.run_sync(check_answers, spec)
        self._check_open()
        secret = defaults.get("secret", False)
        first = () if system is None else (Message(role="system", content=system, secret=secret),)
        return self._keep(self._app.sessions.open(spec, first), spec, defaults)

    def _keep(self, session: LocalSession, spec: ModelSpec, defaults: AnswerOptions) -> Session:
        stack = ExitStack()
        stack.enter_context(self._app.pool.interest(spec))

        def fork() -> Session:
            return self._keep(session.fork(), spec, defaults)

        kept = Session(session, fork, defaults, stack)
        self._sessions.add(kept)
        stack.callback(self._sessions.discard, kept)
        return kept

    async def run(
        self,
        workflow: str | Path,
        variables: Mapping[str, object] | None = None,
        *,
        model: str | None = None,
        executor: str | None = None,
        seed: int | None = None,
        deterministic: bool = False,
        on_event: OnEvent | None = None,
        answer: Answer | None = None,
    ) -> Run:
        """Runs a workflow to one of its endings and returns the record of it.

        `workflow`: a path, or a name of the library. `model`: used by every prompt, whatever it says.
        `executor`: the name of the one that answers every prompt, whatever it says.
        `seed`: every prompt that names none has one made from it, another at each visit. `deterministic`:
        the same answers each time, at the price of speed: prompts are answered one by one.
        `answer` gets each question of the workflow and gives True, False, or None for nobody is there; it may
        be a coroutine. Without it nobody is.
        `on_event` hears of everything as it happens, on the event loop. A run that fails is no exception:
        `ending` and `error` of the record say so. Raises `NotFoundError`, `FaultsError` with everything
        wrong in the file, `UntrustedError` for a name that is of a project nobody trusts (`samovar trust`,
        or `open(trust=True)`), `UsageError` for variables the workflow does not take, and `ModelError` where
        a model is known to be missing; nothing was run then.
        """
        self._check_open()
        expect("run()", "workflow", workflow, (str, Path), "a path or a name")
        expect("run()", "variables", variables, (Mapping, type(None)), "a mapping of names to values")
        expect("run()", "model", model, (str, type(None)), "a model reference")
        expect("run()", "executor", executor, (str, type(None)), "the name of an executor")
        expect("run()", "seed", seed, (int, type(None)), "a whole number")
        if seed is not None and not is_seed(seed):
            raise UsageError(f"seed of run() cannot be {seed}: expected {SEEDS}.")
        if on_event is not None and not callable(on_event):
            raise UsageError(f"on_event of run() cannot be {on_event!r}: expected something to call.")
        if answer is not None and not callable(answer):
            raise UsageError(f"answer of run() cannot be {answer!r}: expected something to call.")
        run = RunnerSettings(
            outside=ThisMachine(answer and asking(answer)),
            model=model,
            executor=executor,
            seed=seed,
            deterministic=deterministic,
            settings=self._app.settings,
            trusts=self._trusts,
            surroundings=surroundings(self._app.settings, current_folder()),
        )
        library = self._app.library
        preparing = partial(
            prepare,
            str(workflow),
            variables or {},
            library,
            self._app.settings,
            run,
            budget=self._app.pool.budget_bytes,
        )
        prepared = await anyio.to_thread.run_sync(preparing)
        runner = Runner(library, self._app.executor, on_event=on_event or _ignore, settings=run)
        return await runner.run(prepared)

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
            texts=texts_of("embed()", texts), prefix=prefix, executor=executor, model=model
        )
        return await self._app.embedder.embed(request)

    def statistics(self) -> Statistics:
        """The books as they stand."""
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


def asking(answer: Answer) -> Ask:
    """What a program answers to questions, as a run asks."""

    async def ask(question: Question) -> Reply | None:
        given = answer(question)
        said = await given if isawaitable(given) else given
        if said is not None and not isinstance(said, bool):
            raise UsageError(f"answer of run() gave {said!r}: expected True, False or None.")
        return said if said is None else YES if said else NO

    return ask


def _ignore(_event: object) -> None:
    """Nobody listens."""


def _check_session(call: str, model: object, system: object) -> None:
    expect(call, "model", model, (str, type(None)), "a model reference")
    expect(call, "system", system, (str, type(None)), "a text")
