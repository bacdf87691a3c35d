"""Answers prompts by the program Claude Code, a process for each conversation.

Above: `table.py` names it. Below: `claude_turn.py`, one turn with a process; `claude_flags.py`, how one is
started; `programs.py`. A fresh prompt has a process of its own. A named conversation keeps one for all its
turns, and another takes it up if that one does not fit any more or was ended. Its transcript is the
program's, on disk until the conversation is over; what must not be written there is not said in one.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import anyio
import anyio.to_thread

from samovar.config.declared import DeclaredExecutor
from samovar.config.providers import CLAUDE
from samovar.errors import ExecutorError, NotFoundError, SamovarError
from samovar.executors.base import ExecutorAbilities, OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.claude_flags import ClaudeFlags, usual_variables
from samovar.executors.claude_turn import ClaudeTurn
from samovar.executors.programs import (
    MOST_AT_ONCE,
    AnsweringProgram,
    Starting,
    found_program,
    missing_program,
    program_named,
)
from samovar.executors.spoken import Spoken
from samovar.executors.table import Parts
from samovar.generation import Message
from samovar.processes.children import EXIT_S, ChildPrograms

MOST_IDLE = 8
"""Processes that wait for the next turn of a named conversation; one more, and the oldest is ended."""


class ClaudeCodeExecutor:
    """See `executors.base.Executor`."""

    needs_local_model: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset(
        ("url", "model", "command", "environment", "permission", "own_tools", "silence_s")
    )
    abilities: ClassVar[ExecutorAbilities] = ExecutorAbilities(
        choices=True,
        schema=True,
        own_tools=True,
        stop=True,
        sessions=True,
        fork=True,
        think=True,
        evaluated=True,
        usage=True,
        cost=True,
    )

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        """See `table.Member`."""
        return True

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        """See `table.Member`."""
        return program_named(declared, CLAUDE.name)

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """See `table.Member`."""
        return missing_program(declared, CLAUDE.name)

    @classmethod
    def make(cls, parts: Parts) -> ClaudeCodeExecutor:
        """See `table.Member`."""
        return cls(parts)

    def __init__(self, parts: Parts) -> None:
        self.name, self._parts = parts.declared.name, parts

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[ClaudeCodeConnection]:
        declared = self._parts.declared
        starting = Starting(
            declared=declared,
            words=found_program(declared, CLAUDE.name),
            usual=usual_variables(declared),
            on_sent=self._parts.on_sent,
            most_chars=self._parts.settings.value_bytes,
        )
        async with ChildPrograms.open(run) as children:
            connection = ClaudeCodeConnection(starting, children)
            try:
                yield connection
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()


@dataclass(slots=True, eq=False)
class _Talk:
    """One conversation. Changed under its lock."""

    id: str = field(default_factory=lambda: str(uuid4()))
    is_kept: bool = True
    """The program keeps a transcript, so that another process can take it up."""
    source: str | None = None
    """The id of the conversation that it begins as a copy of."""
    system: str | None = None
    """The system prompt that it has, if nobody says another."""
    flags: ClaudeFlags | None = None
    """Those of the process that had the last turn."""
    program: AnsweringProgram | None = None
    told: tuple[Message, ...] = ()
    """What was said in it before, in another process: told with its first prompt."""
    has_begun: bool = False
    asked: float = 0.0
    """When it was asked last, by the loop's clock."""
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class ClaudeCodeConnection:
    """One run's access. Mutable: the named conversations."""

    def __init__(self, starting: Starting, children: ChildPrograms) -> None:
        self._starting, self._children = starting, children
        self._declared, self._name = starting.declared, starting.declared.name
        self._named: dict[str, _Talk] = {}
        self._at_once = anyio.CapacityLimiter(MOST_AT_ONCE)

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        if request.session is None:
            talk = await self._begun(request, is_kept=False)
            async with self._at_once:
                try:
                    return await self._turn(talk, request, on_event)
                finally:
                    await self._end(talk)
        old = None if request.fork is None else self._named.get(request.session)
        if request.fork is not None:
            self._named[request.session] = await self._begun(request, is_kept=True)
        talk = self._named.setdefault(request.session, _Talk(told=request.history))
        try:
            async with talk.lock, self._at_once:
                return await self._turn(talk, request, on_event)
        finally:
            if old is not None:  # only now: the copy may have been made of it
                async with old.lock:
                    await self._over(old)
            await self._end_idle()

    async def _turn(self, talk: _Talk, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        if not talk.has_begun:
            request = replace(request, messages=(*talk.told, *request.messages))
        talk.asked, had_begun = anyio.current_time(), talk.has_begun or talk.source is not None
        program = await self._ready(talk, request)
        assert talk.flags is not None
        spoken = Spoken(self._name, request.options, on_event, most_chars=self._starting.most_chars)
        turn = ClaudeTurn(program, self._declared, request, spoken, may_act=talk.flags.may_act)
        try:
            await turn.drive()
        finally:
            talk.has_begun = talk.has_begun or turn.was_heard
            if not turn.is_done and not (talk.is_kept and await turn.interrupt()):
                await self._end(talk, wait_s=0.0)  # what is kept may go on in another process
        return turn.reply(is_first=not had_begun)

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        talk = self._named.pop(session, None)
        if talk is not None:
            async with talk.lock:
                await self._over(talk)

    async def close(self) -> None:
        """Ends the conversations."""
        async with anyio.create_task_group() as tasks:
            for talk in self._named.values():
                tasks.start_soon(self._over, talk, name=f"end conversation {talk.id}")
        self._named.clear()

    # Conversations -----------------------------------------------------------------------------------------

    async def _begun(self, request: PromptRequest, *, is_kept: bool) -> _Talk:
        """A conversation that begins: anew, or as a copy of another, when nobody is asking in that."""
        if request.fork is None:
            return _Talk(is_kept=is_kept)
        known = self._named.get(request.fork)
        if known is None and request.history:
            return _Talk(is_kept=is_kept, told=request.history)
        if known is None:
            raise NotFoundError("session", request.fork, list(self._named))
        async with known.lock:
            if known.has_begun and not known.is_kept:
                raise self._secret(f"The session {request.fork!r} cannot be copied")
            source = known.id if known.has_begun else known.source
            return _Talk(is_kept=is_kept, source=source, system=known.system)

    def _secret(self, what: str) -> ExecutorError:
        return ExecutorError(
            f"{what}: a secret value was said in it, and Claude Code would write it to disk. Say it in a "
            "prompt without session=.",
            executor=self._name,
        )

    async def _end(self, talk: _Talk, wait_s: float = EXIT_S) -> None:
        if talk.program is not None:
            await talk.program.end(wait_s)
            talk.program = None

    async def _over(self, talk: _Talk) -> None:
        await self._end(talk)
        if talk.is_kept and talk.has_begun:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_delete_transcript, talk.id)

    async def _end_idle(self) -> None:
        """A process that waits costs memory; one whose transcript is kept can be taken up again."""
        idle = [one for one in self._named.values() if one.program and not one.lock.locked() and one.is_kept]
        for talk in sorted(idle, key=lambda one: one.asked)[: max(0, len(idle) - MOST_IDLE)]:
            async with talk.lock:
                await self._end(talk)

    async def _ready(self, talk: _Talk, request: PromptRequest) -> AnsweringProgram:
        """A process that can be told the turn: the one that is there, if it fits."""
        if any(message.secret for message in request.messages):
            if talk.has_begun and talk.is_kept:
                raise self._secret("The prompt cannot be said in a session that has begun")
            talk.is_kept = False
        flags = ClaudeFlags.of(request, self._declared, system=talk.system)
        if talk.program is not None and talk.program.is_alive and talk.flags == flags:
            return talk.program
        await self._end(talk)
        if talk.has_begun and not talk.is_kept:
            raise self._secret("The session cannot go on with other options")
        more = _conversation(talk, is_other=flags.system != talk.system)
        talk.flags, talk.system = flags, flags.system
        talk.program = await self._starting.start(
            self._children,
            (*flags.words(self._declared), *more),
            sets=flags.variables(self._declared),
            files=flags.files(),
        )
        return talk.program


def _conversation(talk: _Talk, *, is_other: bool) -> tuple[str, ...]:
    """The arguments that say which conversation a process has. `is_other`: with another system prompt."""
    keeps = ("--session-id", talk.id) if talk.is_kept else ("--no-session-persistence",)
    if talk.has_begun:
        goes_on: tuple[str, ...] = ("--resume", talk.id)
    elif talk.source is not None:
        goes_on = ("--resume", talk.source, "--fork-session", *keeps)
    else:
        return keeps
    # A conversation has the system prompt that it began with, whatever is said later, without this.
    return (*goes_on, "--system-prompt-snapshot", "off") if is_other else goes_on


def _delete_transcript(talk: str) -> None:
    """What the program has kept of a conversation that is over."""
    folder = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    for file in (folder / "projects").glob(f"*/{talk}.jsonl"):
        file.unlink(missing_ok=True)
