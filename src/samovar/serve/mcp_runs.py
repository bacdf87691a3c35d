"""The tools for runs that last: how one is getting on, and that one is to end.

Above: `mcp_tools.py`. Below: `runs.py`. They know the runs that programs began, and no others of the user's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread
import mcp_types

from samovar.errors import UsageError
from samovar.journal.base import RunSummary
from samovar.serve.runs import WorkflowRuns

STATUS, CANCEL = "run_status", "run_cancel"
MOST_RUNS = 10
MOST_QUESTION_CHARS = 2_000
MOST_RESULT_CHARS = 1_000_000
_RUN = {"type": "string", "description": "The id of the run, as a result or an error has it."}
_STATE = {
    "type": "object",
    "properties": {
        "run": {"type": "string"},
        "workflow": {"type": "string"},
        "status": {"type": "string"},
        "started_at": {"type": "string"},
        "visits": {"type": "integer"},
        "message": {"type": "string"},
        "questions": {"type": "array", "items": {"type": "object"}},
        "result": {},
    },
    "required": ["run", "workflow", "status", "started_at", "visits", "message"],
}


class RunTools:
    """`run_status` and `run_cancel`."""

    def __init__(self, runs: WorkflowRuns) -> None:
        self._runs = runs

    def tools(self) -> list[mcp_types.Tool]:
        """Both of them."""
        return [
            mcp_types.Tool(
                name=STATUS,
                description=(
                    "Tells how a run of a workflow is getting on: running, waiting for an answer, or how it "
                    f"ended, with its result. Without `run`: the {MOST_RUNS} newest."
                ),
                input_schema={"type": "object", "properties": {"run": _RUN}, "additionalProperties": False},
                output_schema={
                    "type": "object",
                    "properties": {"runs": {"type": "array", "items": _STATE}},
                    "required": ["runs"],
                },
                annotations=mcp_types.ToolAnnotations(read_only_hint=True),
            ),
            mcp_types.Tool(
                name=CANCEL,
                description="Ends a run of a workflow, with the commands that it has started.",
                input_schema={
                    "type": "object",
                    "properties": {"run": _RUN},
                    "required": ["run"],
                    "additionalProperties": False,
                },
                output_schema={
                    "type": "object",
                    "properties": {"run": {"type": "string"}, "is_over": {"type": "boolean"}},
                    "required": ["run", "is_over"],
                },
            ),
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> mcp_types.CallToolResult | None:
        """What one of them gives; None for a tool that is none of them. Raises `SamovarError`."""
        if name not in (STATUS, CANCEL):
            return None
        run = arguments.get("run")
        if set(arguments) - {"run"} or not isinstance(run, str | None) or (name == CANCEL and run is None):
            raise UsageError(f"{name} takes one argument: `run`, the id of a run.")
        if name == CANCEL:
            is_over = await anyio.to_thread.run_sync(self._runs.cancel, str(run))
            return _result({"run": run, "is_over": is_over})
        return _result({"runs": await anyio.to_thread.run_sync(self._states, run)})

    def _states(self, run: str | None) -> list[dict[str, object]]:
        found = self._runs.newest(MOST_RUNS) if run is None else [self._runs.summary(run)]
        return [self._state(one, is_asked_for=run is not None) for one in found]

    def _state(self, found: RunSummary, *, is_asked_for: bool) -> dict[str, object]:
        state: dict[str, object] = {
            "run": found.id,
            "workflow": found.workflow,
            "status": str(found.status),
            "started_at": datetime.fromtimestamp(found.started_at, UTC).isoformat(timespec="seconds"),
            "visits": found.visits,
            "message": found.message,
        }
        if not is_asked_for:
            return state
        questions = self._runs.questions(found.id)
        state["questions"] = [
            {"state": str(one.key), "text": one.text[:MOST_QUESTION_CHARS], "choices": list(one.choices)}
            for one in questions
        ]
        if (ended := self._runs.result(found)) is not None:
            is_short = len(json.dumps(ended.result, ensure_ascii=False)) <= MOST_RESULT_CHARS
            state["result"] = ended.result if is_short else None
            state["message"] = found.message if is_short else f"The result is too long: {_show(found.id)}"
        return state


def _show(run: str) -> str:
    return f"`samovar runs show {run}` has it."


def _result(value: Mapping[str, Any]) -> mcp_types.CallToolResult:
    text = json.dumps(value, ensure_ascii=False)
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=text)], structured_content=dict(value)
    )
