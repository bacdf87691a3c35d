"""Cases of workflows whose prompts call tools: no model, no server and no page is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.actions.outside import ThisMachine
from samovar.actions.reached import ListedTools, ServerCall, Servers, VisitOf
from samovar.actions.tools import ToolResult
from samovar.config import Settings
from samovar.config.declared import DeclaredServer
from samovar.events import Ending
from samovar.generation import ToolDefinition
from samovar.running.runner import Runner, RunnerSettings
from samovar.testing.paths import Tree
from samovar.testing.recording import Recording, record
from tests.bench import Bench, Told, unchecked
from tests.test_testing import Cases
from tests.test_tools import LINE, calls

CASE = """
answers:
  A:
    - calls: [{name: git.log, arguments: {count: 2}}, {name: files.read, arguments: {path: a.txt}}]
    - calls: [{name: git.show, arguments: {}}]
    - done
tools:
  A: [two commits, {failed: there is no such commit}]
files: {a.txt: held}
expect: {variables: {v: done}}
"""
WORKFLOW = 'A: Prompt "x" result="v" using tools="git.*, files.read"'


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    return Cases(tmp_path)


def test_a_case_tells_calls_and_what_tools_give_back(cases: Cases) -> None:
    result = cases.result(cases.write(LINE, WORKFLOW), CASE)
    assert result.passed, result.differences


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("A: [two commits, {failed: there is no such commit}]", "A: [two commits]", "no result of that"),
        ("A: [two commits,", "A: [more, two commits,", "only 2 of 3 were used"),
        ("name: git.log", "name: svn.log", "only 1 of 2 were used"),
    ],
)
def test_a_case_that_does_not_suit_says_why(cases: Cases, old: str, new: str, said: str) -> None:
    result = cases.result(cases.write(LINE, WORKFLOW), CASE.replace(old, new))
    assert any(said in one.message for one in result.differences), result.differences


class ToldServers:
    """See `actions.reached.Servers`: one with one tool."""

    def stand_in(self, name: str) -> DeclaredServer | None:
        return None

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        return ListedTools(definitions=(ToolDefinition(name="log", description="", parameters="{}"),))

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        raise AssertionError("nothing has changed")

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        return ToolResult(text="three commits", is_error="bad" in call.arguments)

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        raise AssertionError("nothing is fetched")


class Machine(ThisMachine):
    """This machine with told servers."""

    def in_place_of(self, servers: Servers) -> Servers:
        return ToldServers()


def test_a_recorded_run_has_calls_and_results_and_passes_as_a_case(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "a.txt").write_text("held")
    wanted = calls(("git.log", {}), ("git.log", {"bad": 1}), ("files.read", {"path": "a.txt"}))
    told = Told([wanted, "done"])
    settings = Settings(servers=(DeclaredServer(name="git", command=("git",)),), allow=("tool:git.*",))
    recording = Recording(told, lambda event: None, Machine())
    run_settings = RunnerSettings(folder=tmp_path, settings=settings, outside=recording)
    runner = Runner(bench.library, recording, on_event=recording, settings=run_settings)
    workflow = bench.write("w", LINE, WORKFLOW)
    run = anyio.run(runner.run, unchecked(workflow))
    assert run.ending is Ending.COMPLETED, run.error
    tree = Tree(workflow, bench.library)
    values: dict[str, Any] = recording.values(tree, {}, run, folder=tmp_path)
    assert values["tools"] == {"A": ["three commits", {"failed": "three commits"}]}
    first, second = values["answers"]["A"]
    assert first["calls"][0] == {"name": "git.log", "arguments": {}} and second == "done"
    assert record(tmp_path / "w.test.yaml", tree, bench.library, values, lenient=False) == []
