"""An agent written with the protocol's own package, which misbehaves as the prompt says: for tests.

It answers `TURNS:TEXT`, or does what a word in the prompt names.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import acp
from acp.schema import (
    AgentCapabilities,
    ForkSessionResponse,
    InitializeResponse,
    NewSessionResponse,
    PermissionOption,
    PromptResponse,
    SessionCapabilities,
    SessionCloseCapabilities,
    SessionForkCapabilities,
    ToolCallUpdate,
    Usage,
)


def log(value: object) -> None:
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")


def spawn() -> None:
    """Leaves a program in a session of its own."""
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    subprocess.Popen(waits, stdout=subprocess.DEVNULL, start_new_session=True)


class FakeAgent:
    def __init__(self) -> None:
        self.sessions: dict[str, list[str]] = {}
        self.cancelled = asyncio.Event()
        self.client: Any = None

    def on_connect(self, client: Any) -> None:
        self.client = client

    async def initialize(self, protocol_version: int, client_capabilities: Any = None, **more: Any) -> Any:
        can = client_capabilities.model_dump(by_alias=True, exclude_none=True)
        log({"environment": dict(os.environ), "number": os.getpid(), "can": can})
        if "NOTHING" in sys.argv:
            await asyncio.sleep(600)
        sessions = SessionCapabilities(close=SessionCloseCapabilities())
        if "forks" in sys.argv:
            sessions.fork = SessionForkCapabilities()
        return InitializeResponse(
            protocol_version=99 if "newer" in sys.argv else protocol_version,
            agent_capabilities=AgentCapabilities(session_capabilities=sessions),
        )

    async def new_session(self, cwd: str, **more: Any) -> Any:
        if "login" in sys.argv:
            raise acp.RequestError.auth_required()
        number = f"s{len(self.sessions)}"
        self.sessions[number] = []
        return NewSessionResponse(session_id=number)

    async def fork_session(self, session_id: str, **more: Any) -> Any:
        number = f"s{len(self.sessions)}"
        self.sessions[number] = list(self.sessions[session_id])
        return ForkSessionResponse(session_id=number)

    async def close_session(self, session_id: str, **more: Any) -> None:
        log({"closed": session_id})

    async def cancel(self, session_id: str, **more: Any) -> None:
        self.cancelled.set()

    async def say(self, session: str, text: str) -> None:
        await self.client.session_update(session_id=session, update=acp.update_agent_message_text(text))

    async def prompt(self, session_id: str, prompt: list[Any], **more: Any) -> Any:
        text, said = prompt[0].text, self.sessions[session_id]
        said.append(text)
        log({"said": text})
        words = text.rpartition("Now answer this:")[2]
        if "SPAWN" in words:
            spawn()
        if "HANG" in words:
            await self.say(session_id, "Half")
            await (asyncio.sleep(600) if "DEAF" in words else self.cancelled.wait())
            self.cancelled.clear()
            return PromptResponse(stop_reason="cancelled")
        if "DIE" in words:
            sys.stderr.write("it went wrong\n")
            os._exit(3)
        if "DECLINE" in words:
            return PromptResponse(stop_reason="refusal")
        if "LONG" in words:
            await self.say(session_id, "too much")
            return PromptResponse(stop_reason="max_tokens")
        if "LIMITED" in words:
            raise acp.RequestError(-32603, "Rate limit exceeded")
        if "SENTENCE" in words:
            raise acp.RequestError(-32603, "It is down.")
        if "BROKEN" in words:
            raise acp.RequestError.internal_error()
        if "TOOLS" in words:
            answer = await self.ask(session_id, title="touch x", raw_input={"command": "touch x"})
            if "ENDLESS" in words:
                await self.cancelled.wait()
            return answer
        if "USES" in words:  # USES {what it asks for}
            return await self.ask(session_id, **json.loads(words[words.index("USES") + 4 :]))
        if "READS" in words:
            try:
                await self.client.read_text_file(session_id=session_id, path="/etc/passwd")
            except acp.RequestError as error:
                await self.say(session_id, str(error))
                return PromptResponse(stop_reason="end_turn")
        if "GARBAGE" in words:
            for line in ("not json", '{"method": "session/update", "params": {"update": 1}}', '{"id": 77}'):
                sys.stdout.write(line + "\n")
            sys.stdout.write('{"jsonrpc": "2.0", "method": "what/is/this", "params": {}}\n')
            sys.stdout.flush()
        if "THINK" in words:
            await self.client.session_update(
                session_id=session_id, update=acp.update_agent_thought_text("Hm.")
            )
        for piece in (f"{len(said)}:", text):
            await self.say(session_id, piece)
        usage = Usage(total_tokens=15, input_tokens=10 * len(said), output_tokens=5, cached_read_tokens=3)
        return PromptResponse(stop_reason="end_turn", usage=usage)

    async def ask(self, session: str, **wanted: Any) -> Any:
        options = [
            PermissionOption(option_id="always", name="Always", kind="allow_always"),
            PermissionOption(option_id="yes", name="Yes", kind="allow_once"),
            PermissionOption(option_id="no", name="No", kind="reject_once"),
        ]
        call = ToolCallUpdate.model_validate({"tool_call_id": "1", "title": "it", **wanted})
        answer = await self.client.request_permission(session_id=session, tool_call=call, options=options)
        await self.say(session, f"It was {answer.outcome.option_id}.")
        return PromptResponse(stop_reason="end_turn")


if __name__ == "__main__":
    agent: Any = FakeAgent()
    asyncio.run(acp.run_agent(agent, use_unstable_protocol=True))
