"""What is said where a run asks for something that its case does not tell.

Above: `stage.py`. Below: what was asked. Each says what was asked, and what to add to the case.
"""

from __future__ import annotations

from samovar.actions.question import Question
from samovar.executors.base import PromptRequest
from samovar.testing.asked import AskedCommand
from samovar.testing.difference import Difference
from samovar.testing.expectations import Told


def unanswered(path: str, told: Told[object] | None, visit: int, request: PromptRequest) -> Difference:
    sent = "\n".join("    " + line for line in request.messages[-1].content.splitlines())
    message = (
        f"{path!r} asked a prompt that the case has no answer to{_visit(told, visit)}. It was sent:\n{sent}\n"
    )
    return Difference(what="answer", name=path, message=message + _what_to_add("answers", path, told))


def untold_command(path: str, told: Told[object] | None, visit: int, asked: AskedCommand) -> Difference:
    shown = "\n".join("    " + line for line in asked.text.splitlines())
    message = f"{path!r} runs a command that the case has no result of{_visit(told, visit)}:\n{shown}\n"
    return Difference(what="shell", name=path, message=message + _what_to_add("commands", path, told))


def unreplied(path: str, told: Told[object] | None, visit: int, question: Question) -> Difference:
    message = (
        f"{path!r} asks a person what the case has no reply to{_visit(told, visit)}:\n    {question.text}\n"
    )
    return Difference(what="reply", name=path, message=message + _what_to_add("replies", path, told))


def _visit(told: Told[object] | None, visit: int) -> str:
    return "" if told is None else f" (its list has {len(told.values)}, and this is number {visit})"


def _what_to_add(key: str, path: str, told: Told[object] | None) -> str:
    if told is not None:
        return f"Add one to the list at {told.place}."
    return f"Add to the case, below `{key}:`\n    {path}: the text"
