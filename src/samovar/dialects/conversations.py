"""Conversations of clients that keep none here: what was said before is found again, and branched from.

Above: `asking.py`. Below: the waist. An answer is remembered with the messages that led to it. A request
whose messages begin like that is asked as a copy of that conversation, so that only what is new is evaluated;
two requests may go on from the same answer. They are named conversations of one connection for each client,
which is open while one of them is held: `ApiLimits.claim_s` after its last use it ends, and what was
evaluated for it stays as long as there is room.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

import anyio
from anyio.abc import TaskGroup, TaskStatus

from samovar.background import alone
from samovar.dialects.base import ApiLimits, ApiRequest
from samovar.executors.base import Connection, Executor, OnPromptEvent, PromptReply, PromptRequest, forget
from samovar.generation import FinishReason, Message

_NOT_DONE = (FinishReason.CANCELLED, FinishReason.TIMEOUT)
_log = logging.getLogger("samovar.dialects")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidBefore:
    """A conversation up to one of its answers."""

    session: str
    """Its name in the connection, and the id of the answer."""
    messages: tuple[Message, ...]
    digest: bytes
    is_kept: bool
    """A client may go on from it by its id."""
    is_instructed: bool
    """Its system message is of the answer alone."""


def digests(model: str, messages: tuple[Message, ...]) -> Iterator[bytes]:
    """One for each beginning of a conversation, the shortest first. What was thought is not part of it: few
    clients send that again."""
    digest = sha256(json.dumps(model).encode()).digest()
    for one in messages:
        calls = [(call.id, call.name, _arguments(call.arguments)) for call in one.calls]
        call = one.call.id if one.call else None
        digest = sha256(digest + json.dumps([one.role, one.content, calls, call]).encode()).digest()
        yield digest


def _arguments(text: str) -> str:
    """Clients may write the same arguments in another way."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _characters(message: Message) -> int:
    """How much it takes to remember it: no message is free."""
    calls = message.calls if message.call is None else (*message.calls, message.call)
    return 200 + len(message.content) + len(message.reasoning) + sum(len(one.arguments) for one in calls)


def _given(asked: ApiRequest, reply: PromptReply) -> PromptReply:
    """The reply as the client gets it."""
    return replace(reply, calls=reply.calls[:1]) if asked.one_call and len(reply.calls) > 1 else reply


