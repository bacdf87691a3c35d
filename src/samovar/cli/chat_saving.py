"""Writes a conversation as a workflow that says the same again, one state for each thing that was said.

Above: `chat_commands.py`. Below: `yaml_text.py`. What was said stands as the default of a parameter: there no
part of it is read as anything but text, and each may be given anew when the workflow is run.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

from samovar.cli.chat_branches import ChatBranch, ChatExchange
from samovar.errors import UsageError
from samovar.files import LARGEST_FILE_BYTES
from samovar.generation import Options
from samovar.language.yaml_text import yaml_text


def workflow_of(branch: ChatBranch, options: Options, day: date) -> str:
    """The text of the workflow. Raises `UsageError` if there is nothing to write, or too much."""
    if not branch.exchanges:
        raise UsageError("Nothing was said yet, so there is nothing to save.")
    texts = [exchange.said.content for exchange in branch.exchanges]
    text = _front(branch, texts, day) + _diagram(len(texts)) + _actions(branch, options)
    if len(text.encode("utf-8", "replace")) > LARGEST_FILE_BYTES:
        most = LARGEST_FILE_BYTES // 1_000_000
        raise UsageError(f"The conversation is too long for a workflow's file, which has at most {most} MB.")
    return text


def _front(branch: ChatBranch, texts: list[str], day: date) -> str:
    front: dict[str, Any] = {"title": f"Conversation of {day.isoformat()}"}
    if branch.model is not None:
        front["model"] = branch.model
    if branch.executor is not None:
        front["executor"] = branch.executor
    parameters = [
        {"name": f"said_{number}", "type": "string", "default": text}
        for number, text in enumerate(texts, start=1)
    ]
    if branch.system is not None:
        parameters.insert(0, {"name": "system_text", "type": "string", "default": branch.system})
        front["system"] = "{{ system_text }}"
    return f"---\n{yaml_text(front | {'parameters': parameters})}---\n\n"


def _diagram(count: int) -> str:
    names = ["[*]", *(f"Turn{number}" for number in range(1, count + 1)), "[*]"]
    edges = "".join(f"    {before} --> {after}\n" for before, after in pairwise(names))
    return f"```mermaid\nstateDiagram-v2\n{edges}```\n\n"


def _actions(branch: ChatBranch, options: Options) -> str:
    how = f'session="chat" max_tokens={options.max_tokens} overflow="{options.overflow}"'
    lines = [
        f'- Turn{number}: Prompt "${{said_{number}}}" result="answer_{number}" using {how}{_tools(one)}\n'
        for number, one in enumerate(branch.exchanges, start=1)
    ]
    return f"## Actions\n\n{''.join(lines)}"


def _tools(exchange: ChatExchange) -> str:
    """What could be called, whether it was or not."""
    return f' tools="{", ".join(exchange.tools)}"' if exchange.tools else ""
