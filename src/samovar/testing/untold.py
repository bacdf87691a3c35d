"""The message if a run asks for something that its case does not have.

Above: `stage.py`. Below: what was asked. Each says what was asked, and what to add to the case.
"""

from __future__ import annotations

from typing import Any

from samovar.actions.question import Question
from samovar.executors.base import PromptRequest
from samovar.testing.asked import AskedCommand
from samovar.testing.difference import Difference
from samovar.testing.telling import Handed


def unanswered(path: str, handed: Handed[Any], request: PromptRequest) -> Difference:
    sent = "\n".join("    " + line for line in request.messages[-1].content.splitlines())
    message = (
        f"{path!r} asked a prompt that the case has no answer for{_visit(handed)}. It was sent:\n{sent}\n"
    )
    return Difference(what="answer", name=path, message=message + _what_to_add("answers", path, handed))


def untold_command(path: str, handed: Handed[Any], asked: AskedCommand) -> Difference:
    shown = "\n".join("    " + line for line in asked.text.splitlines())
    message = f"{path!r} runs a command that the case has no result for{_visit(handed)}:\n{shown}\n"
    return Difference(what="shell", name=path, message=message + _what_to_add("commands", path, handed))


def untold_result(path: str, handed: Handed[Any], tool: str) -> Difference:
    message = f"{path!r} calls {tool}, and the case has no result of that{_visit(handed)}.\n"
    return Difference(what="tool", name=path, message=message + _what_to_add("tools", path, handed))


def unreplied(path: str, handed: Handed[Any], question: Question) -> Difference:
    asked = f"{path!r} asks a person a question that the case has no reply for{_visit(handed)}:"
    message = f"{asked}\n    {question.text}\n"
    return Difference(what="reply", name=path, message=message + _what_to_add("replies", path, handed))


def _visit(handed: Handed[Any]) -> str:
    if handed.told is None:
        return ""
    return f" (its list has {len(handed.told.values)}, and this is number {handed.number})"


def _what_to_add(key: str, path: str, handed: Handed[Any]) -> str:
    if handed.told is not None:
        return f"Add one to the list at {handed.told.place}."
    return f"Add to the case, below `{key}:`\n    {path}: the text"
