"""One program that speaks the Agent Client Protocol: its process, and who hears what it says.

Above: `acp.py`. Below: the protocol's own package, imported when one is started; `programs.py`. The package
reads and writes messages through here, so that what belongs to an answer comes in its order, and a line that
is not of the protocol is passed over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from samovar.errors import AuthError, ExecutorError, OverloadedError, ProtocolError, RateLimitError
from samovar.executors.base import Wish
from samovar.executors.deeds import deeds_of_acp
from samovar.executors.programs import AnsweringProgram
from samovar.processes.children import ChildProgramError

if TYPE_CHECKING:
    from acp.client.connection import ClientSideConnection
    from acp.schema import InitializeResponse

CLOSE_S = 1.0
"""How long the protocol's package may take to give up what was asked."""
AUTH_REQUIRED = -32000
"""The protocol's number of the error for a program whose user is not logged in."""

Update = dict[str, Any]
"""What a program tells of an answer, as the protocol has it."""
Listener = Callable[[Update], None]
Chooser = Callable[[Wish], Awaitable[bool]]
"""Whether it may do something."""


class Agent:
    """See above. Mutable: who listens to which session."""

    def __init__(self, program: AnsweringProgram, name: str) -> None:
        """`name`: of the executor."""
        self.program, self._name = program, name
        self._listeners: dict[str, tuple[Listener, Chooser]] = {}
        self._rpc: ClientSideConnection | None = None
        self._said: InitializeResponse | None = None
        self.is_gone = anyio.Event()
        """Nothing more is heard of it."""

    @property
    def is_alive(self) -> bool:
        """It hears, as far as is known."""
        return self.program.is_alive and not self.is_gone.is_set()

    @property
    def rpc(self) -> ClientSideConnection:
        """What asks it."""
        assert self._rpc is not None, "it was started"
        return self._rpc

    async def start(self, silence_s: float) -> None:
        """It says what it can, and hears what we can: nothing but to be asked. Raises `ExecutorError`."""
        import acp
        from acp.schema import ClientCapabilities, FileSystemCapabilities, Implementation

        from samovar import __version__

        client: Any = _Client(self)
        self._rpc = acp.connect_to_agent(client, _Lines(self, self.program))
        can = ClientCapabilities(fs=FileSystemCapabilities(read_text_file=False, write_text_file=False))
        us = Implementation(name="samovar", version=__version__)
        async with self.errors(limit_s=silence_s):
            self._said = await self._rpc.initialize(
                protocol_version=acp.PROTOCOL_VERSION, client_capabilities=can, client_info=us
            )
        assert self._said is not None
        if self._said.protocol_version != acp.PROTOCOL_VERSION:
            raise ProtocolError(
                f"The program of {self._name!r} speaks version {self._said.protocol_version} of the Agent "
                f"Client Protocol, not {acp.PROTOCOL_VERSION}.",
                executor=self._name,
            )

    def can(self, what: str) -> bool:
        """Whether it can `fork` or `close` a session."""
        able = self._said.agent_capabilities if self._said else None
        return getattr(getattr(able, "session_capabilities", None), what, None) is not None

    def listen(self, session: str, listener: Listener, chooser: Chooser) -> None:
        """What it tells of the session goes to these from now on."""
        self._listeners[session] = (listener, chooser)

    def unlisten(self, session: str) -> None:
        """Nobody asks in it any more."""
        self._listeners.pop(session, None)

    def told(self, params: dict[str, Any]) -> None:
        """Something about an answer, in its order."""
        listener = self._listeners.get(str(params.get("sessionId")))
        update = params.get("update")
        if listener is not None and isinstance(update, dict):
            listener[0](update)

    async def may(self, session: str, call: Any) -> bool:
        """Whether it may do something in the session, as the protocol has it."""
        listener = self._listeners.get(session)
        if listener is None:
            return False
        what = str(getattr(call, "title", None) or getattr(call, "kind", None) or "a tool")
        given = getattr(call, "raw_input", None)
        details = "" if given is None else str(given)
        return await listener[1](
            Wish(program=self._name, what=what, details=details, deeds=deeds_of_acp(call))
        )

    @asynccontextmanager
    async def errors(self, *, limit_s: float | None = None) -> AsyncIterator[None]:
        """What asking it fails with, as errors of the tree. `limit_s`: after that it is ended."""
        from acp import RequestError
        from pydantic import ValidationError

        try:
            with anyio.move_on_after(limit_s) as limit:
                yield
        except RequestError as error:
            raise self._error(error.code, error, error.data) from None
        except ConnectionError:
            raise await self.program.gone() from None
        except ValidationError as error:
            raise ProtocolError(
                f"The program of {self._name!r} said what the Agent Client Protocol does not know: "
                f"{error.errors()[0]['msg']}.",
                executor=self._name,
            ) from None
        if limit.cancelled_caught:
            await self.end()
            raise self.program.silent()

    def _error(self, code: int, error: Exception, data: object) -> ExecutorError:
        said = self.program.child.shown(f"{error}{f' ({data})' if data else ''}")
        text, low = f"The program of {self._name!r} failed: {said.rstrip('.')}.", said.lower()
        if code == AUTH_REQUIRED or "authentication" in low or "api key" in low:
            return AuthError(f"{text} Log in with the program itself, once.", executor=self._name)
        if "rate limit" in low or "429" in low or "quota" in low:
            return RateLimitError(text, executor=self._name)
        if code == -32603 or "overloaded" in low:
            return OverloadedError(text, executor=self._name)
        return ExecutorError(text, executor=self._name)

    async def end(self) -> None:
        """Shielded from cancellation; may happen twice."""
        with anyio.CancelScope(shield=True):
            if self._rpc is not None:
                with anyio.move_on_after(CLOSE_S), suppress(Exception):
                    await self._rpc.close()
            await self.program.end()


class _Lines:
    """How the protocol's package speaks with the process: `acp._transport.Transport`."""

    def __init__(self, agent: Agent, program: AnsweringProgram) -> None:
        self._agent, self._program = agent, program

    async def send(self, message: dict[str, Any]) -> None:
        try:
            await self._program.child.send(message)
        except ChildProgramError as error:
            raise ConnectionError(str(error)) from None

    async def receive(self) -> dict[str, Any] | None:
        """The next request or answer. What belongs to an answer is handed on here."""
        while True:
            try:
                message = await self._program.child.receive()
            except ChildProgramError:
                message = None
            if message is None:
                self._agent.is_gone.set()
                return None
            if message.get("method") is None or "id" in message:
                return message
            params = message.get("params")
            if message["method"] == "session/update" and isinstance(params, dict):
                self._agent.told(params)

    async def close(self) -> None:
        """The process is ended by whoever started it."""


class _Client:
    """What the program may ask of us: nothing but whether it may do something."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **more: Any
    ) -> Any:
        from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

        is_allowed = await self._agent.may(session_id, tool_call)
        # Never for more than this once: what may be done is for the person and the settings to say.
        kind = "allow_once" if is_allowed else "reject_once"
        chosen = next((one for one in options if one.kind == kind), None)
        if chosen is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(
            outcome=AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        )

    async def session_update(self, session_id: str, update: Any, **more: Any) -> None:
        """Comes through `_Lines`."""
