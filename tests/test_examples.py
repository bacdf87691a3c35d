"""The examples, and the workflows in the language page, run to their ends."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from samovar.actions import parse_action
from samovar.engines.base import ModelSpec
from samovar.engines.scripted import Script, ScriptedEngine, echo
from samovar.events import Ending, Event, VisitStatus
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.run import Run, Visit
from samovar.running.runner import Runner, RunnerSettings
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from tests.repositories import commit, git, repository

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = {
    re.findall(r"^title: (.*)$", block, re.M)[0]: block
    for block in re.findall(r"^````markdown\n(.*?)^````$", PAGE, re.S | re.M)
}
NEEDED: dict[str, dict[str, object]] = {
    "Triage": {"report": "It broke."},
    "Urgency": {"report": "It broke."},
    "reply": {"report": "It broke.", "summary": "Broken."},
    "release": {"version": "1.4.0", "since": "v1.3.0"},
}
SOLUTION = "def add(a, b):\n    return a + b\n"
SCRIPTS: Mapping[str, Script] = {"code": lambda _: "Here it is:\n```python\n" + SOLUTION + "```\n"}
OF_THEIR_PLACE = {"Fetch and sum up", "Write a function"}
"""Workflows of the page that run what only their place has; their cases are tried all the same."""
SHORT = [
    *(ROOT / "examples" / f"{name}.md" for name in ("code", "mails", "release")),
    *(
        ROOT / "src/samovar/builtin/workflows" / f"{name}.md"
        for name in ("best", "changelog", "review-files")
    ),
]


async def run(
    path: Path,
    variables: dict[str, object],
    folder: Path,
    script: Script = echo,
    *,
    ending: Ending = Ending.COMPLETED,
) -> Run:
    """Runs a workflow in a folder; without a script, the model says back what it is asked."""

    async def locate(reference: str, on_progress: OnFetchProgress) -> ModelSpec:
        return ModelSpec(reference=reference, path=path, context_tokens=None)

    events: list[Event] = []
    library = Library([], parse_action)
    with anyio.fail_after(60):
        async with Pool(ScriptedEngine(script), budget_bytes=1) as pool:
            sessions = Sessions(pool)
            executor = LocalExecutor(sessions, locate, default_model="m")
            given = RunnerSettings(folder=folder, yes=True)
            runner = Runner(library, executor, on_event=events.append, settings=given)
            done = await runner.run(prepare(str(path), variables, library, given.settings))
            sessions.check()
    assert done.ending is ending, done.error
    return done


def visit(run: Run, name: str) -> Visit:
    return next(one for one in run.visits if one.name == name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with the examples in it, and a release behind it."""
    repository(tmp_path)
    (tmp_path / "Makefile").write_text("test:\n\t@echo ok\n")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    commit(tmp_path, "First", tag="v1.3.0")
    (tmp_path / "clock.txt").write_text("tick\n")
    commit(tmp_path, "Add a clock")
    return tmp_path


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "examples").glob("*.md")))
async def test_every_example_runs_to_its_end(name: str, place: Path) -> None:
    path, needed = place / "examples" / f"{name}.md", dict(NEEDED.get(name, {}))
    done = await run(path, needed, place, SCRIPTS.get(name, echo))
    assert {one.status for one in done.visits} == {VisitStatus.SUCCESS}


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_what_engineers_want_most_takes_at_most_25_lines(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    diagram = re.findall(r"^```mermaid\n(.*?)^```$", text, re.S | re.M)[0]
    actions = re.findall(r"^## Actions\n(.*?)(?=^## |\Z)", text, re.S | re.M)[0]
    lines = [line for line in (diagram + actions).splitlines() if line.strip()]
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 130


async def test_code_that_passed_its_tests_is_in_its_file(place: Path) -> None:
    path = place / "examples" / "code.md"
    answers = iter([SOLUTION.replace("+", "-"), f"```python\n{SOLUTION}```"])
    done = await run(path, {}, place, lambda _: next(answers))
    assert (place / "add.py").read_text() == SOLUTION
    (attempt,) = visit(done, "Write").attempts
    assert "the command ended with status 1" in attempt.error.message


async def test_code_that_fails_its_tests_is_in_no_file(place: Path) -> None:
    before = sorted(place.rglob("*"))
    done = await run(place / "examples" / "code.md", {}, place, ending=Ending.ABORTED)
    assert len(visit(done, "Write").attempts) == 3
    assert "SyntaxError" in str(done.error)
    assert sorted(place.rglob("*")) == before


async def test_a_release_is_tagged_with_what_the_model_wrote(place: Path) -> None:
    await run(place / "examples" / "release.md", dict(NEEDED["release"]), place)
    assert git(place, "tag").split() == ["v1.3.0", "v1.4.0"]


@pytest.mark.parametrize("title", sorted(BLOCKS.keys() - OF_THEIR_PLACE))
async def test_every_workflow_in_the_language_page_runs_to_its_end(title: str, tmp_path: Path) -> None:
    path = tmp_path / "example.md"
    path.write_text(BLOCKS[title], encoding="utf-8")
    done = await run(path, dict(NEEDED.get(title, {})), ROOT)
    assert {one.status for one in done.visits} == {VisitStatus.SUCCESS}


async def test_branches_of_the_example_go_on_from_one_reading() -> None:
    done = await run(ROOT / "examples" / "compare.md", {}, ROOT)
    read = visit(done, "Read").figures
    assert read is not None
    for name in ("Praise", "Doubt", "Name"):
        one = visit(done, name)
        assert one.branch == name
        assert one.figures is not None and one.figures.fork == "reading"
        assert one.figures.tokens.reused >= read.tokens.evaluated
    for name in ("praise", "doubt", "verdict"):
        assert str(done.variables[name]) in str(done.variables["advice"])


async def test_a_copy_of_a_conversation_leaves_it_as_it_was_and_a_named_copy_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "interview.md"
    path.write_text(BLOCKS["Interview"], encoding="utf-8")
    done = await run(path, {}, ROOT)
    asked = {name: visit(done, name).figures for name in ("Recap", "Retell", "Shorten")}
    whole = {name: one.tokens.evaluated + one.tokens.reused for name, one in asked.items() if one is not None}
    assert whole["Retell"] == whole["Recap"] + 1, "one word more to say, and nothing of the other copy"
    assert whole["Shorten"] > whole["Retell"]
