"""Questions of runs that other programs began: asked by any client, answered by any, also after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

import mcp_types
from mcp import Client
from mcp.shared.exceptions import MCPError

from samovar.engines.scripted_calls import call_text
from tests.mcp_project import ASKING, ASKS, ERAS, LINE, Project, User, error_of, project, run_of, value_of
from tests.test_cli import samovar

__all__ = ["project"]
pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("era", ERAS)
WORD = "expose: true\nreturns: word"
"""Front matter of the workflow that asks."""


async def asked(client: Client, tool: str, given: dict[str, Any] | None = None) -> Any:
    """What a call gives of which the client leaves the questions open."""
    return await client.session.call_tool(tool, given or {}, allow_input_required=True)


async def answered(client: Client, tool: str, result: Any, **answers: str | bool) -> Any:
    """The same call again, with answers to what was asked."""
    responses: dict[str, Any] = {
        name: mcp_types.ElicitResult(action="accept", content={"answer": one})
        for name, one in answers.items()
    }
    return await client.session.call_tool(
        tool, {}, input_responses=responses, request_state=result.request_state, allow_input_required=True
    )


@both
async def test_the_user_of_a_client_is_asked_and_the_run_goes_on_with_the_answers(
    project: Project, era: str
) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    user = User(True, "blue")
    async with project.server() as opened, opened.client(era, elicitation_callback=user) as client:
        result = await client.call_tool("asks", {})
    assert value_of(result) == {"result": "blue"}
    assert [one.message for one in user.asked] == ["May I?", "Which word?"]
    fields = [one.requested_schema["properties"]["answer"] for one in user.asked]
    assert fields[0]["type"] == "boolean" and fields[1]["enum"] == ["red", "blue"]


@both
@pytest.mark.parametrize("says", [False, "decline"])
async def test_who_says_no_or_declines_refuses_an_approval(
    project: Project, era: str, says: str | bool
) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    user = User(says)
    async with project.server() as opened, opened.client(era, elicitation_callback=user) as client:
        assert value_of(await client.call_tool("asks", {})) == {"result": "refused"}


@both
@pytest.mark.parametrize(
    ("says", "said"), [("cancel", "The run waits"), (True, ""), ("green", "takes one of red, blue")]
)
async def test_a_run_whose_user_does_not_answer_waits_and_a_terminal_answers_it(
    project: Project, era: str, says: str | bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = project.folder.parent / f"{project.folder.name}-state"  # where `samovar` below has it
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    project.write("asks", ASKS, ASKING, WORD)
    user = User(True, says)
    async with project.server() as opened, opened.client(era, elicitation_callback=user) as client:
        error = error_of(await client.call_tool("asks", {}))
        assert said in error["message"] or "takes one of red, blue" in error["message"]
        [run] = value_of(await client.call_tool("run_status", {}))["runs"]
        way = f"samovar answer {run['run']} --question 2"
        assert way in error["message"]
        assert run["status"] == "waiting"
        [found] = value_of(await client.call_tool("run_status", {"run": run["run"]}))["runs"]
        assert found["questions"] == [{"state": "Word", "text": "Which word?", "choices": ["red", "blue"]}]
        done = samovar(project.folder, *way.split()[1:], "red", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["result"] == "red"
        [found] = value_of(await client.call_tool("run_status", {"run": run["run"]}))["runs"]
        assert found["status"] == "completed" and found["result"] == "red"


@both
async def test_a_client_that_asks_nobody_is_told_how_the_user_answers(project: Project, era: str) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    async with project.server() as opened, opened.client(era) as client:
        result = await client.call_tool("asks", {})
    error = error_of(result)
    assert error["code"] == "waiting" and "Ok asks: May I?" in error["message"]
    assert f"samovar answer {run_of(result)} --question 1" in error["message"]


async def test_another_client_answers_after_the_server_was_started_again(project: Project) -> None:
    project.write("asks", ASKS, f"{ASKING}\n", WORD)
    user = User()
    async with project.server() as opened, opened.client(elicitation_callback=user) as one:
        first = await asked(one, "asks")
        assert isinstance(first, mcp_types.InputRequiredResult) and list(first.input_requests or {}) == ["Ok"]
    async with project.server() as opened, opened.client(elicitation_callback=user) as other:
        second = await answered(other, "asks", first, Ok=True)
        assert isinstance(second, mcp_types.InputRequiredResult)
        assert list(second.input_requests or {}) == ["Word"]
    async with project.server() as opened, opened.client(elicitation_callback=user) as third:
        result = await answered(third, "asks", second, Word="red")
        assert value_of(result) == {"result": "red"}
        again = await answered(third, "asks", second, Word="blue")  # as a client whose reply was lost
        assert value_of(again) == {"result": "red"} and run_of(again) == run_of(result)
        runs = value_of(await third.call_tool("run_status", {}))["runs"]
    assert [one["status"] for one in runs] == ["completed"] and user.asked == []


async def test_the_state_of_a_call_is_sealed_and_bound_to_it(project: Project, tmp_path: Path) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    project.write("other", ASKS, ASKING, WORD)
    user = User()
    async with project.server() as opened, opened.client(elicitation_callback=user) as client:
        first = await asked(client, "asks")
        run = value_of(await client.call_tool("run_status", {}))["runs"][0]["run"]
        assert run not in first.request_state
        for tool, state in (
            ("other", first.request_state),
            ("asks", run),
            ("asks", first.request_state[:-4] + "AAAA"),
            ("asks", "v1."),
            ("asks", ""),
        ):
            forged = mcp_types.InputRequiredResult(request_state=state)
            with pytest.raises(MCPError, match="requestState"):
                await answered(client, tool, forged, Ok=True)
        with pytest.raises(MCPError, match="requestState"):
            await client.session.call_tool(
                "asks", {"x": 1}, request_state=first.request_state, allow_input_required=True
            )
        assert value_of(await client.call_tool("run_status", {}))["runs"][0]["status"] == "waiting"
    [key] = (tmp_path / "state").rglob("mcp.key")
    assert key.stat().st_mode & 0o777 == 0o600


async def test_what_is_asked_in_several_branches_is_asked_together(project: Project) -> None:
    nodes = "state F <<fork>>\nstate J <<join>>"
    diagram = f"{nodes}\n[*] --> F\nF --> L\nF --> R\nL --> J\nR --> J\nJ --> Z\nZ --> [*]"
    actions = 'L: Ask "Left?" result="l"\nR: Ask "Right?" result="r"\nZ: Set both := l + r'
    project.write("forks", diagram, actions, "expose: true\nreturns: both")
    async with project.server() as opened, opened.client(elicitation_callback=User()) as client:
        first = await asked(client, "forks")
        names = sorted(first.input_requests)
        assert len(names) == 2 and names[0].startswith("L") and names[1].startswith("R")
        second = await answered(client, "forks", first, **{names[1]: "b"})
        assert list(second.input_requests) == [names[0]]
        assert value_of(await answered(client, "forks", second, **{names[0]: "a"})) == {"result": "ab"}


async def test_a_workflow_that_has_changed_meanwhile_is_not_gone_on_with(project: Project) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    async with project.server() as opened, opened.client(elicitation_callback=User()) as client:
        first = await asked(client, "asks")
        project.write("asks", ASKS, ASKING.replace("refused", "changed"), WORD)
        error = error_of(await answered(client, "asks", first, Ok=True))
    assert error["code"] == "usage" and "has changed" in error["message"]


@both
async def test_what_a_model_may_do_is_asked_of_the_user_alone(
    project: Project, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client could say yes in place of the person whose files they are."""
    project.write("tools", LINE, 'A: Prompt "x" using tools="files.write"')
    monkeypatch.setenv("SAMOVAR_TRUST", "1")
    call = call_text("files.write", path="out", content="x")
    user = User()
    async with (
        project.server(lambda messages: call) as opened,
        opened.client(era, elicitation_callback=user) as client,
    ):
        error = error_of(await client.call_tool("tools", {}))
        assert error["code"] == "tool" and "nobody can be asked" in error["message"]
    assert user.asked == [] and not (project.folder / "out").exists()
