"""Workflow files in the dialects of the older system: each loads, and ends as its author meant."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from samovar.actions import parse_action
from samovar.events import Event, Logged
from samovar.folders import find_project_folders
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from tests.bench import Told

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Meant:
    """What a file's author meant to happen."""

    path: str
    """The states in order, those of sub-workflows among them."""
    answers: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    log: str = ""
    """The last line."""
    ending: str = "completed"


FILES = {
    "first-steps": Meant("Start Ask Tell", ("Bonjour",), log="They said: Bonjour"),
    "welcome": Meant("Start Greet End", ("Hi",), {"person": "Eve", "warmly": "true"}, "Done: Hi"),
    "sampler": Meant("Start Warn Fail Remember Pause Ask Good Look Hello End", ("Hi",), {"who": "me"}, "Bye"),
    "passes": Meant("Begin Check Passed", log="passed"),
    "maybe": Meant("Say", log="Name: nobody, nowhere"),
    "until_green": Meant("checking loop work checking loop done", ("NO", "tests", "YES"), log="All green"),
    "whole_day": Meant(
        "start ask loop one one/pick one/green one/green/checking one/green/loop one/green/done "
        "ask loop finish",
        ("no", "the docs", "YES", "Yes"),
        log="Good night",
    ),
    "states_form": Meant("Fetch Judge Report", ("text",), log="Reported"),
    "bold": Meant("Step_One Step_Two", log="Count 1"),
    "in_diagram": Meant("A B", ("Hi",), log="first"),
    "parted": Meant("Begin fork1 Left Right join1 End", log="left done, right done"),
    "counting": Meant("Begin Decide Middle", log="in the middle"),
    "script": Meant("A B C E", log="ready"),
    "shellwork": Meant("Run Tell Set_it", log="Out: onetwo, code 0"),
    "quit": Meant("A", ending="aborted"),
    "inline": Meant("A C", ("hm",), {"are_we_done": ""}, "not done: hm"),
    "plan_it": Meant("start plan done", ("x",), log="Planned"),
    "raw": Meant("Only", log="raw"),
    "crlf": Meant("A", log="ok"),
    "typed_tags": Meant("Decide Theirs", log="theirs, in 1 folder"),
    "js_loop": Meant("look again look again look done", given={"name": "Oh YES"}, log="green after 2"),
    "codes": Meant("Build Broken Tell", log="Broken failed"),
    "worded": Meant("Ask Tests Repair Tell", ("make",), log="repaired with make"),
    "blocks": Meant("Whole Marked Pause Prose", log="marked"),
    "sub/one_task": Meant("pick green green/checking green/loop green/done", ("x", "YES"), log="All green"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(CORPUS, tmp_path / "project")
    return tmp_path / "project"


def test_every_file_of_the_corpus_is_told(folder: Path) -> None:
    root = folder / ".swissarmyhammer" / "workflows"
    names = {str(path.relative_to(root).with_suffix("")) for path in root.rglob("*") if path.is_file()}
    assert names == set(FILES)


@pytest.mark.anyio
@pytest.mark.parametrize("name", FILES)
async def test_an_old_file_ends_as_its_author_meant(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    meant, log = FILES[name], list[str]()
    library = Library(find_project_folders(folder), parse_action)

    def listen(event: Event) -> None:
        if isinstance(event, Logged):
            log.append(event.text)

    settings = RunnerSettings(folder=folder, yes=True, trusts=True)
    runner = Runner(library, Told(meant.answers), on_event=listen, settings=settings)
    with anyio.fail_after(60):
        prepared = prepare(name, meant.given, library, settings.settings, settings, needs_models=False)
        run: Run = await runner.run(prepared)
    assert (str(run.ending), [visit.path for visit in run.visits]) == (meant.ending, meant.path.split()), (
        run.error
    )
    assert not meant.log or log[-1] == meant.log
