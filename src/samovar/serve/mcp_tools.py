"""Exposed workflows as tools of the Model Context Protocol: listed, called, asked back, and told as results.

Above: `mcp_server.py`. Below: `runs.py`, forms of questions, the package `mcp`. A tool that fails is a result
that says so: only what is wrong with a message itself is an error of the protocol.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import anyio.to_thread
import mcp_types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from samovar.errors import SamovarError, UsageError
from samovar.events import Ending, RunError
from samovar.journal.people import KeptQuestion
from samovar.language.tool_schemas import described, input_schema, output_of, output_schema
from samovar.language.workflow import Workflow
from samovar.serve.mcp_runs import MOST_QUESTION_CHARS, RunTools
from samovar.serve.progress import Progress
from samovar.serve.questions import answer_in, form_of, requests_of
from samovar.serve.runs import ServedRun, WorkflowRuns
from samovar.values import to_text

MOST_DESCRIPTION_CHARS = 8_000
MOST_RESULT_CHARS = 1_000_000
MOST_ERROR_CHARS = 8_000
RUN = "samovar/run"
"""The key of a result's `_meta` that has the id of the run."""
Context = ServerRequestContext[Any, Any]
Called = mcp_types.CallToolResult | mcp_types.InputRequiredResult

log = logging.getLogger(__name__)


