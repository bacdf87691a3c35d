"""The real program Claude Code, with the model API as its endpoint: nothing leaves the machine.

Its path is in SAMOVAR_TEST_CLAUDE; without that it is left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.engines.scripted_calls import call_text
from tests.model_api import behind_a_server

PROGRAM = os.environ.get("SAMOVAR_TEST_CLAUDE", "")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.claude,
    pytest.mark.skipif(not PROGRAM, reason="SAMOVAR_TEST_CLAUDE names no program"),
]


def environment(url: str, home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "x",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


async def answer_of(url: str, folder: Path, *words: str) -> dict[str, Any]:
    command = [PROGRAM, "-p", "--output-format", "json", *words, "Say hello."]
    with anyio.fail_after(300):
        done = await anyio.run_process(command, cwd=folder, env=environment(url, folder), check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def test_it_answers_with_all_of_its_own_tools(tmp_path: Path) -> None:
    async with behind_a_server("Hello from the samovar.", context_tokens=64_000) as api:
        result = await answer_of(api.url, tmp_path, "--model", "claude-sonnet-4-5")
    assert result["result"] == "Hello from the samovar." and not result["is_error"]
    assert result["usage"]["output_tokens"] > 0


async def test_it_uses_a_tool_that_the_model_calls(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The tea is ready.", encoding="utf-8")

    def script(messages: Any) -> str:
        last = messages[-1]
        if "The tea is ready." in last.content:
            return "It says: the tea is ready."
        return call_text("Read", file_path=str(tmp_path / "note.txt"))

    async with behind_a_server(script, context_tokens=64_000) as api:
        result = await answer_of(api.url, tmp_path, "--model", "claude-sonnet-4-5", "--allowedTools=Read")
    assert result["result"] == "It says: the tea is ready.", result


async def test_it_understands_that_its_prompt_is_too_long(tmp_path: Path) -> None:
    async with behind_a_server("Hello.", context_tokens=512) as api:
        command = [PROGRAM, "-p", "--output-format", "json", "--model", "claude-sonnet-4-5", "Say hello."]
        with anyio.fail_after(300):
            done = await anyio.run_process(
                command, cwd=tmp_path, env=environment(api.url, tmp_path), check=False
            )
    assert json.loads(done.stdout)["terminal_reason"] == "prompt_too_long"
