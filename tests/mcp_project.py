"""A project with exposed workflows, and clients of the official package that use them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp_types
import pytest
from mcp import Client

from samovar.config import load_settings
from samovar.engines.scripted import Script
from samovar.serve.mcp_opening import open_server
from samovar.serve.runs import WorkflowRuns
from tests.bench import text_of

ERAS = ("auto", "legacy")
"""The newer protocol, and the older one."""
LINE = "[*] --> A\nA --> [*]"
COUNT = """description: Counts.
expose: true
parameters: [{name: n, type: integer, required: true, description: How many., min: 1, max: 99}]
returns: {a: {type: integer}}"""
ASKS = "[*] --> Ok\nOk --> Word\nWord --> [*]\nOk --> No: failure\nNo --> [*]"
ASKING = """Ok: Approve "May I?"
Word: Ask "Which word?" choices="red|blue" result="word"
No: Set word := "refused\""""


class Project:
    """A folder, with the user's own folders beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / ".samovar"

    def write(self, name: str, diagram: str, actions: str, front: str = "expose: true") -> None:
        path = self.library / "workflows" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(diagram, actions, front), encoding="utf-8")

    def write_prompt(self, name: str, text: str) -> None:
        path = self.library / "prompts" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @asynccontextmanager
    async def server(self, script: Script | None = None, **settings: Any) -> AsyncIterator[Any]:
        """The server, and its runs as `server.runs`, as a process of its own would have them."""
        found = load_settings(settings)
        with anyio.fail_after(120):
            async with open_server(found, script=script or said) as (server, runs):
                yield Opened(server, runs)


class Opened:
    def __init__(self, server: Any, runs: WorkflowRuns) -> None:
        self.server, self.runs = server, runs

    def client(self, era: str = "auto", **options: Any) -> Client:
        return Client(self.server, mode=era, cache=None, **options)


def said(messages: Any) -> str:
    """What the scripted model answers."""
    return "Yes, of course."


class User:
    """Who is asked by a client. Says what it is told to, in turn."""

    def __init__(self, *says: str | bool) -> None:
        self.says = list(says)
        self.asked: list[mcp_types.ElicitRequestFormParams] = []

    async def __call__(self, context: object, params: Any) -> mcp_types.ElicitResult:
        self.asked.append(params)
        said = self.says.pop(0)
        if said in ("decline", "cancel"):
            return mcp_types.ElicitResult.model_validate({"action": said})
        return mcp_types.ElicitResult(action="accept", content={"answer": said})


def error_of(result: Any) -> Mapping[str, Any]:
    """Of a tool that failed: its code and message."""
    assert isinstance(result, mcp_types.CallToolResult) and result.is_error, result
    assert result.structured_content is not None
    [content] = result.content
    assert isinstance(content, mcp_types.TextContent)
    error: Mapping[str, Any] = result.structured_content["error"]
    assert content.text == error["message"] and "Traceback" not in content.text
    return error


def value_of(result: Any) -> Any:
    """Of a tool that did what it should."""
    assert isinstance(result, mcp_types.CallToolResult) and not result.is_error, result
    return result.structured_content


def run_of(result: Any) -> str:
    run: str = result.meta["samovar/run"]
    return run


def as_json(result: Any) -> str:
    return json.dumps(result.model_dump(mode="json"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in a folder with a blank in its name, which the process is in."""
    folder = tmp_path / "a project"
    (folder / ".git").mkdir(parents=True)
    for name, place in (("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")):
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.delenv("SAMOVAR_TRUST", raising=False)
    monkeypatch.chdir(folder)
    return Project(folder)
