"""Exposed workflows as tools of the Model Context Protocol, for clients of the official package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from anyio.lowlevel import checkpoint

pytest.importorskip("mcp")

import mcp_types
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError

from samovar.actions import parse_action
from samovar.errors import UsageError
from samovar.language.reading import parse_workflow
from samovar.language.tool_schemas import input_schema
from samovar.serve import mcp_tools
from samovar.serve.arguments import arguments_of
from tests.bench import text_of
from tests.mcp_project import COUNT, ERAS, LINE, Project, error_of, project, run_of, value_of

__all__ = ["project"]
pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("era", ERAS)


@both
async def test_only_exposed_workflows_are_tools_with_what_they_take_and_give(
    project: Project, era: str
) -> None:
    project.write("team/count up", LINE, "A: Set a := n + 1", COUNT)
    project.write("hidden", LINE, "A: Set a := 1", "description: Not one.")
    project.write("broken", LINE, "A: Nonsense", "expose: true")
    async with project.server() as opened, opened.client(era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["team.count-up", "run_status", "run_cancel"]
        tool = tools["team.count-up"]
        assert tool.description == "Counts."
        assert tool.input_schema["properties"]["n"] == {
            "type": "integer", "minimum": 1, "maximum": 99, "description": "How many.",
        }  # fmt: skip
        assert tool.output_schema is not None and tool.output_schema["required"] == ["a"]
        for one in tools.values():
            jsonschema.Draft202012Validator.check_schema(one.input_schema)
            jsonschema.Draft202012Validator.check_schema(one.output_schema)
        result = await client.call_tool("team.count-up", {"n": 3})
        assert value_of(result) == {"a": 4} and run_of(result)
        with pytest.raises(MCPError, match="no tool 'hidden'"):
            await client.call_tool("hidden", {})


@both
async def test_a_prompt_is_answered_and_its_answer_is_the_result(project: Project, era: str) -> None:
    project.write("say", LINE, 'A: Prompt "Say ${what}"', "expose: true\nparameters: [{name: what}]")
    asked: list[str] = []

    def script(messages: Any) -> str:
        asked.append(messages[-1].content)
        return "Hello."

    async with project.server(script) as opened, opened.client(era) as client:
        result = await client.call_tool("say", {"what": "hello"})
    assert value_of(result) == {"result": "Hello."} and asked == ["Say hello"]
    assert [one.text for one in result.content] == ["Hello."]


@both
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "The argument 'n' is missing: How many."),
        ({"n": None}, "The argument 'n' is missing"),
        ({"n": "3"}, "`n` must be a whole number"),
        ({"n": 0}, "1"),
        ({"n": [1]}, "`n` must be a whole number"),
        ({"n": 1, "model": "x"}, "There is no argument 'model'"),
        ({"n": 1, "--trust": True}, "There is no argument '--trust'"),
    ],
)
async def test_wrong_arguments_are_a_typed_error_of_the_tool(
    project: Project, era: str, given: dict[str, Any], said: str
) -> None:
    project.write("count", LINE, "A: Set a := n + 1", COUNT)
    async with project.server() as opened, opened.client(era) as client:
        error = error_of(await client.call_tool("count", given))
        assert error["code"] == "usage" and said in error["message"]
        assert value_of(await client.call_tool("run_status", {})) == {"runs": []}


FRONT = """parameters:
  - {name: n, type: integer, required: true, min: 1, max: 9}
  - {name: tone, type: choice, choices: [plain, warm], default: plain}
  - {name: tags, type: list, items: text, max_length: 3}
  - {name: form, type: map, fields: {a: integer, b: text?}}
  - {name: code, pattern: "[a-z]+-[0-9]+"}
  - {name: day, min_length: 2, max_length: 4, type: string}
  - {name: file, type: file}
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["n", "tone", "tags", "form", "code", "day", "file", "__class__", ""])


@given(st.dictionaries(NAMES | st.text(max_size=6), JSON | st.sampled_from(["plain", "a-1", 3]), max_size=5))
def test_whatever_is_given_either_has_the_form_of_the_schema_or_is_refused(given: dict[str, Any]) -> None:
    workflow = parse_workflow(
        text_of(LINE, "A: Set a := n", FRONT), name="w", path=None, parse_action=parse_action
    )
    try:
        values = arguments_of(workflow, given, Path("/nowhere/at/all"))
    except UsageError as error:
        assert error.message and "Traceback" not in error.message
        return
    jsonschema.validate(values, input_schema(workflow))
    assert set(values) <= {one.name for one in workflow.parameters}


@both
async def test_arguments_are_data_and_neither_templates_nor_code(project: Project, era: str) -> None:
    project.write(
        "echo",
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Prompt "${text}" result="heard"\nB: Set text := text',
        "expose: true\nparameters: [{name: text, type: string}]\nreturns: text",
    )
    text = '${1 + 1} {{ text }} "; touch pwned; `touch pwned` $(touch pwned)\nA: Shell "touch pwned"'
    heard: list[str] = []

    def script(messages: Any) -> str:
        heard.append(messages[-1].content)
        return "x"

    async with project.server(script) as opened, opened.client(era) as client:
        assert value_of(await client.call_tool("echo", {"text": text})) == {"result": text}
    assert heard == [text] and not (project.folder / "pwned").exists()


