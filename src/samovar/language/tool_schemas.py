"""A workflow as a tool: its name, and the schemas of what it takes and what it gives.

Above: the tools that are workflows, the check of exposed ones, the server that offers them. Below: the values
of a workflow. A secret is no part of a tool: a model would see it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from samovar.language.parameter_schemas import schema_of
from samovar.language.parameters import Parameter
from samovar.language.schemas import Schema
from samovar.language.workflow import Workflow
from samovar.values import plain

TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
OWN_TOOLS = ("run_status", "run_cancel")
"""What a server of workflows has for runs; no workflow takes their names."""
RESULT = "result"
"""The field of a result that has no names of its own."""


def tool_name(name: str) -> str:
    """The name of a workflow, as that of a tool can be."""
    return name.replace("/", ".").replace(" ", "-")


def described(workflow: Workflow) -> str:
    """What a tool says of itself."""
    return workflow.description or workflow.title or f"Runs the workflow {workflow.name}."


def given_to(workflow: Workflow) -> tuple[Parameter, ...]:
    """The parameters that are arguments of the tool."""
    return tuple(one for one in workflow.parameters if not one.secret)


def input_schema(workflow: Workflow) -> dict[str, Any]:
    """Of the arguments of the tool. There are no others."""
    given = given_to(workflow)
    return {
        "type": "object",
        "properties": {one.name: _argument(one) for one in given},
        "required": [one.name for one in given if is_required(one)],
        "additionalProperties": False,
    }


def is_required(parameter: Parameter) -> bool:
    """Whatever the others are, it has to be given."""
    return parameter.required and parameter.default is None and parameter.condition is None


def _argument(parameter: Parameter) -> Mapping[str, Any]:
    said = {"description": parameter.description} if parameter.description else {}
    default = {} if parameter.default is None else {"default": plain(parameter.default)}
    return {**schema_of(parameter), **said, **default}


def output_schema(workflow: Workflow) -> dict[str, Any]:
    """Of what the tool gives, which is always a map: of what has no names, one with the field `result`."""
    returns = workflow.returns
    if returns is None:
        fields: dict[str, Any] = {RESULT: {}}
    else:
        fields = {
            RESULT if returns.is_single else one.name: _field(one.form, one.description, one.may_lack)
            for one in returns.names
        }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _field(form: Schema | None, description: str, may_lack: bool) -> dict[str, Any]:
    said = {"description": description} if description else {}
    if form is None:
        return said
    return {**({"anyOf": [form, {"type": "null"}]} if may_lack else form), **said}


def output_of(workflow: Workflow, result: object) -> dict[str, Any]:
    """What a run gave, as `output_schema` says."""
    value = plain(result)
    has_names = workflow.returns is not None and not workflow.returns.is_single
    return dict(value) if has_names and isinstance(value, Mapping) else {RESULT: value}
