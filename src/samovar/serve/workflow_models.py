"""Exposed workflows as models: an executor that answers a prompt by running one.

Above: the HTTP door, which offers them beside the models of this machine. Below: `runs.py`. The last message
of the user is what the workflow is given; what it is doing comes as reasoning, what it returns as the answer.
Of how a model would answer, sampling and the like, nothing is asked of a workflow.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio.to_thread

from samovar.errors import DeclinedError, ExecutorError, ModelNotFoundError, UsageError, nearest
from samovar.events import Ending, Event, StateEntered
from samovar.executors.base import Connection, OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import FinishReason, Message, MessagePart, TextGenerated
from samovar.language.parameters import Parameter
from samovar.language.tool_schemas import given_to, is_required
from samovar.language.workflow import Workflow
from samovar.serve.runs import ServedRun, WorkflowRuns
from samovar.values import read_json, to_text

PREFIX = "workflow/"
INPUT = "input"
"""The parameter that a message is for, if there is one of that name."""


class WorkflowExecutor:
    """See `executors.base.Executor`."""

    name = "workflow"

    def __init__(self, runs: WorkflowRuns) -> None:
        self._runs = runs

    def models(self) -> dict[str, Workflow]:
        """What it answers as: the exposed workflows, by the name that a client gives. It reads files."""
        return {PREFIX + name: workflow for name, workflow in self._runs.exposed().items()}

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Connection]:
        """See `Executor`. Nothing is kept between two prompts."""
        yield self

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        """See `Connection`. Raises `UsageError` for what the workflow cannot be given."""
        begun_s = time.monotonic()
        model = request.model or ""
        known = await anyio.to_thread.run_sync(self.models)
        if model not in known:
            raise ModelNotFoundError(f"There is no model {model[:200]!r}.{nearest(model[:200], known)}")
        if request.options.may_call or request.options.held_by:
            raise UsageError(f"{model} is a workflow, which calls no tools of others and has its own form.")
        thought: list[str] = []

        def hear(event: Event) -> None:
            if isinstance(event, StateEntered):
                line = f"{event.path}: {event.what}\n" if event.what else f"{event.path}\n"
                thought.append(line)
                on_event(TextGenerated(piece=line, kind="reasoning"))

        workflow = known[model]
        run = await self._runs.begin(workflow, given_by(workflow, request.messages), hear)
        text = _answer(run, self._runs)
        if text:
            on_event(TextGenerated(piece=text))
        parts = [MessagePart(kind="reasoning", text="".join(thought))] if thought else []
        return PromptReply(
            text=text,
            finish_reason=FinishReason.STOP,
            model=model,
            tokens=run.tokens,
            duration_s=time.monotonic() - begun_s,
            parts=(*parts, MessagePart(text=text)),
            executor=self.name,
        )


def given_by(workflow: Workflow, messages: tuple[Message, ...]) -> Mapping[str, object]:
    """The values that a conversation gives: its last message is the text that the workflow takes.

    For a workflow that takes none, or several, it is a map of its parameters, as JSON. Raises `UsageError`.
    """
    text = next((one.content for one in reversed(messages) if one.role == "user"), "")
    parameter = _of_message(workflow)
    if parameter is not None:
        return {parameter.name: text}
    names = [one.name for one in given_to(workflow)]
    if not names:
        return {}
    try:
        read = read_json(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise UsageError(
            f"The workflow {workflow.name!r} takes {', '.join(names)}: the last message of the user must be "
            "a map of them, as JSON."
        )
    return read


def _of_message(workflow: Workflow) -> Parameter | None:
    """The parameter that a message is for."""
    given = given_to(workflow)
    named = next((one for one in given if one.name == INPUT), None)
    if named is not None and named.type == "string":
        return named
    needed = [one for one in given if is_required(one)]
    texts = [one for one in needed or given if one.type == "string" and not one.choices]
    is_enough = len(texts) == 1 and len(needed) <= 1
    return texts[0] if is_enough else None


def _answer(run: ServedRun, runs: WorkflowRuns) -> str:
    """The result as text. Raises `DeclinedError` for a run that waits, `ExecutorError` for any other."""
    if run.ending is Ending.COMPLETED:
        return "" if run.result is None else run.result if isinstance(run.result, str) else _json(run.result)
    if run.ending is Ending.WAITING:
        asked = "; ".join(f"{one.text.strip()[:500]} ({runs.command_for(one)})" for one in run.questions)
        message = f"The run waits. The user answers in a terminal: {asked}"
        raise DeclinedError(message, executor=WorkflowExecutor.name)
    why = run.error.message if run.error else f"it was {run.ending}"
    raise ExecutorError(f"The run {run.id} did not complete: {why}", executor=WorkflowExecutor.name)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=to_text)
