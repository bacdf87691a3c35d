"""The Python API for programs without an event loop: the same names, with blocking calls.

Above: programs, which reach it as `samovar.open_blocking`. Below: `api.py`, on an event loop in a thread of
its own. Ctrl-C in a call stops what was called, and comes out. Any thread may call.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack
from weakref import ref

from anyio.from_thread import BlockingPortal, start_blocking_portal

from samovar.engines.scripted import Script
from samovar.errors import ClosedError, UsageError
from samovar.generation import Embeddings, Message
from samovar.language.workflow import Workflow
from samovar.python import api, sessions
from samovar.python.answers import AnswerOptions
from samovar.python.figures import Statistics
from samovar.python.open_settings import OpenSettings
from samovar.python.opening import open as open_waiting
from samovar.python.rows import Row
from samovar.python.run_options import RunOptions, Variables
from samovar.python.runs import RunReport
from samovar.python.unentered import BlockingUnentered
from samovar.serving.turn import AnswerStream, Turn

T = TypeVar("T")


def open_blocking(
    *,
    trust: bool = False,
    folder: str | Path | None = None,
    script: Script | None = None,
    **settings: Unpack[OpenSettings],
) -> AbstractContextManager[BlockingSamovar]:
    """As `samovar.open`, for `with`."""
    form = "with samovar.open_blocking() as app"
    opening = open_waiting(trust=trust, folder=folder, script=script, **settings)
    return BlockingUnentered(_opened(opening), BlockingSamovar, form, "samovar.open()")


@contextmanager
def _opened(opening: Any) -> Iterator[BlockingSamovar]:
    with start_blocking_portal(name="samovar: blocking") as portal:
        loop = _Loop(portal)
        with portal.wrap_async_context_manager(opening) as app:
            try:
                yield BlockingSamovar(loop, app)
            finally:
                loop.is_open = False


class _Loop:
    """The way into the event loop's thread. Mutable: whether it is still open."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self.is_open = True

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """The result of `function`. An exception here, as of Ctrl-C, cancels it."""
        if not self.is_open:
            raise ClosedError("Samovar was closed: use it inside of `with samovar.open_blocking() as app`.")
        future = self._portal.start_task_soon(function)
        try:
            return future.result()
        except BaseException:  # Ctrl-C in this thread too: what was called stops
            future.cancel()
            raise


class BlockingSamovar:
    """As `api.Samovar`."""

    def __init__(self, loop: _Loop, app: api.Samovar) -> None:
        self._loop, self._app = loop, app

    def session(
        self, model: str | None = None, *, system: str | None = None, **defaults: Unpack[AnswerOptions]
    ) -> BlockingSession:
        """As `api.Samovar.session`; `with` closes it. Raises here what that raises on entry."""
        opening = partial(self._app.open_session, model, system=system, **defaults)
        return BlockingSession(self._loop, self._loop.call(opening))

    def workflow(
        self, workflow: str | Path, *, folder: str | Path | None = None, lenient: bool = False
    ) -> Workflow:
        """As `api.Samovar.workflow`."""
        return self._app.workflow(workflow, folder=folder, lenient=lenient)

    def run(
        self,
        workflow: str | Path | Workflow,
        variables: Variables | None = None,
        **options: Unpack[RunOptions],
    ) -> RunReport:
        """As `api.Samovar.run`; `on_event` and `answer` are called in the event loop's thread.

        `stop()` of a handle may be called from any thread.
        """
        return self._loop.call(partial(self._app.run, workflow, variables, **options))

    def run_rows(
        self,
        workflow: str | Path | Workflow,
        rows: Iterable[Row],
        variables: Variables | None = None,
        *,
        at_once: int = 8,
        **options: Unpack[RunOptions],
    ) -> list[RunReport]:
        """As `api.Samovar.run_rows`."""
        run = partial(self._app.run_rows, workflow, rows, variables, at_once=at_once, **options)
        return self._loop.call(run)

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        prefix: str = "",
        executor: str | None = None,
    ) -> Embeddings:
        """As `api.Samovar.embed`."""
        embed = partial(self._app.embed, texts, model=model, prefix=prefix, executor=executor)
        return self._loop.call(embed)

    def statistics(self) -> Statistics:
        """As `api.Samovar.statistics`, also after it was closed."""
        return self._app.statistics()


class BlockingSession:
    """As `sessions.Session`."""

    def __init__(self, loop: _Loop, session: sessions.Session) -> None:
        self._loop, self._session = loop, session
        self._begun: tuple[int, ref[BlockingStream]] | None = None
        """The stream that was begun last, and the thread that began it."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far. A turn that did not end is not in it."""
        return self._session.messages

    def ask(
        self, said: str | Sequence[Message], *, system: str | None = None, **options: Unpack[AnswerOptions]
    ) -> Turn:
        """As `sessions.Session.ask`."""
        self._check_no_stream_is_paused()
        return self._loop.call(partial(self._session.ask, said, system=system, **options))

    def stream(
        self, said: str | Sequence[Message], *, system: str | None = None, **options: Unpack[AnswerOptions]
    ) -> BlockingStream:
        """As `sessions.Session.stream`, as a plain iterator."""

        async def stream() -> AnswerStream:
            return self._session.stream(said, system=system, **options)

        return BlockingStream(self._loop, self._loop.call(stream), self._begin)

    def _begin(self, stream: BlockingStream) -> None:
        self._check_no_stream_is_paused()
        self._begun = (threading.get_ident(), ref(stream))

    def _check_no_stream_is_paused(self) -> None:
        thread, begun = self._begun or (None, None)
        stream = begun() if begun else None
        if stream is not None and stream.is_paused and thread == threading.get_ident():
            raise UsageError(
                "The session's last answer is still open in this thread: this one would wait forever. Read "
                "the stream to its end, or close it: `with session.stream(…) as pieces`."
            )

    def fork(self) -> BlockingSession:
        """As `sessions.Session.fork`; `with` closes it."""

        async def fork() -> sessions.Session:
            return self._session.fork()

        return BlockingSession(self._loop, self._loop.call(fork))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """As `sessions.Session.close`. Safe at any time: closing the app has closed it."""
        if self._loop.is_open:
            self._loop.call(self._session.close)


class BlockingStream:
    """As `turn.AnswerStream`, as a plain iterator. Mutable: whether it was begun."""

    def __init__(self, loop: _Loop, stream: AnswerStream, on_begin: Callable[[BlockingStream], None]) -> None:
        self._loop, self._stream, self._on_begin = loop, stream, on_begin
        self._is_begun = False

    @property
    def turn(self) -> Turn:
        """The whole answer and what it cost. Raises `UsageError` before the stream has ended."""
        return self._stream.turn

    @property
    def is_paused(self) -> bool:
        """Whether it has begun and waits to be asked for more."""
        return self._stream.paused_in is not None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self._is_begun:
            self._on_begin(self)
            self._is_begun = True

        async def next_piece() -> str | None:
            return await anext(self._stream, None)

        piece = self._loop.call(next_piece)
        if piece is None:
            raise StopIteration
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the answer. Safe at any time: closing the app has closed it."""
        if self._loop.is_open:
            self._loop.call(self._stream.aclose)