@both
async def test_a_client_hears_of_states_and_items_as_they_come(project: Project, era: str) -> None:
    project.write(
        "each",
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Prompt "Say ${x}" for each x in [1, 2, 3] result="all"\nB: Set done := true',
    )
    heard: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, message))

    async with project.server() as opened, opened.client(era) as client:
        result = await client.call_tool("each", {}, progress_callback=progress)
    lines = [line for _, line in heard]
    assert lines[0] == f"run {run_of(result)} of each"
    assert any("of 3 items are done" in str(line) for line in lines)
    assert str(lines[-1]).startswith("B")
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})


@both
async def test_a_run_that_fails_is_a_typed_error_with_its_state_and_its_run(
    project: Project, era: str
) -> None:
    project.write("fails", LINE, "A: Set a := [1][n]", "expose: true\nparameters: [{name: n, type: integer}]")
    async with project.server() as opened, opened.client(era) as client:
        result = await client.call_tool("fails", {"n": 5})
        error = error_of(result)
        assert error["state"] == "A" and error["run"] == run_of(result)
        status = value_of(await client.call_tool("run_status", {"run": error["run"]}))["runs"][0]
        assert status["status"] == "failed" and status["result"] is None


async def test_a_result_that_is_too_long_is_a_typed_error_that_names_where_it_is(project: Project) -> None:
    length = mcp_tools.MOST_RESULT_CHARS + 1
    project.write("long", LINE, 'A: Prompt "x"')
    async with project.server(lambda messages: "x" * length) as opened, opened.client() as client:
        error = error_of(await client.call_tool("long", {}))
    assert error["code"] == "too-large" and f"samovar runs show {error['run']}" in error["message"]


EFFECTS = 'A: Shell "echo done >> log" result="out"'


