"""Exposed workflows as models: `workflow/NAME` answers a prompt with what it returns."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("mcp")

from samovar.errors import DeclinedError, ExecutorError, ModelNotFoundError, SamovarError, UsageError
from samovar.executors.base import PromptReply, PromptRequest
from samovar.generation import Message, Options, TextGenerated, ToolDefinition, joined
from samovar.serve.workflow_models import WorkflowExecutor
from tests.mcp_project import ASKING, ASKS, LINE, Opened, Project, project

__all__ = ["project"]
pytestmark = pytest.mark.anyio
NEEDED = "{name: n, type: integer, required: true}"
TEXT = "expose: true\nparameters: [{name: text, type: string, required: true}]"


async def ask(
    opened: Opened, model: str, text: str, *, options: Options | None = None
) -> tuple[PromptReply, list[Any]]:
    heard: list[Any] = []
    before = Message(role="user", content="Something else."), Message(role="assistant", content="Well.")
    request = PromptRequest(
        messages=(*before, Message(role="user", content=text)), model=model, options=options or Options()
    )
    async with WorkflowExecutor(opened.runs).open("r") as connection:
        return await connection.ask(request, heard.append), heard


async def test_the_last_message_is_what_the_workflow_is_given_and_its_result_is_the_answer(
    project: Project,
) -> None:
    project.write(
        "team/up", "[*] --> A\nA --> B\nB --> [*]", 'A: Prompt "x ${text}"\nB: Set result := text', TEXT
    )
    async with project.server() as opened:
        assert list(WorkflowExecutor(opened.runs).models()) == ["workflow/team.up"]
        reply, heard = await ask(opened, "workflow/team.up", "${1} {{ 2 }}")
    assert reply.text == "${1} {{ 2 }}" and reply.model == "workflow/team.up"
    assert reply.tokens.generated > 0
    said = [(one.kind, one.piece) for one in heard if isinstance(one, TextGenerated)]
    assert [kind for kind, _ in said] == ["reasoning", "reasoning", "text"]
    assert reply.reasoning.startswith("A: ") and "\nB: " in reply.reasoning
    assert joined(reply.parts) == reply.text == said[-1][1]


@pytest.mark.parametrize(
    ("parameters", "text", "result"),
    [
        (["{name: input}", "{name: text, required: true, default: d}"], "hi", {"input": "hi", "n": None}),
        (["{name: n, type: integer}", "{name: input, type: string}"], "hi", {"input": "hi", "n": None}),
        ([NEEDED, "{name: input, type: list}"], '{"n": 3}', {"input": None, "n": 3}),
        (
            ["{name: n, type: integer}", "{name: input, type: choice, choices: [a]}"],
            '{"n": 2, "input": "a"}',
            {"input": "a", "n": 2},
        ),
    ],
)
async def test_which_parameter_a_message_is_for(
    project: Project, parameters: list[str], text: str, result: dict[str, object]
) -> None:
    front = f"expose: true\nparameters: [{', '.join(parameters)}]\nreturns: [input, n]"
    project.write("w", LINE, "A: Set n := default(n, null)", front)
    async with project.server() as opened:
        reply, _ = await ask(opened, "workflow/w", text)
    assert json.loads(reply.text) == result


@pytest.mark.parametrize(
    ("front", "actions", "text", "error"),
    [
        (TEXT, "A: Set a := [1][5]", "x", ExecutorError),
        (
            f"expose: true\nparameters: [{NEEDED}]",
            "A: Set a := n",
            "x",
            UsageError,
        ),
        (
            f"expose: true\nparameters: [{NEEDED}]",
            "A: Set a := n",
            '{"n": "x"}',
            UsageError,
        ),
        (TEXT, 'A: Shell "touch pwned"', "x", UsageError),
        (TEXT, 'A: Ask "Which?" result="v"', "x", DeclinedError),
    ],
)
async def test_what_keeps_a_workflow_from_an_answer_is_a_typed_error(
    project: Project, front: str, actions: str, text: str, error: type[SamovarError]
) -> None:
    project.write("w", LINE, actions, front)
    async with project.server() as opened:
        with pytest.raises(error) as raised:
            await ask(opened, "workflow/w", text)
    if error is DeclinedError:
        assert "Which?" in str(raised.value) and "samovar answer" in str(raised.value)
    assert not (project.folder / "pwned").exists()


async def test_only_exposed_workflows_are_models_and_none_has_tools_or_a_form_of_others(
    project: Project,
) -> None:
    project.write("asks", ASKS, ASKING)
    project.write("hidden", ASKS, ASKING, "description: x")
    tool = ToolDefinition(name="t", description="", parameters='{"type": "object"}')
    async with project.server() as opened:
        for model in ("workflow/hidden", "hidden", "workflow/", "workflow/../asks", ""):
            with pytest.raises(ModelNotFoundError):
                await ask(opened, model, "x")
        for options in (Options(tools=(tool,)), Options(choices=("a", "b"))):
            with pytest.raises(UsageError, match="is a workflow"):
                await ask(opened, "workflow/asks", "x", options=options)
