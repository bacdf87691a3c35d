"""Answers prompts by any program that speaks the Agent Client Protocol: one process with many sessions.

Above: `table.py` names it. Below: `acp_turn.py`, one answer; `acp_agent.py`, the process and the protocol.
The package `agent-client-protocol` (the extra `acp`) is imported when the first prompt comes. The protocol
knows no system prompt and no history: both are told in the first thing that is said. What was said is kept,
so that a conversation can be copied, and taken up by another process when the first has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import anyio

from samovar.config.declared import DeclaredExecutor
from samovar.errors import ExecutorError, NotFoundError, SamovarError, UsageError
from samovar.errors.installing import install_command
from samovar.executors.acp_agent import Agent
from samovar.executors.acp_turn import AcpTurn
from samovar.executors.base import ExecutorAbilities, OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.programs import (
    Starting,
    found_program,
    missing_program,
    program_named,
    said_in,
    system_of,
)
from samovar.executors.spoken import Spoken
from samovar.executors.table import Parts
from samovar.generation import Message
from samovar.processes.children import ChildPrograms

CLOSE_S = 2.0
"""How long a program may take to close a session, which ends with it anyway."""


class AcpExecutor:
    """See `executors.base.Executor`."""

    needs_local_model: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset(
        ("model", "command", "environment", "permission", "silence_s")
    )
    abilities: ClassVar[ExecutorAbilities] = ExecutorAbilities(
        own_tools=True, stop=True, sessions=True, fork=True
    )

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        """See `table.Member`."""
        return True

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        """See `table.Member`."""
        return program_named(declared)

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """See `table.Member`."""
        if find_spec("acp") is None:
            return UsageError(
                f"The executor {declared.name!r} needs the package agent-client-protocol, which is not "
                f"installed: {install_command('samovar[acp]')}"
            )
        return missing_program(declared)

    @classmethod
    def make(cls, parts: Parts) -> AcpExecutor:
        """See `table.Member`."""
        return cls(parts)

    def __init__(self, parts: Parts) -> None:
        self.name, self._parts = parts.declared.name, parts

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[AcpConnection]:
        declared = self._parts.declared
        if (objection := self.objection(declared, None)) is not None:
            raise objection
        starting = Starting(
            declared=declared,
            words=found_program(declared),
            on_sent=self._parts.on_sent,
            most_chars=self._parts.settings.value_bytes,
        )
        async with ChildPrograms.open(run) as children:
            connection = AcpConnection(starting, children)
            try:
                yield connection
            finally:
                await connection.close()


@dataclass(slots=True, eq=False)
class _Talk:
    """One conversation. Changed under its lock."""

    said: list[Message] = field(default_factory=list)
    """All of it, by whole turns."""
    system: str | None = None
    source: str | None = None
    """The session that it begins as a copy of, which `agent` can copy."""
    agent: Agent | None = None
    """Whose session it is; None: nobody's yet."""
    session: str = ""
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    @classmethod
    def after(cls, history: tuple[Message, ...]) -> _Talk:
        """One that goes on after what was said in another process."""
        return cls(said=[one for one in history if one.role != "system"], system=system_of(history))