class ClientConversations:
    """Those of one client with one executor. Mutable: what is remembered, and what is held open."""

    def __init__(
        self,
        executor: Executor,
        limits: ApiLimits,
        tasks: TaskGroup,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tasks`: has the task that keeps the connection open."""
        self._executor, self._limits, self._tasks, self._clock = executor, limits, tasks, clock
        self._said: OrderedDict[str, SaidBefore] = OrderedDict()
        """By id, the one used last at the end."""
        self._by_digest: dict[bytes, str] = {}
        self._shared: Counter[int] = Counter()
        """By the identity of a message: in how many of these conversations it is."""
        self._characters = 0
        """Of all these messages, each of them once."""
        self._connection: Connection | None = None
        self._opening = anyio.Lock()
        self._held: OrderedDict[str, float] = OrderedDict()
        """Named conversations of the connection, and until when; the one that ends first at the head."""
        self._asking = 0
        self._changed = anyio.Event()

    @property
    def held(self) -> int:
        """Conversations that are held open, and requests that are being answered."""
        return len(self._held) + self._asking

    @property
    def remembers(self) -> bool:
        """Whether a client may still go on from something."""
        return bool(self._said)

    def known(self, session: str) -> SaidBefore | None:
        """What was said up to the answer with this id, if a client may go on from it."""
        said = self._said.get(session)
        return said if said is not None and said.is_kept else None

    async def ask(self, asked: ApiRequest, on_event: OnPromptEvent) -> PromptReply:
        """Answers it, and remembers the answer as it is given. Raises as `Connection.ask` does."""
        model = asked.entry.reference or asked.entry.id
        request = PromptRequest(
            messages=asked.messages, model=model, options=asked.options, allows_effects=False
        )
        connection = await self._connected()
        try:
            if not asked.entry.continues:
                return _given(asked, await connection.ask(request, on_event))
            source = self._source(model, asked.messages)
            request = replace(request, session=asked.session, may_come_again=True)
            if source is not None:
                history = source.messages  # and not the copy that the client has sent
                rest = asked.messages[len(history) :]
                request = replace(request, fork=source.session, history=history, messages=rest)
            self._hold(asked.session)
            reply = await self._ask(connection, request, on_event)
            given = _given(asked, reply)
            if reply.finish_reason not in _NOT_DONE:
                self._remember(asked, request, given)
            if given is not reply:
                self._let_go(asked.session)  # it has all the calls, and not what was given
            return given
        finally:
            self._asking -= 1
            self._changed.set()

    async def _ask(
        self, connection: Connection, request: PromptRequest, on_event: OnPromptEvent
    ) -> PromptReply:
        assert request.session is not None
        reply: PromptReply | None = None
        try:
            reply = await connection.ask(request, on_event)
        finally:
            if request.fork is not None:
                self._hold(request.fork)  # it is there again, if it was not
            if reply is None or reply.finish_reason in _NOT_DONE:
                self._let_go(request.session)
        return reply

    def _source(self, model: str, messages: tuple[Message, ...]) -> SaidBefore | None:
        """The longest conversation that these messages go on from."""
        found: SaidBefore | None = None
        for digest in list(digests(model, messages))[:-1]:
            found = self._said.get(self._by_digest.get(digest, "")) or found
        if found is not None:
            self._said.move_to_end(found.session)
        return found

    def _remember(self, asked: ApiRequest, request: PromptRequest, reply: PromptReply) -> None:
        said = Message(role="assistant", content=reply.text)
        if reply.parts:
            said = Message.of_parts("assistant", reply.parts)
        messages = (*request.history, *request.messages, replace(said, calls=reply.calls))
        *_, digest = digests(request.model or "", messages)
        one = SaidBefore(
            session=request.session or "",
            messages=messages,
            digest=digest,
            is_kept=asked.is_kept,
            is_instructed=asked.is_instructed,
        )
        self._said[one.session] = one
        self._by_digest[digest] = one.session
        self._take_up(messages)
        while len(self._said) > self._limits.conversations or self._characters > self._limits.characters:
            _, old = self._said.popitem(last=False)
            self._give_up(old.messages)
            if self._by_digest.get(old.digest) == old.session:
                del self._by_digest[old.digest]
        self._hold(one.session)

    def _take_up(self, messages: tuple[Message, ...]) -> None:
        for one in messages:
            if not self._shared[id(one)]:
                self._characters += _characters(one)
            self._shared[id(one)] += 1

    def _give_up(self, messages: tuple[Message, ...]) -> None:
        """What is in no other conversation is gone: those that went on from this one keep what they share."""
        for one in messages:
            self._shared[id(one)] -= 1
            if not self._shared[id(one)]:
                del self._shared[id(one)]
                self._characters -= _characters(one)

    def _hold(self, session: str) -> None:
        self._held[session] = self._clock() + self._limits.claim_s
        self._held.move_to_end(session)
        self._changed.set()

    def _let_go(self, session: str) -> None:
        """The connection's conversation of that name is to end, whoever may still go on from the answer."""
        self._held[session] = 0.0
        self._held.move_to_end(session, last=False)
        self._changed.set()

    # The connection ----------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """The connection, which stays open at least until `_asking` is lowered again."""
        self._asking += 1
        try:
            async with self._opening:
                if self._connection is None:
                    self._connection = await self._tasks.start(self._keep)
                return self._connection
        except BaseException:  # also when cancelled
            self._asking -= 1
            self._changed.set()
            raise

    async def _keep(self, *, task_status: TaskStatus[Connection]) -> None:
        """Has a connection open, and ends what is held for too long, until nothing is."""
        is_open = False
        try:
            async with self._executor.open("") as connection:
                is_open = True
                task_status.started(connection)
                await self._until_idle(connection)
        except Exception as error:  # handed on to who opens it; later, each request says what it meets
            if not is_open:
                raise alone(error) from None
            _log.warning("The connection of a client ended: %s", alone(error))
        finally:
            if is_open and self._connection is not None and self._connection is connection:
                self._end()

    def _end(self) -> None:
        self._connection = None
        self._held.clear()

    async def _until_idle(self, connection: Connection) -> None:
        while self._held or self._asking:
            self._changed = anyio.Event()
            session, until = next(iter(self._held.items()), ("", None))
            is_over = until is not None and until <= self._clock()
            if is_over or len(self._held) > max(1, self._limits.sessions):
                del self._held[session]
                await forget(connection, session)
                continue
            wait_s = None if until is None else until - self._clock()
            with anyio.move_on_after(wait_s):
                await self._changed.wait()
        self._end()
