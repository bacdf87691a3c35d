"""The Python API: sessions on a local model, and runs of workflows, for programs.

Above: `blocking.py` and programs, which reach it as `samovar.open`. Below: `app.py`, `session.py`, the
runner. It only makes plain calls of keywords: names are checked at once, everything else happens below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, cast, get_args

import anyio
import anyio.to_thread

import samovar.serving.session as below
from samovar import memory
from samovar.actions.options import OPTIONS
from samovar.app import App, Locator, open_app, open_store
from samovar.checks.checking import check_tree
from samovar.config import Settings, load_settings, surroundings
from samovar.engines.base import ModelSpec
from samovar.errors import ClosedError, FaultsError, UsageError, nearest
from samovar.events import OnEvent
from samovar.generation import Message, Options, Overflow, Role, Sampling
from samovar.models.cost import KvType
from samovar.needs import check_models
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.serving.pool import PoolStatistics
from samovar.serving.session import SessionStatistics
from samovar.serving.turn import AnswerStream, Turn
from samovar.unentered import Unentered


class OpenSettings(TypedDict, total=False):
    """What `samovar.open` takes: the names of `config.Settings`, which says what each means."""

    model: str
    context_tokens: int
    gpu_layers: int | Literal["auto"]
    threads: int
    kv_type: KvType
    budget_bytes: int | str
    keep_alive_s: float
    cache_folder: str | Path
    snapshots_bytes: int | str
    environment: Sequence[str]
    offline: bool


class AnswerOptions(TypedDict, total=False):
    """How an answer is got: the names of `generation.Options` and `Sampling`, which say what each means."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int
    stop: str | Sequence[str]
    choices: Sequence[str]
    timeout_s: float | None
    overflow: Overflow
    deterministic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is held and what was done. Figures are measured, or None."""

    pool: PoolStatistics
    """Each model's loads, tokens, threads and bytes; the budget."""
    sessions: SessionStatistics
    resident_bytes: int | None
    """Of this process, now."""


def open(**settings: Unpack[OpenSettings]) -> AbstractAsyncContextManager[Samovar]:
    """Everything that sessions and runs need; nothing is loaded before the first prompt.

    What is not given comes from `SAMOVAR_*` variables and the files of settings. Leaving the context
    closes the sessions that are open, and gives every byte back. Raises `TypeError` for a name that there
    is not, and on entry `UsageError` for a value.
    """
    _check_names("samovar.open()", settings, Settings.model_fields)
    form = "async with samovar.open() as app"
    return Unentered(_opened(dict(settings)), Samovar, form, "samovar.open_blocking()")


@asynccontextmanager
async def _opened(settings: dict[str, Any]) -> AsyncIterator[Samovar]:
    async with open_app(load_settings(settings)) as app:
        samovar = Samovar(app)
        try:
            yield samovar
        finally:
            await samovar.close()