class AcpConnection:
    """One run's access. Mutable: the process, and the named conversations."""

    def __init__(self, to_start: Starting, children: ChildPrograms) -> None:
        self._declared, self._name = to_start.declared, to_start.declared.name
        self._to_start, self._children = to_start, children
        self._named: dict[str, _Talk] = {}
        self._agent: Agent | None = None
        self._starting = anyio.Lock()

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        if request.session is None:
            talk = self._begun(request)
            try:
                return await self._turn(talk, request, on_event)
            finally:
                await self._over(talk)
        old = None if request.fork is None else self._named.get(request.session)
        if request.fork is not None:
            self._named[request.session] = self._begun(request)
        talk = self._named.setdefault(request.session, _Talk.after(request.history))
        async with talk.lock:
            reply = await self._turn(talk, request, on_event)
        if old is not None:
            async with old.lock:
                await self._over(old)
        return reply

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        talk = self._named.pop(session, None)
        if talk is not None:
            async with talk.lock:
                await self._over(talk)

    async def close(self) -> None:
        """Ends the program, and all conversations with it."""
        if self._agent is not None:
            await self._agent.end()

    def _begun(self, request: PromptRequest) -> _Talk:
        if request.fork is None:
            return _Talk()
        known = self._named.get(request.fork)
        if known is None and request.history:
            return _Talk.after(request.history)
        if known is None:
            raise NotFoundError("session", request.fork, list(self._named))
        can_fork = known.agent is not None and known.agent.is_alive and known.agent.can("fork")
        return _Talk(
            said=list(known.said),
            system=known.system,
            agent=known.agent if can_fork else None,
            source=known.session if can_fork else None,
        )

    async def _over(self, talk: _Talk) -> None:
        """Its session is closed, if the program can do that."""
        agent, talk.agent = talk.agent, None
        if agent is None or not talk.session:
            return
        agent.unlisten(talk.session)
        if agent.is_alive and agent.can("close"):
            with anyio.move_on_after(CLOSE_S, shield=True), suppress(Exception):  # it ends with the process
                await agent.rpc.close_session(session_id=talk.session)

    async def _running(self) -> Agent:
        """The process, which is started with the first prompt, and again if it has ended."""
        async with self._starting:
            if self._agent is not None and self._agent.is_alive:
                return self._agent
            if self._agent is not None:
                await self._agent.end()
            agent = Agent(await self._to_start.start(self._children), self._name)
            try:
                await agent.start(self._declared.silence_s)
            except BaseException:
                await agent.end()
                raise
            self._agent = agent
            return agent

    async def _ready(self, talk: _Talk, request: PromptRequest) -> tuple[Agent, str]:
        """A process whose session can be told the turn, and what is said in it."""
        agent, folder = await self._running(), str(Path.cwd())
        told: list[Message] = []
        knows = talk.system
        async with agent.errors(limit_s=self._declared.silence_s):
            if talk.agent is agent and talk.source is not None:
                copy = await agent.rpc.fork_session(session_id=talk.source, cwd=folder, mcp_servers=[])
                talk.session = copy.session_id
            elif talk.agent is not agent or not talk.session:
                made = await agent.rpc.new_session(cwd=folder, mcp_servers=[])
                talk.session, told, knows = made.session_id, talk.said, None
                await self._choose(agent, talk.session, made, request.model or self._declared.model)
        talk.agent, talk.source = agent, None
        said = system_of(request.messages)
        talk.system = talk.system if said is None else said
        text = said_in([*told, *request.messages])
        return agent, f"{talk.system}\n\n{text}" if talk.system and talk.system != knows else text

    async def _choose(self, agent: Agent, session: str, made: Any, model: str | None) -> None:
        """The model of a session, where somebody names one. Raises `ExecutorError`."""
        if model is None:
            return
        for option in made.config_options or ():
            if getattr(option, "category", None) == "model":
                await agent.rpc.set_config_option(config_id=option.id, session_id=session, value=model)
                return
        raise ExecutorError(
            f"The program of {self._name!r} lets nobody choose its model, but {model!r} is asked for. "
            "Leave out model=.",
            executor=self._name,
        )

    async def _turn(self, talk: _Talk, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        spoken = Spoken(self._name, request.options, on_event, most_chars=self._to_start.most_chars)
        turn = AcpTurn(self._declared, request, spoken)
        agent, text = await self._ready(talk, request)
        self._to_start.on_sent(len(text.encode("utf-8", "surrogatepass")))
        await turn.drive(agent, talk.session, text)
        reply = turn.reply(request.model or self._declared.model or self._name)
        new = [message for message in request.messages if message.role != "system"]
        talk.said += [*new, Message(role="assistant", content=reply.text)]
        return reply
