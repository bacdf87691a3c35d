"""One turn of a conversation with a process of Claude Code: what is said, heard, and allowed meanwhile.

Above: `claude_code.py`, which keeps the conversations. Below: `claude_messages.py`, which understands the
lines; `programs.py`, which waits for them.
"""

from __future__ import annotations

import json
from typing import Any

import anyio

from samovar.config.declared import DeclaredExecutor
from samovar.errors import DeclinedError
from samovar.executors.base import PromptReply, PromptRequest, Wish
from samovar.executors.claude_flags import unwrap_for
from samovar.executors.claude_messages import Hearing, cost_of, error_of
from samovar.executors.deeds import deeds_of_claude
from samovar.executors.programs import AnsweringProgram, Patience, may, said_in
from samovar.executors.spoken import Spoken
from samovar.generation import FinishReason

INTERRUPT_S = 2.0
"""How long a process may take to hear that its turn is over."""


class ClaudeTurn:
    """Mutable: what was heard so far, and why it ended."""

    def __init__(
        self,
        program: AnsweringProgram,
        declared: DeclaredExecutor,
        request: PromptRequest,
        spoken: Spoken,
        *,
        may_act: bool,
    ) -> None:
        """`may_act`: the program has tools of its own in it."""
        self._program, self._declared, self._request = program, declared, request
        self._name, self._spoken = declared.name, spoken
        self._hearing = Hearing(self._name, unwrap=unwrap_for(request.options), has_tools=may_act)
        self._ended: FinishReason | None = None
        self.was_heard = False
        """The program has taken it up, so that it is part of the conversation."""

    @property
    def is_done(self) -> bool:
        """The process has ended the turn itself, and waits for the next."""
        return self._hearing.result is not None

    async def drive(self) -> None:
        """Until there is an answer, or none is waited for. Raises `ExecutorError`."""
        text = said_in(self._request.messages)
        message = {"role": "user", "content": text}
        self._program.on_sent(len(text.encode("utf-8", "surrogatepass")))
        await self._program.send({"type": "user", "message": message})
        watch = Patience(self._request.options, self._declared.silence_s)
        while not (self.is_done or self._ended or self._hearing.declined):
            line = await self._program.receive(watch)
            if isinstance(line, FinishReason):
                self._ended = line
            elif line.get("type") == "control_request":
                await self._permit(line)
                watch.made()
            else:
                self._hear(line, watch)

    def _hear(self, line: dict[str, Any], watch: Patience) -> None:
        self.was_heard = self.was_heard or line.get("type") in ("stream_event", "assistant")
        for said in self._hearing.hear(line):
            watch.made()
            self._spoken.say(said.piece, said.kind)
        self._ended = FinishReason.STOP if self._spoken.is_stopped else self._hearing.ended

    def reply(self, *, is_first: bool) -> PromptReply:
        """What it has come to. Raises a `ModelError`. `is_first`: of its conversation."""
        hearing, result = self._hearing, self._hearing.result
        if hearing.declined:
            raise DeclinedError(f"The model of {self._name!r} declined to answer.", executor=self._name)
        error = None if result is None else error_of(result, self._name, self._program.child.shown)
        if error is not None:
            raise error
        return self._spoken.reply(
            self._ended or FinishReason.STOP,
            model=hearing.model or self._request.model or self._declared.model or self._name,
            tokens=hearing.tokens,
            cost=None if result is None else cost_of(result, is_first=is_first),
        )

    async def interrupt(self) -> bool:
        """The turn is over before its end: whether the process has heard it, and waits for the next."""
        request = {"type": "control_request", "request_id": "stop", "request": {"subtype": "interrupt"}}
        with anyio.CancelScope(shield=True):
            try:
                with anyio.fail_after(INTERRUPT_S):
                    await self._program.child.send(request)
                    while (line := await self._program.child.receive()) is not None:
                        if line.get("type") == "result":
                            return True
            except Exception:  # whatever it is, the process is of no more use
                return False
        return False

    async def _permit(self, line: dict[str, Any]) -> None:
        """Answers what it may do itself."""
        asked = line.get("request")
        asked = asked if isinstance(asked, dict) else {}
        given = asked.get("input")
        given = given if isinstance(given, dict) else {}
        answer: dict[str, Any] = {"subtype": "success", "request_id": line.get("request_id")}
        if asked.get("subtype") != "can_use_tool":
            answer |= {"subtype": "error", "error": "not supported"}
        elif await may(self._wish(asked.get("tool_name"), given), self._declared, self._request):
            answer["response"] = {"behavior": "allow", "updatedInput": given}
        else:
            answer["response"] = {"behavior": "deny", "message": "The user does not allow this."}
        await self._program.send({"type": "control_response", "response": answer})

    def _wish(self, name: object, given: dict[str, Any]) -> Wish:
        tool = str(name or "a tool")
        details = json.dumps(given, ensure_ascii=False)
        return Wish(program=self._name, what=tool, details=details, deeds=deeds_of_claude(tool, given))