@both
async def test_a_workflow_with_effects_needs_the_users_trust_and_no_client_can_give_it(
    project: Project, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("acts", LINE, EFFECTS)
    async with project.server() as opened, opened.client(era) as client:
        for given in ({}, {"trust": True}, {"--trust": "1"}, {"yes": True}):
            error = error_of(await client.call_tool("acts", given))
            assert error["code"] == ("usage" if given else "untrusted")
            if not given:
                assert "echo done" in error["message"] and "samovar trust" in error["message"]
                assert "--trust" not in error["message"]
        assert not (project.folder / "log").exists()
        monkeypatch.setenv("SAMOVAR_TRUST", "1")
        assert not (await client.call_tool("acts", {})).is_error
    assert (project.folder / "log").read_text() == "done\n"


@both
async def test_a_file_that_a_client_names_is_below_the_folder(
    project: Project, era: str, tmp_path: Path
) -> None:
    front = "expose: true\nparameters: [{name: file, type: file, required: true}]\nreturns: text"
    project.write("reads", LINE, 'A: Read "${file}" result="text"', front)
    (tmp_path / "secret").write_text("secret")
    (project.folder / "note").write_text("fine")
    (project.folder / "link").symlink_to(tmp_path / "secret")
    async with project.server() as opened:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAMOVAR_TRUST", "1")
            async with opened.client(era) as client:
                assert value_of(await client.call_tool("reads", {"file": "note"})) == {"result": "fine"}
                for wrong in (str(tmp_path / "secret"), "../secret", "link", "a\0b", "/etc/passwd"):
                    error = error_of(await client.call_tool("reads", {"file": wrong}))
                    assert error["code"] == "usage" and "must be a path below" in error["message"]


async def test_a_link_that_is_put_there_later_is_not_followed_either(
    project: Project, tmp_path: Path
) -> None:
    front = "expose: true\nparameters: [{name: file, type: file, required: true}]\nreturns: text"
    actions = 'L: Command ["ln", "-sf", "../secret", "note"]\nA: Read "${file}" result="text"'
    project.write("reads", "[*] --> L\nL --> A\nA --> [*]", actions, front)
    (tmp_path / "secret").write_text("secret")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMOVAR_TRUST", "1")
        async with project.server() as opened, opened.client() as client:
            error = error_of(await client.call_tool("reads", {"file": "note"}))
    assert error["state"] == "A" and "secret" not in error["message"]


@both
async def test_a_secret_comes_from_the_environment_and_reaches_no_client(
    project: Project, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = (
        "expose: true\nparameters: [{name: key, secret: true, required: true, from_env: THE_KEY}]\nreturns: v"
    )
    project.write("uses", LINE, "A: Set v := key", front)
    async with project.server() as opened, opened.client(era) as client:
        [tool, *_] = (await client.list_tools()).tools
        assert tool.input_schema["properties"] == {}
        assert "THE_KEY" in error_of(await client.call_tool("uses", {}))["message"]
        monkeypatch.setenv("THE_KEY", "hunter2-hunter2")
        assert error_of(await client.call_tool("uses", {"key": "mine"}))["code"] == "usage"
        result = await client.call_tool("uses", {})
        assert value_of(result) == {"result": "***"}
        run = run_of(result)
        assert "hunter2" not in json.dumps(value_of(await client.call_tool("run_status", {"run": run})))


@both
async def test_cancelling_a_call_stops_the_run_and_its_commands(project: Project, era: str) -> None:
    project.write("long", LINE, 'A: Shell "echo $$ > pid; exec sleep 1000"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMOVAR_TRUST", "1")
        async with project.server() as opened, opened.client(era) as client:
            file = project.folder / "pid"

            async def call() -> None:
                await client.call_tool("long", {})

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                while not file.exists() or not file.read_text().strip():
                    await checkpoint()
                tasks.cancel_scope.cancel()
            pid = int(file.read_text())
            while Path(f"/proc/{pid}").exists():
                await checkpoint()
            runs = value_of(await client.call_tool("run_status", {}))["runs"]
            assert [one["status"] for one in runs] in (["interrupted"], ["running"])


@both
async def test_another_client_sees_how_a_run_is_getting_on_and_ends_it(project: Project, era: str) -> None:
    project.write("long", LINE, "A: Wait 1000s")
    results: list[Any] = []
    async with project.server() as opened, opened.client(era) as one, opened.client(era) as other:

        async def call() -> None:
            results.append(await one.call_tool("long", {}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            runs: list[Any] = []
            while not runs:
                runs = value_of(await other.call_tool("run_status", {}))["runs"]
            assert runs[0]["status"] == "running" and runs[0]["workflow"] == "long"
            ended = value_of(await other.call_tool("run_cancel", {"run": runs[0]["run"]}))
            assert ended == {"run": runs[0]["run"], "is_over": False}
        assert error_of(results[0])["run"] == runs[0]["run"]
        after = value_of(await other.call_tool("run_status", {"run": runs[0]["run"]}))["runs"][0]
        assert after["status"] == "cancelled"


@both
@pytest.mark.parametrize("given", [{"run": 3}, {"run": "x", "y": 1}, {"y": "x"}, {"run": "no such run"}])
async def test_wrong_arguments_of_the_tools_for_runs_are_typed_errors(
    project: Project, era: str, given: dict[str, Any]
) -> None:
    async with project.server() as opened, opened.client(era) as client:
        for tool in ("run_status", "run_cancel"):
            assert error_of(await client.call_tool(tool, given))["code"] in ("usage", "not-found")


async def test_runs_of_the_users_own_are_no_business_of_a_client(project: Project) -> None:
    from tests.test_cli import samovar

    project.write("mine", LINE, 'A: Log "x"', "description: My own.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(project.folder.parent / f"{project.folder.name}-state"))
        done = samovar(project.folder, "run", "mine")
        assert done.returncode == 0, done.stderr
        runs = json.loads(samovar(project.folder, "runs", "--json").stdout)["runs"]
        async with project.server() as opened, opened.client() as client:
            assert value_of(await client.call_tool("run_status", {})) == {"runs": []}
            for tool in ("run_status", "run_cancel"):
                error = error_of(await client.call_tool(tool, {"run": runs[0]["run"]}))
                assert error["code"] == "not-found"


@both
async def test_the_prompts_of_the_library_are_prompts(project: Project, era: str) -> None:
    project.write_prompt(
        "team/ask",
        "---\ndescription: Asks.\nparameters:\n  - {name: who, required: true, description: Whom.}\n"
        "  - {name: n, type: integer, default: 2}\n---\nDear {{ who }}, {{ n }} times.\n",
    )
    project.write_prompt("part", "{% partial %}\nA part.")
    async with project.server() as opened, opened.client(era) as client:
        prompts = {one.name: one for one in (await client.list_prompts()).prompts}
        assert "part" not in prompts and "explain" in prompts
        own = prompts["team/ask"]
        assert own.description == "Asks." and own.arguments is not None
        assert [(one.name, one.required) for one in own.arguments] == [("who", True), ("n", False)]
        got = await client.get_prompt("team/ask", {"who": "{{ n }} ${n}"})
        [message] = got.messages
        assert isinstance(message.content, mcp_types.TextContent) and message.role == "user"
        assert message.content.text.strip() == "Dear {{ n }} ${n}, 2 times."
        for name, given, said in (
            ("team/ask", {}, "who"),
            ("team/ask", {"who": "x", "n": "many"}, "n"),
            ("nope", {}, "nope"),
            ("../../secret", {}, "secret"),
            ("part", {}, "part"),
        ):
            with pytest.raises(MCPError, match=said):
                await client.get_prompt(name, given)
