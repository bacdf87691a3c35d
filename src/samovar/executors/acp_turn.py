"""One answer of a program that speaks the Agent Client Protocol: asked, heard, and given up if need be.

Above: `acp.py`, which keeps the conversations. Below: `acp_agent.py`, the process; `programs.py`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from samovar.config.declared import DeclaredExecutor
from samovar.errors import DeclinedError, ProtocolError
from samovar.executors.acp_agent import Agent, Update
from samovar.executors.base import PromptReply, PromptRequest, Wish
from samovar.executors.programs import Patience, may
from samovar.executors.spoken import Spoken
from samovar.generation import FinishReason, PartKind, TokenCounts

if TYPE_CHECKING:
    from acp.schema import PromptResponse

INTERRUPT_S = 2.0
"""How long a program may take to hear that an answer is not wanted any more, before it is ended."""
KINDS: dict[str, PartKind] = {"agent_message_chunk": "text", "agent_thought_chunk": "reasoning"}
"""The updates that are part of an answer."""
ENDS = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "max_turn_requests": FinishReason.LENGTH,
    "cancelled": FinishReason.CANCELLED,
}
"""Why it ended, in our words."""


class AcpTurn:
    """Mutable: what was heard so far, and how it ended."""

    def __init__(self, declared: DeclaredExecutor, request: PromptRequest, spoken: Spoken) -> None:
        self._declared, self._request, self._spoken = declared, request, spoken
        self._watch = Patience(request.options, declared.silence_s)
        self._asking = 0
        self._response: PromptResponse | None = None
        self._error: BaseException | None = None
        self._given_up = False
        self._has_ended = anyio.Event()
        """The program is done with it."""
        self._woken = anyio.Event()
        """It need not be waited for any longer."""

    async def drive(self, agent: Agent, session: str, text: str) -> None:
        """Until there is an answer, or none is waited for. Raises `ExecutorError`."""
        agent.listen(session, self._told, self._may)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._ask, agent, session, text, name=f"prompt {session}")
                try:
                    await self._wait(agent)
                finally:
                    await self._stop(agent, session)
        finally:
            agent.unlisten(session)
        if self._error is not None and not (self._given_up or self._spoken.is_stopped):
            raise self._error

    async def _ask(self, agent: Agent, session: str, text: str) -> None:
        """Shielded: who gives up tells the program, which then answers; or ends it."""
        from acp.schema import TextContentBlock

        try:
            with anyio.CancelScope(shield=True):
                async with agent.errors():
                    block = TextContentBlock(type="text", text=text)
                    self._response = await agent.rpc.prompt(session_id=session, prompt=[block])
        except Exception as error:  # handed on: `drive` raises it
            self._error = self._error or error
        finally:
            self._has_ended.set()
            self._woken.set()

    async def _wait(self, agent: Agent) -> None:
        while not self._woken.is_set():
            with anyio.move_on_after(self._watch.left_s()):
                await self._woken.wait()
            if self._woken.is_set():
                return
            if self._asking:
                self._watch.made()
            elif self._watch.is_over():
                self._given_up = True
                return
            elif self._watch.left_s() <= 0:
                self._error = agent.program.silent()
                return

    async def _stop(self, agent: Agent, session: str) -> None:
        """The program hears that the answer is not wanted; one that does not is ended."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(INTERRUPT_S), suppress(Exception):
                if not self._has_ended.is_set():
                    await agent.rpc.cancel(session_id=session)
                    await self._has_ended.wait()
            if not self._has_ended.is_set():
                await agent.end()

    def _told(self, update: Update) -> None:
        self._watch.heard()
        kind, content = KINDS.get(str(update.get("sessionUpdate"))), update.get("content")
        if kind is None or not isinstance(content, dict) or content.get("type") != "text":
            return
        piece = str(content.get("text") or "")
        if not piece or self._error is not None or self._woken.is_set():
            return
        self._watch.made()
        try:
            self._spoken.say(piece, kind)
        except BaseException as error:  # handed on: `drive` raises it
            self._error = error
        if self._error is not None or self._spoken.is_stopped:
            self._woken.set()

    async def _may(self, wish: Wish) -> bool:
        self._asking += 1
        try:
            return await may(wish, self._declared, self._request)
        except Exception as error:  # handed on: `drive` raises it
            self._error = self._error or error
            self._woken.set()
            return False
        finally:
            self._asking -= 1
            self._watch.made()

    def reply(self, model: str) -> PromptReply:
        """What it has come to. Raises `DeclinedError`."""
        reason = FinishReason.STOP if self._spoken.is_stopped else FinishReason.TIMEOUT
        if not (self._given_up or self._spoken.is_stopped):
            assert self._response is not None
            if self._response.stop_reason == "refusal":
                raise DeclinedError(
                    f"The model of {self._declared.name!r} declined to answer.", executor=self._declared.name
                )
            known = ENDS.get(self._response.stop_reason)
            if known is None:
                raise ProtocolError(
                    f"The program of {self._declared.name!r} ended for a reason that the Agent Client "
                    f"Protocol does not know: {self._response.stop_reason!r}.",
                    executor=self._declared.name,
                )
            reason = known
        tokens = _tokens(getattr(self._response, "usage", None))
        return self._spoken.reply(reason, model=model, tokens=tokens)


def _tokens(usage: Any) -> TokenCounts:
    if usage is None:
        return TokenCounts(untold=1)
    return TokenCounts(
        evaluated=usage.input_tokens + (usage.cached_write_tokens or 0),
        reused=usage.cached_read_tokens or 0,
        generated=usage.output_tokens,
        reasoning=usage.thought_tokens or 0,
    )