class ExposedTools:
    """The tools of one server."""

    def __init__(self, runs: WorkflowRuns) -> None:
        self._runs, self._own = runs, RunTools(runs)

    async def listed(
        self, context: Context, params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        """Those of the workflows, by name, and those for runs."""
        exposed = await anyio.to_thread.run_sync(self._runs.exposed)
        tools = [_tool(name, workflow) for name, workflow in sorted(exposed.items())]
        return mcp_types.ListToolsResult(tools=[*tools, *self._own.tools()])

    async def call(self, context: Context, params: mcp_types.CallToolRequestParams) -> Called:
        """Runs a workflow, or goes on with one whose question is answered. Raises `MCPError`."""
        try:
            if (own := await self._own.call(params.name, params.arguments or {})) is not None:
                return own
            exposed = await anyio.to_thread.run_sync(self._runs.exposed)
            if params.name not in exposed:
                raise MCPError(
                    code=mcp_types.INVALID_PARAMS, message=f"There is no tool {ascii(params.name)[:200]}."
                )
            return await _Call(self._runs, context, params, exposed[params.name]).result()
        except SamovarError as error:
            return failed(RunError.of(error))
        except MCPError:
            raise
        except Exception:  # a defect: it is ours, and nothing of it is shown to a program
            log.exception("A call of a tool failed.")
            return failed(RunError(code="internal", message="Samovar failed: its log has the reason."))


class _Call:
    """One call of a workflow's tool."""

    def __init__(
        self,
        runs: WorkflowRuns,
        context: Context,
        params: mcp_types.CallToolRequestParams,
        workflow: Workflow,
    ) -> None:
        self._runs, self._context, self._params, self._workflow = runs, context, params, workflow

    async def result(self) -> Called:
        progress = Progress(self._context.session.report_progress)
        async with progress.told():
            if self._params.request_state is None:
                run = await self._runs.begin(self._workflow, self._params.arguments or {}, progress.hear)
            else:
                run = await self._taken_up(self._params.request_state, progress)
            while run.ending is Ending.WAITING:
                if (asked := await self._asked(run)) is not None:
                    return asked
                run = await self._runs.go_on(run.id, progress.hear)
        return told(self._workflow, run)

    async def _taken_up(self, run: str, progress: Progress) -> ServedRun:
        """The run whose questions a client answers now, in whatever process they were asked."""
        given: Mapping[str, Any] = self._params.input_responses or {}
        found = await anyio.to_thread.run_sync(self._runs.summary, run)
        if found.workflow != self._workflow.name:
            raise UsageError(f"Run {run} is one of {found.workflow!r}, not of {self._workflow.name!r}.")
        if not found.status.is_over:
            for question in await anyio.to_thread.run_sync(self._runs.questions, run):
                if str(question.key) in given:
                    await self._answer(question, given[str(question.key)])
        return await self._runs.go_on(run, progress.hear)

    async def _answer(self, question: KeptQuestion, response: object) -> bool:
        """Whether it is answered by this. Raises `UsageError` for what is no answer."""
        try:
            text = answer_in(question, response)
        except ValueError as error:
            raise UsageError(
                f"{question.key} is not answered: {error}. The run still waits. The user answers in a "
                f"terminal: {self._runs.command_for(question)}"
            ) from None
        if text is None:
            return False
        await anyio.to_thread.run_sync(self._runs.answer, question, text)
        return True

    async def _asked(self, run: ServedRun) -> Called | None:
        """Asks the client's user what a run waits for. None: it is answered, and the run can go on."""
        session = self._context.session
        capabilities = session.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        takes_forms = elicitation is not None and (elicitation.form is not None or elicitation.url is None)
        if not run.questions or not takes_forms:
            return waits(run, self._runs)
        if session.protocol_version in MODERN_PROTOCOL_VERSIONS:
            if self._params.request_state is not None and not self._says_something():
                return waits(run, self._runs)
            return mcp_types.InputRequiredResult(
                input_requests=requests_of(run.questions), request_state=run.id
            )
        form = form_of(run.questions[0])
        response = await session.elicit_form(form.message, form.requested_schema, self._context.request_id)
        return None if await self._answer(run.questions[0], response) else waits(run, self._runs)

    def _says_something(self) -> bool:
        """The client's user did not only look away from all that was asked."""
        given = (self._params.input_responses or {}).values()
        return not given or any(getattr(one, "action", None) == "accept" for one in given)


def _tool(name: str, workflow: Workflow) -> mcp_types.Tool:
    said = described(workflow)
    if len(said) > MOST_DESCRIPTION_CHARS:
        said = said[:MOST_DESCRIPTION_CHARS] + " […]"
    return mcp_types.Tool(
        name=name,
        title=workflow.title,
        description=said,
        input_schema=_wire(input_schema(workflow)),
        output_schema=_wire(output_schema(workflow)),
    )


def _wire(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Only what JSON has, as of defaults."""
    found: dict[str, Any] = json.loads(json.dumps(schema, default=to_text))
    return found


def told(workflow: Workflow, run: ServedRun) -> mcp_types.CallToolResult:
    """The result of a run that is over."""
    if run.ending is not Ending.COMPLETED:
        error = run.error or RunError(code=str(run.ending), message=f"The run was {run.ending}.")
        return failed(error, run=run.id)
    output = json.loads(json.dumps(output_of(workflow, run.result), default=to_text))
    text = run.result if isinstance(run.result, str) else json.dumps(output, ensure_ascii=False)
    if len(text) > MOST_RESULT_CHARS:
        message = (
            f"The result has {len(text):,} characters; the most that a client gets is {MOST_RESULT_CHARS:,}. "
            f"`samovar runs show {run.id}` has it."
        )
        return failed(RunError(code="too-large", message=message), run=run.id)
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=text)],
        structured_content=output,
        _meta={RUN: run.id},
    )


def failed(error: RunError, *, run: str | None = None) -> mcp_types.CallToolResult:
    """What could not be done, with its code."""
    message = error.message
    if len(message) > MOST_ERROR_CHARS:
        message = f"{message[:MOST_ERROR_CHARS]} […]"
    fields = {"code": error.code, "message": message, "state": error.state, "run": run}
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=message)],
        structured_content={"error": {name: one for name, one in fields.items() if one is not None}},
        is_error=True,
        _meta=None if run is None else {RUN: run},
    )


def waits(run: ServedRun, runs: WorkflowRuns) -> mcp_types.CallToolResult:
    """A run waits for a person that this client cannot ask, or who did not answer."""
    lines = ["The run waits. The user answers in a terminal, and `run_status` then has the result."]
    for one in run.questions:
        asked = one.text.strip()[:MOST_QUESTION_CHARS] or "May it go on?"
        lines.append(f"{one.key} asks: {asked}\n  {runs.command_for(one)}")
    return failed(RunError(code="waiting", message="\n".join(lines)), run=run.id)
