"""The built-in workflows and prompts: each runs as it is, on the engine that says what it is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.actions import parse_action
from samovar.app import open_library
from samovar.checks.checking import check_workflow
from samovar.cli.testing import CasesArguments, run_tests
from samovar.config import Settings
from samovar.engines.base import ModelSpec
from samovar.engines.scripted import Script, ScriptedEngine
from samovar.events import Ending, Event, Logged
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.generation import Message
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from tests.bench import paths
from tests.repositories import commit, git, repository

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent.parent / "src" / "samovar" / "builtin"
WORKFLOWS = sorted(path.stem for path in (FOLDER / "workflows").glob("*"))
PROMPTS = sorted(path.stem for path in (FOLDER / "prompts").glob("*"))


@pytest.fixture
def library() -> Library:
    return Library([("built-in", FOLDER)], parse_action)


async def locate(model: str, on_progress: OnFetchProgress) -> ModelSpec:
    return ModelSpec(reference=model, path=Path(model))


class Done:
    """A finished run, what it logged, and what was asked."""

    def __init__(self, run: Run, events: Sequence[Event], asked: Sequence[str]) -> None:
        self.run, self.asked = run, list(asked)
        self.log = [event.text for event in events if isinstance(event, Logged)]
        self.path = paths(run)


async def run_of(library: Library, name: str, folder: Path, script: Script, **given: object) -> Done:
    asked: list[str] = []
    events: list[Event] = []

    def noted(messages: Sequence[Message]) -> str:
        asked.append(messages[-1].content)
        return script(messages)

    with anyio.fail_after(60):
        async with Pool(ScriptedEngine(noted), budget_bytes=1) as pool:
            executor = LocalExecutor(Sessions(pool), locate, default_model="any")
            settings = RunnerSettings(folder=folder)
            runner = Runner(library, executor, on_event=events.append, settings=settings)
            run = await runner.run(prepare(name, given, library, Settings(), settings, needs_models=False))
    return Done(run, events, asked)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A repository whose only file has changed since its commit."""
    repository(tmp_path)
    (tmp_path / "a.txt").write_text("old line\n")
    commit(tmp_path, "First", tag="v1.0")
    (tmp_path / "a.txt").write_text("new line\n")
    return tmp_path


def test_the_library_of_every_folder_ends_with_them(tmp_path: Path) -> None:
    found = open_library(tmp_path)
    assert {entry.name for entry in found.workflows() if entry.source == "built-in"} == set(WORKFLOWS)
    assert {entry.name for entry in found.prompts() if entry.source == "built-in"} == set(PROMPTS)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_workflow_checks_clean_and_needs_nothing(library: Library, name: str) -> None:
    workflow = library.workflow(name)
    assert not check_workflow(workflow, library)
    assert workflow.description
    for parameter in workflow.parameters:
        assert parameter.description and parameter.default is not None, parameter.name


@pytest.mark.parametrize("name", PROMPTS)
def test_each_prompt_is_described_and_renders_with_its_required_values(library: Library, name: str) -> None:
    prompt = library.prompt(name)
    assert prompt.description
    needed = {one.name: "words of a text" for one in prompt.parameters if one.required}
    text = prompt.render(needed, {})
    assert all(value in text for value in needed.values())


@pytest.mark.parametrize("name", WORKFLOWS)
async def test_each_workflow_completes_as_it_is(library: Library, name: str, changed: Path) -> None:
    (changed / "note.md").write_text("It is about tea.\n")
    answer = '{"why": "It is well.", "verdict": "ok"}' if name == "review-files" else '{"name": "Ann"}'
    done = await run_of(library, name, changed, lambda messages: answer)
    assert done.run.ending is Ending.COMPLETED, done.run.error
    assert done.asked and (done.log or library.workflow(name).returns)