class Samovar:
    """What `samovar.open` gives. Mutable: the sessions that are open, until it closes them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._locate = Locator(app.settings, open_store(app.settings))
        self._sessions: set[Session] = set()
        self._closed = False

    def session(
        self, model: str | None = None, *, system: str | None = None, **defaults: Unpack[AnswerOptions]
    ) -> AbstractAsyncContextManager[Session]:
        """A fresh conversation, closed on leaving the context.

        `model`: a path, `package:…` or a known name; None for that of the settings. It is fetched on entry
        where that is needed, loaded with the first question, and kept loaded while a session uses it.
        `system`: what the model is told to be. `defaults`: for every question of the session. Raises
        `TypeError` for an option's name, `UsageError` for its value, and on entry `ModelError` for a
        model that cannot be had.
        """
        _check_session("session()", model, system)
        _make_options("session()", defaults)
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
        _make_options("open_session()", defaults)
        spec = await self._locate(model or self._app.settings.model, lambda done_bytes, total_bytes: None)
        self._check_open()
        first = () if system is None else (Message(role="system", content=system),)
        return self._keep(self._app.sessions.open(spec, first), spec, defaults)

    def _keep(self, session: below.LocalSession, spec: ModelSpec, defaults: AnswerOptions) -> Session:
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
        seed: int | None = None,
        deterministic: bool = False,
        on_event: OnEvent | None = None,
    ) -> Run:
        """Runs a workflow to one of its endings and returns the record of it.

        `workflow`: a path, or a name of the library. `model`: used by every prompt, whatever it says.
        `seed`: every prompt that names none has one made from it, another at each visit. `deterministic`:
        the same answers each time, at the price of speed: prompts are answered one by one.
        `on_event` hears of everything as it happens, on the event loop. A run that fails is no exception:
        `ending` and `error` of the record say so. Raises `NotFoundError`, `FaultsError` with everything
        wrong in the file, `UsageError` for variables the workflow does not take, and `ModelError` where a
        model is known to be missing; nothing was run then.
        """
        self._check_open()
        _expect("run()", "workflow", workflow, (str, Path), "a path or a name")
        _expect("run()", "variables", variables, (Mapping, type(None)), "a mapping of names to values")
        _expect("run()", "model", model, (str, type(None)), "a model reference")
        _expect("run()", "seed", seed, (int, type(None)), "a whole number")
        if seed is not None and not 0 <= seed < 2**32:
            raise UsageError(f"seed of run() cannot be {seed}: expected a whole number from 0 to 2³² - 1.")
        if on_event is not None and not callable(on_event):
            raise UsageError(f"on_event of run() cannot be {on_event!r}: expected something to call.")
        library = self._app.library
        parsed = library.workflow(str(workflow))
        faults = [fault for fault in check_tree(parsed, library) if fault.severity == "error"]
        if faults:
            raise FaultsError(faults)
        await anyio.to_thread.run_sync(check_models, parsed, library, self._app.settings, model)
        settings = RunnerSettings(
            model=model,
            seed=seed,
            deterministic=deterministic,
            surroundings=surroundings(self._app.settings, Path.cwd()),
        )
        runner = Runner(library, self._app.executor, on_event=on_event or _ignore, settings=settings)
        return await runner.run(parsed, variables or {})

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


class Session:
    """One conversation with one model. Answers one question at a time; further ones wait.

    Use it in `async with`, which closes it.
    """

    def __init__(
        self,
        session: below.LocalSession,
        fork: Callable[[], Session],
        defaults: AnswerOptions,
        stack: ExitStack,
    ) -> None:
        """`stack`: what is given back when it closes."""
        self._session, self._fork, self._defaults, self._stack = session, fork, defaults, stack

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far. A turn that did not come to its end is not in it."""
        return self._session.messages

    async def ask(
        self, said: str | Sequence[Message], *, system: str | None = None, **options: Unpack[AnswerOptions]
    ) -> Turn:
        """Says something and returns the answer.

        `said`: a user's text, or messages. `system`: replaces what the model was told to be. `options`: for
        this question, before the session's. Cancelling stops the generation. Raises `TypeError` for an
        option's name, `UsageError` for its value, `ModelError` when no answer can be had (`ContextError`:
        it is too long; `BudgetError`: too large), `ClosedError` when the session is closed, before or during.
        """
        return await self._session.ask(_messages("ask()", said, system), self._options("ask()", options))

    def stream(
        self, said: str | Sequence[Message], *, system: str | None = None, **options: Unpack[AnswerOptions]
    ) -> AnswerStream:
        """As `ask`, with the answer as it comes: iterate over the pieces; `turn` has the whole afterwards.

        Leaving the loop early stops the generation: at once in `async with`, else when the stream is let go.
        """
        return self._session.stream(_messages("stream()", said, system), self._options("stream()", options))

    def fork(self) -> Session:
        """A conversation that goes on from here, independent of this one; `async with` closes it.

        Takes the same short time however much was said, and no memory of the model. A turn that is being
        answered is not in it. Raises `ClosedError`.
        """
        return self._fork()

    def _options(self, call: str, options: AnswerOptions) -> Options:
        return _make_options(call, cast(AnswerOptions, {**self._defaults, **options}))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the conversation: what is being answered stops. Forks go on. Safe to call twice."""
        with anyio.CancelScope(shield=True):
            await self._session.close()
        self._stack.close()


def _ignore(_event: object) -> None:
    """Nobody listens."""


def _messages(call: str, said: object, system: str | None) -> list[Message]:
    """Raises `UsageError` for what is neither a text nor messages."""
    _expect(call, "system", system, (str, type(None)), "a text")
    if isinstance(said, bytes) or not isinstance(said, Sequence):
        raise UsageError(f"{call} takes a text, or messages: not {_brief(said)}.")
    messages = [Message(role="user", content=said)] if isinstance(said, str) else list(said)
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, Message):
            raise UsageError(
                f"{call} takes a text, or messages: number {number} is {_brief(message)}, "
                'not a samovar.Message(role="user", content="…").'
            )
        if message.role not in get_args(Role) or not isinstance(message.content, str):
            raise UsageError(
                f"Message {number} of {call} has the role {_brief(message.role)} and the content "
                f"{_brief(message.content)}: expected one of {', '.join(get_args(Role))}, and a text."
            )
    if not messages:
        raise UsageError("There is nothing to be answered: give a text, or at least one message.")
    return messages if system is None else [Message(role="system", content=system), *messages]


def _check_session(call: str, model: object, system: object) -> None:
    _expect(call, "model", model, (str, type(None)), "a model reference")
    _expect(call, "system", system, (str, type(None)), "a text")


def _expect(call: str, name: str, value: object, kinds: tuple[type, ...], expected: str) -> None:
    """Raises `UsageError` for a value of another kind."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise UsageError(f"{name} of {call} cannot be {_brief(value)}: expected {expected}.")


def _brief(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


# Options -------------------------------------------------------------------------------------------------


def _texts(value: object) -> tuple[str, ...]:
    texts = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("a text that is not empty, or several of them")
    return cast(tuple[str, ...], texts)


def _seconds(value: object) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("seconds above 0, or None")


def _overflow(value: object) -> object:
    if value not in ("error", "drop_oldest"):
        raise ValueError("'error' or 'drop_oldest'")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


_SAMPLING = {field.name for field in fields(Sampling)}
_READ: Mapping[str, Callable[[object], object]] = {
    **{name: OPTIONS[name] for name in ("max_tokens", *_SAMPLING)},  # as the workflow language has them
    "stop": _texts,
    "choices": _texts,
    "timeout_s": _seconds,
    "overflow": _overflow,
    "deterministic": _flag,
}


def _make_options(call: str, given: AnswerOptions) -> Options:
    """Raises `TypeError` for a name that there is not, `UsageError` for a value that cannot be."""
    _check_names(call, given, _READ)
    read: dict[str, Any] = {}
    for name, value in given.items():
        try:
            read[name] = _READ[name](value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{name} of {call} cannot be {_brief(value)}: expected {error}.") from None
    if read.get("stop") and read.get("choices"):
        raise UsageError("choices and stop cannot go together: the answer ends where the choice does.")
    sampling = {name: read.pop(name) for name in _SAMPLING & read.keys()}
    return Options(sampling=Sampling(**sampling), **read)


def _check_names(call: str, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name in given:
        if name not in known:
            raise TypeError(f"{call} takes no option {name!r}.{nearest(name, known)}")
