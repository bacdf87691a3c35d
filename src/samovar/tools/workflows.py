"""`workflow.NAME`: a workflow as a tool, with its parameters as arguments and what it returns as the result.

Above: the table. Below: the library; the visit's context, which runs it as a sub-workflow: with the limits,
the gate and the record of any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from samovar.actions.tools import OfferedTool, ToolResult, failed
from samovar.errors import ChildError, NotFoundError, SamovarError, ToolError, UsageError
from samovar.generation import ToolDefinition
from samovar.language.tool_schemas import described, input_schema, tool_name
from samovar.language.workflow import Workflow
from samovar.tools.base import Here
from samovar.values import plain, to_text

SOURCE = "workflow"
MOST_DESCRIPTION_CHARS = 1000


class WorkflowTools:
    """See `base.Source`."""

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[OfferedTool]:
        return await here.context.compute(lambda: _tools(patterns, here))

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        try:
            value = await here.context.run_workflow(
                _written(name, here), arguments, timeout_s=None, place=here.place, is_tool=True
            )
        except (ChildError, UsageError) as error:
            return failed(error.message)
        found = plain(value)
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        return ToolResult(text=text, value=found)


def _tools(patterns: Sequence[str], here: Here) -> list[OfferedTool]:
    found: dict[str, OfferedTool] = {}
    for pattern in patterns:
        name = pattern.removeprefix(f"{SOURCE}.")
        if "*" not in name and "?" not in name:
            found[pattern] = _tool(pattern, _workflow(_written(name, here), here))
            continue
        for entry in here.context.library.workflows():
            own = f"{SOURCE}.{tool_name(entry.name)}"
            if entry.fault is None and fnmatchcase(own, pattern):
                workflow = _workflow(entry.name, here)
                if workflow.identity != here.context.workflow.identity:  # which would run itself
                    found[own] = _tool(own, workflow)
    return [found[name] for name in sorted(found)]


def _written(name: str, here: Here) -> str:
    """The workflow's name again."""
    known = [entry.name for entry in here.context.library.workflows()]
    return next((one for one in known if tool_name(one) == name), name)


def _workflow(name: str, here: Here) -> Workflow:
    try:
        return here.context.library.child(here.context.workflow, name)
    except NotFoundError:
        raise
    except SamovarError as error:
        message = f"The workflow {name!r} cannot be a tool: {error.message}"
        raise ToolError(message, tool=f"{SOURCE}.{name}", place=here.place) from error


def _tool(name: str, workflow: Workflow) -> OfferedTool:
    schema = input_schema(workflow)
    return OfferedTool(
        definition=ToolDefinition(
            name=name,
            description=described(workflow)[:MOST_DESCRIPTION_CHARS],
            parameters=json.dumps(schema, ensure_ascii=False, default=to_text),
        )
    )