def test_their_cases_pass_and_cover_every_state_and_transition(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parent / "builtin"
    assert sorted(path.name.removesuffix(".test.yaml") for path in folder.iterdir()) == WORKFLOWS
    arguments = CasesArguments(
        paths=(folder,), only=None, coverage_min=100, junit=None, lenient=False, as_json=False
    )
    assert run_tests(arguments) == 0, capsys.readouterr().out


async def test_a_text_file_is_summed_up(library: Library, tmp_path: Path) -> None:
    (tmp_path / "my file.txt").write_text("Tea is ready.")
    done = await run_of(library, "summarise", tmp_path, lambda _: "Tea.", file="my file.txt", sentences=1)
    assert "Tea is ready." in done.asked[0] and "in one sentence" in done.asked[0]
    assert done.log == ["Tea."]


async def test_a_file_that_is_not_there_fails_the_run(library: Library, tmp_path: Path) -> None:
    done = await run_of(library, "summarise", tmp_path, lambda _: "Tea.", file="none.txt")
    assert done.run.ending is Ending.FAILED and not done.asked


async def test_the_uncommitted_changes_are_reviewed(library: Library, changed: Path) -> None:
    done = await run_of(library, "review", changed, lambda messages: "no", focus="clarity")
    assert "+new line" in done.asked[0] and "look at clarity most" in done.asked[0]
    assert done.path[-1] == "Hold"
    commit(changed, "Second")
    done = await run_of(library, "review", changed, lambda messages: "no")
    assert (done.path, done.asked) == (["Begin", "Look", "Nothing"], [])


@pytest.mark.parametrize("name", ["review", "commit-message"])
async def test_without_a_repository_it_is_said_how_a_diff_is_given(
    library: Library, name: str, tmp_path: Path
) -> None:
    done = await run_of(library, name, tmp_path, lambda messages: "x")
    assert done.run.ending is Ending.ABORTED
    assert "--var diff=@FILE" in str(done.run.error)
    done = await run_of(library, name, tmp_path, lambda messages: "x", diff="+ a line")
    assert done.run.ending is Ending.COMPLETED


async def test_what_is_staged_comes_before_what_has_only_changed(library: Library, changed: Path) -> None:
    done = await run_of(library, "commit-message", changed, lambda _: "Say new", style="conventional")
    assert "+new line" in done.asked[0] and "begins with feat:" in done.asked[0]
    (changed / "b.txt").write_text("staged line\n")
    git(changed, "add", "b.txt")
    done = await run_of(library, "commit-message", changed, lambda _: "Add b")
    assert "+staged line" in done.asked[0] and "+new line" not in done.asked[0]
    assert done.log == ["Add b"]


async def test_urgent_messages_are_told_as_warnings(library: Library, tmp_path: Path) -> None:
    done = await run_of(library, "triage", tmp_path, lambda messages: "yes")
    assert done.run.variables["kind"] == "bug"
    assert done.log[0] == "This is urgent: yes"


async def test_extraction_takes_the_object_out_of_its_wrapping(library: Library, tmp_path: Path) -> None:
    answer = 'Here it is:\n```json\n{"name": "Ann",\n "count": {"n": 2}}\n```\nAnything else?'
    done = await run_of(library, "extract", tmp_path, lambda _: answer)
    assert json.loads(str(done.run.variables["data"])) == {"name": "Ann", "count": {"n": 2}}


async def test_extraction_asks_again_and_gives_up_with_the_last_answer(
    library: Library, tmp_path: Path
) -> None:
    answers = iter(["none", "{broken", '{"a": 1}'])
    done = await run_of(library, "extract", tmp_path, lambda _: next(answers))
    assert done.path.count("Again") == 2
    assert done.run.variables["data"] == '{"a": 1}'
    done = await run_of(library, "extract", tmp_path, lambda _: "I cannot", attempts=2)
    assert done.run.ending is Ending.ABORTED
    assert "in 2 answers. The last one: I cannot" in str(done.run.error)


async def test_an_answer_is_given_from_the_files_of_a_folder(library: Library, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Tea needs three minutes.\n")
    (tmp_path / "b b.md").write_text("Coffee needs two.\n")
    (tmp_path / "c.txt").write_text("Nothing.\n")
    done = await run_of(library, "answer", tmp_path, lambda _: "Three minutes.", question="How long?")
    assert "three minutes" in done.asked[0] and "Coffee" in done.asked[0] and "Nothing" not in done.asked[0]
    (tmp_path / "a.md").write_text("é" * 500)
    done = await run_of(library, "answer", tmp_path, lambda _: "?", most_bytes=100)
    assert done.path[1] == "CutOff" and "100 bytes" in done.log[0]
    done = await run_of(library, "answer", tmp_path, lambda _: "?", pattern="*.none")
    assert done.run.ending is Ending.ABORTED and "*.none" in str(done.run.error)


async def test_the_views_start_from_one_reading(library: Library, tmp_path: Path) -> None:
    done = await run_of(library, "compare", tmp_path, lambda messages: f"{len(messages)} messages")
    assert done.run.variables["pro"] == done.run.variables["contra"] == "3 messages"
    assert done.run.variables["vote"] == "yes"


def test_a_nearer_prompt_takes_the_place_of_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "summarise.md").write_text("Mine: {{ text }}")
    library = Library([("project", tmp_path), ("built-in", FOLDER)], parse_action)
    prompt = library.prompt("summarise", workflow=library.workflow("summarise"))
    assert prompt.render({"text": "x"}, {}) == "Mine: x"


def test_no_file_of_the_library_is_left_out_of_a_package() -> None:
    """The wheel takes all that stands below the package and git does not ignore."""
    root = FOLDER.parent.parent.parent
    files = [str(path) for path in FOLDER.rglob("*") if path.is_file()]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *files], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout


async def test_each_file_of_a_change_is_reviewed_by_itself(library: Library, changed: Path) -> None:
    (changed / "b.txt").write_text("second line\n")
    git(changed, "add", "b.txt")
    done = await run_of(library, "review-files", changed, lambda _: '{"why": "No.", "verdict": "look"}')
    assert ["+new line" in text for text in done.asked] == [True, False]
    assert done.run.variables["doubtful"] == ["a.txt", "b.txt"]
    assert done.log == ["2 of 2 files: a.txt, b.txt"]
    done = await run_of(library, "review-files", changed, lambda _: "", diff="a text")
    assert done.run.ending is Ending.ABORTED and "not a diff" in str(done.run.error)


async def test_the_commits_since_a_tag_are_a_changelog(library: Library, changed: Path) -> None:
    commit(changed, "Say new `$(words)`")
    commit(changed, "Add a second line")
    kinds = iter([" Added", " Fixed"])
    done = await run_of(library, "changelog", changed, lambda _: next(kinds), since="v1.0")
    assert done.run.variables["changelog"] == (
        "### Added\n\n- Add a second line\n\n### Fixed\n\n- Say new `$(words)`"
    )
    done = await run_of(library, "changelog", changed, lambda _: " Added", since="v2.0")
    assert done.run.ending is Ending.ABORTED and "v2.0" in str(done.run.error)


def _holds(name: str, report: dict[str, Any]) -> bool:
    """What must be so of the workflows that return something, whatever the model says."""
    result: Any = report.get("result")
    if name == "best":
        return result in report["variables"]["answers"] and len(report["variables"]["answers"]) == 3
    if name == "changelog":
        return re.fullmatch(r"### (Added|Changed|Fixed)\n\n- First", result) is not None
    if name == "review-files":
        (one,) = result["findings"]
        doubtful = ["a.txt"] if one["verdict"] == "look" else []
        return (one["file"], result["doubtful"]) == ("a.txt", doubtful) and one["verdict"] in ("ok", "look")
    return True


@pytest.mark.real
@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_workflow_runs_on_the_default_model(real_model: Path, changed: Path, name: str) -> None:
    (changed / "note.md").write_text("The kettle is in the kitchen.\n")
    few = ["--var", "max_tokens=50"] if name in ("review", "summarise") else []
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", name, "--json", "--model", str(real_model), *few],
        cwd=changed,
        capture_output=True,
        text=True,
        timeout=600,
    )
    report = json.loads(done.stdout)
    # The smallest model need not write valid JSON; that is said, and no fault of the workflow.
    gave_up = name == "extract" and "There was no JSON object" in report.get("error", {}).get("message", "")
    assert gave_up or (done.returncode, report["status"]) == (0, "completed"), report.get("error")
    assert [model["loads"] for model in report["models"]] == [1]
    assert report["tokens"]["generated"] > 0
    assert _holds(name, report)
