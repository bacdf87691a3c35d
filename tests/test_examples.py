"""The examples, and the workflows in the language page, run to their ends."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest

from samovar.actions import parse_action
from samovar.engines.base import ModelSpec
from samovar.engines.scripted import ScriptedEngine
from samovar.events import Ending, Event, VisitStatus
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.run import Run, Visit
from samovar.running.runner import Runner, RunnerSettings
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = {
    re.findall(r"^title: (.*)$", block, re.M)[0]: block
    for block in re.findall(r"^````markdown\n(.*?)^````$", PAGE, re.S | re.M)
}
NEEDED = {"Triage": {"report": "It broke."}, "reply": {"report": "It broke.", "summary": "Broken."}}


async def run(path: Path, variables: dict[str, object]) -> Run:
    """Runs a workflow; the model says back what it is asked."""

    async def locate(reference: str, on_progress: OnFetchProgress) -> ModelSpec:
        return ModelSpec(reference=reference, path=path, context_tokens=None)

    events: list[Event] = []
    library = Library([], parse_action)
    with anyio.fail_after(60):
        async with Pool(ScriptedEngine(), budget_bytes=1) as pool:
            sessions = Sessions(pool)
            executor = LocalExecutor(sessions, locate, default_model="m")
            given = RunnerSettings(folder=ROOT)
            runner = Runner(library, executor, on_event=events.append, settings=given)
            done = await runner.run(prepare(str(path), variables, library, given.settings))
            sessions.check()
    assert done.ending is Ending.COMPLETED, done.error
    return done


def visit(run: Run, name: str) -> Visit:
    return next(one for one in run.visits if one.name == name)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.md")), ids=lambda path: path.stem)
async def test_every_example_runs_to_its_end(path: Path) -> None:
    done = await run(path, dict(NEEDED.get(path.stem, {})))
    assert {one.status for one in done.visits} == {VisitStatus.SUCCESS}


@pytest.mark.parametrize("title", BLOCKS)
async def test_every_workflow_in_the_language_page_runs_to_its_end(title: str, tmp_path: Path) -> None:
    path = tmp_path / "example.md"
    path.write_text(BLOCKS[title], encoding="utf-8")
    done = await run(path, dict(NEEDED.get(title, {})))
    assert {one.status for one in done.visits} == {VisitStatus.SUCCESS}


async def test_branches_of_the_example_go_on_from_one_reading() -> None:
    done = await run(ROOT / "examples" / "compare.md", {})
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
    done = await run(path, {})
    asked = {name: visit(done, name).figures for name in ("Recap", "Retell", "Shorten")}
    whole = {name: one.tokens.evaluated + one.tokens.reused for name, one in asked.items() if one is not None}
    assert whole["Retell"] == whole["Recap"] + 1, "one word more to say, and nothing of the other copy"
    assert whole["Shorten"] > whole["Retell"]
