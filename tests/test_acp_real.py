"""A real agent of the Agent Client Protocol, offline: the model is a scripted endpoint on this machine.

Its path is in SAMOVAR_TEST_ACP; without that these are left out. From npm it is the package
`@zed-industries/claude-code-acp`, which brings Claude Code along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from samovar.config.declared import DeclaredExecutor
from samovar.executors.acp import AcpExecutor
from samovar.generation import FinishReason, PromptEvent, TextGenerated
from tests.endpoint import ScriptedServer, served
from tests.test_claude_code import ignore, parts_for, prompt

PROGRAM = os.environ.get("SAMOVAR_TEST_ACP", "")
SEEN = ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.claude,
    pytest.mark.skipif(not PROGRAM, reason="SAMOVAR_TEST_ACP names no program"),
]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with served() as one:
        for name, value in zip(SEEN, (one.url, "x", "1"), strict=True):
            monkeypatch.setenv(name, value)
        yield one


async def test_it_answers_goes_on_and_copies_offline(server: ScriptedServer) -> None:
    events: list[PromptEvent] = []
    declared = DeclaredExecutor(name="agent", kind="acp", command=(PROGRAM,), environment=SEEN)
    with anyio.fail_after(300):
        async with AcpExecutor(parts_for(declared)).open("run") as connection:
            first = await connection.ask(prompt("Say hello.", session="s"), events.append)
            second = await connection.ask(prompt("Again.", session="s"), ignore)
            copy = await connection.ask(prompt("And again.", fork="s"), ignore)
    told = [one.piece for one in events if isinstance(one, TextGenerated) and one.kind == "text"]
    assert "".join(told) == first.text == "1 messages"
    assert (second.text, copy.text) == ("3 messages", "5 messages"), "all that was said before is sent"
    assert {one.finish_reason for one in (first, second, copy)} == {FinishReason.STOP}
    assert first.cost is None
