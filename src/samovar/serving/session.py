"""One conversation: its messages so far, and how to get the next answer.

Above: `executors/local.py`, `python/`. Below: `pool.py`, `conversation.py`, `turn.py`. A session holds
messages, not memory: it borrows the model for a turn, and gives it and the sequence back when the answer is
made, read or not, on every path; what the model has evaluated may stay parked there and be found again by the
next turn, or by a fork's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self
from weakref import WeakSet

import anyio

from samovar.engines.base import Conversation, Finished, GenerationEvent, Model, ModelSpec
from samovar.errors import BudgetError, ClosedError, ContextError, UsageError
from samovar.generation import FinishReason, GoingOn, Message, Options, TextGenerated
from samovar.serving.attempt import Attempt
from samovar.serving.conversation import say, without_oldest
from samovar.serving.pool import Loan, Pool
from samovar.serving.turn import AnswerStream, Turn, current_task, parts_of

_NOT_DONE = (FinishReason.CANCELLED, FinishReason.TIMEOUT)  # such a turn is not part of the conversation
OnGenerationEvent = Callable[[GenerationEvent], None]
OnLoad = Callable[[float], None]
"""Called with the fraction loaded, 0 to 1, when the turn has to load the model first."""


def _ignore(_event: object) -> None:
    """Nobody listens."""


class LocalSession:
    """One conversation with one model. Answers one turn at a time; further calls wait.

    `Sessions.open` and `fork` make one; `async with` closes it. Mutable: the messages, by whole turns.
    """

    def __init__(
        self,
        sessions: Sessions,
        spec: ModelSpec,
        messages: tuple[Message, ...],
        *,
        origins: tuple[Conversation, ...] = (),
        goes_on: bool = True,
    ) -> None:
        """`origins`: joined for it, so that its beginning is kept until its first turn is done."""
        self._sessions, self._spec = sessions, spec
        self._messages = messages
        self._origins = origins
        self._conversation = Conversation() if goes_on else None
        self._slot = anyio.Semaphore(1)
        """Held by the turn that is answered; not a lock, since any task may close an answer."""
        self._streams: WeakSet[AnswerStream] = WeakSet()
        self._closed = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far. A turn that did not end is not in it."""
        return self._messages

    def may_come_again(self) -> None:
        """See `Conversation.may_come_again`."""
        if self._conversation is not None:
            self._conversation.may_come_again = True

    def fork(self, spec: ModelSpec | None = None, *, goes_on: bool = True) -> LocalSession:
        """A conversation that continues from here, independent of this one; close it like any other.

        Takes the same short time however much was said: the messages are shared, and what the model has
        evaluated of them is found again. A turn that is being answered is not in it. `spec`: its model;
        None for the same. `goes_on`: as for `Sessions.open`. Raises `ClosedError`.
        """
        self._check_open()
        origins = self._origins if self._conversation is None else (*self._origins, self._conversation)
        for origin in origins:
            origin.join()
        return self._sessions.forked(self._messages, spec or self._spec, origins, goes_on=goes_on)

    def _leave_origins(self) -> None:
        for origin in self._origins:
            origin.leave()
        self._origins = ()

    async def ask(
        self,
        messages: Sequence[Message],
        options: Options | None = None,
        *,
        on_event: OnGenerationEvent = _ignore,
        on_load: OnLoad = _ignore,
        going_on: GoingOn | None = None,
    ) -> Turn:
        """Says `messages` and returns the answer. `going_on`: how it outlives this process.

        A `system` message replaces the one the conversation has. Both callbacks run on the event loop; an
        exception in one stops the turn and comes out. Raises `ModelError`: `ContextError` for what does not
        fit, `BudgetError` for what would only fit a context that may not be had; and `ClosedError` after
        `close`, also when it closes during the turn.
        """
        async with self.stream(messages, options, on_load=on_load, going_on=going_on) as answer:
            while (event := await answer.next_event()) is not None:
                on_event(event)
        return answer.turn

    def stream(
        self,
        messages: Sequence[Message],
        options: Options | None = None,
        *,
        on_load: OnLoad = _ignore,
        going_on: GoingOn | None = None,
    ) -> AnswerStream:
        """As `ask`, with the answer as it comes; what can go wrong is raised by the iteration."""
        stream = AnswerStream(self._answer(messages, options or Options(), on_load, going_on))
        self._streams.add(stream)
        return stream

    async def _answer(
        self, messages: Sequence[Message], options: Options, on_load: OnLoad, going_on: GoingOn | None
    ) -> AsyncGenerator[GenerationEvent | Turn, None]:
        """The events of a turn, then the turn. No cancel scope or lock of a task is held at a `yield`."""
        started = time.monotonic()
        self._check_no_stream_is_paused()
        pieces: list[TextGenerated] = []
        first_token_s: float | None = None
        end: Finished | None = None
        async with self._slot:
            self._check_open()
            attempt = Attempt(say(self._messages, messages), options, going_on)
            async with (
                self._sessions.pool.loan(self._spec_for(options), on_load) as loan,
                self._generate(loan, attempt) as events,
            ):
                async for event in events:
                    if isinstance(event, TextGenerated):
                        if first_token_s is None:
                            first_token_s = time.monotonic() - started
                            self._sessions.pool.has_generated(loan.model)
                        pieces.append(event)
                    elif isinstance(event, Finished):
                        end = event
                    yield event
            assert end is not None, "an engine's events end with Finished"
            parts = parts_of(pieces)
            if end.reason not in _NOT_DONE and not self._closed:
                secret = any(message.secret for message in attempt.messages)  # the answer may repeat it
                said = replace(Message.of_parts("assistant", parts), secret=secret, calls=end.calls)
                self._messages = (*attempt.messages, said)
                self._leave_origins()
        spent_s = time.monotonic() - started
        yield Turn.ended(end, parts, dropped=attempt.dropped, first_s=first_token_s, all_s=spent_s)

    def _spec_for(self, options: Options) -> ModelSpec:
        """Its model. A load for an answer of a form also makes what forms need."""
        has_form = options.form is not None or options.may_call
        return replace(self._spec, holds_forms=True) if has_form else self._spec

    @asynccontextmanager
    async def _generate(self, loan: Loan, attempt: Attempt) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """The answer to what was attempted, as soon as it fits.

        The model goes back when the engine has done with the answer, however slowly that is read: a reader
        may ask for another model meanwhile, which needs the room.
        """
        async with AsyncExitStack() as stack:
            events: AsyncIterator[GenerationEvent] | None = None
            while events is None:
                try:
                    events = await stack.enter_async_context(
                        loan.model.generate(
                            attempt.messages,
                            attempt.options,
                            self._conversation,
                            on_end=loan.end,
                            going_on=attempt.going_on,
                        )
                    )
                except ContextError as error:
                    await self._make_room(loan.model, attempt, error)
            yield events

    async def _make_room(self, model: Model, attempt: Attempt, error: ContextError) -> None:
        """A larger arena, once a turn; else the oldest messages go, if they may; else it raises."""
        drops = attempt.options.overflow == "drop_oldest"
        most_tokens = error.most_tokens if attempt.may_grow else error.context_tokens
        if error.context_tokens < most_tokens and error.prompt_tokens + 1 <= most_tokens:
            attempt.may_grow = False
            answer_tokens = error.answer_tokens or attempt.options.answer_tokens
            wanted_tokens = min(error.prompt_tokens + answer_tokens, most_tokens)
            try:
                await self._sessions.pool.grow(model, wanted_tokens, most_tokens=most_tokens)
                return
            except BudgetError:
                if not drops:
                    raise
                most_tokens = error.context_tokens
        shorter = without_oldest(attempt.messages, error.prompt_tokens + 1 - most_tokens) if drops else None
        if shorter is None:
            raise error
        attempt.dropped += len(attempt.messages) - len(shorter)
        attempt.messages = shorter

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("The session was closed.")

    def _check_no_stream_is_paused(self) -> None:
        task = current_task()
        if any(stream.paused_in and stream.paused_in() is task for stream in self._streams):
            raise UsageError(
                "The session's last answer is still open in this task: this one would wait forever. Read "
                "the stream to its end, or close it: `async with session.stream(…) as pieces`."
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """The conversation is over: what is being answered stops, and is given back when this returns.

        Forks continue. Safe to call twice, from any task.
        """
        if not self._closed:
            self._closed = True
            self._messages = ()
            self._leave_origins()
            if self._conversation is not None:
                self._conversation.leave()
            self._sessions.has_closed()
        with anyio.CancelScope(shield=True):
            for stream in list(self._streams):
                await stream.aclose()
            async with self._slot:  # that of a stream which was dropped is given back by the event loop
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatistics:
    """How many sessions there were."""

    opened: int
    """Forks counted along."""
    closed: int
    forked: int = 0
    """Sessions that began as a copy of another."""


class Sessions:
    """Opens sessions on one pool, and counts them. Mutable: the counts."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._opened = self._closed = self._forked = 0

    def open(
        self, spec: ModelSpec, messages: tuple[Message, ...] = (), *, goes_on: bool = True
    ) -> LocalSession:
        """A conversation with the model, begun by `messages`. `async with` closes it.

        `goes_on` False: it is for one question, so nothing needs to be kept of the answer.
        """
        self._opened += 1
        return LocalSession(self, spec, messages, goes_on=goes_on)

    def forked(
        self,
        messages: tuple[Message, ...],
        spec: ModelSpec,
        origins: tuple[Conversation, ...],
        *,
        goes_on: bool,
    ) -> LocalSession:
        """As `open`, for `LocalSession.fork`, which has joined the `origins`."""
        self._opened += 1
        self._forked += 1
        return LocalSession(self, spec, messages, origins=origins, goes_on=goes_on)

    def has_closed(self) -> None:
        """A session has closed, for the first time."""
        self._closed += 1

    def statistics(self) -> SessionStatistics:
        return SessionStatistics(opened=self._opened, closed=self._closed, forked=self._forked)

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        assert 0 <= self._closed <= self._opened
        assert 0 <= self._forked <= self._opened
        self.pool.check()
