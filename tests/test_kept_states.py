"""A kept run is listed, drawn and shown as far as it came, whatever its states are called."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samovar.cli.drawable import drawable, drawing_of, mermaid_of
from samovar.cli.kept_drawing import svg_of, text_of
from samovar.cli.kept_files import Output, export_run
from samovar.cli.kept_pages import page_of, write_page
from samovar.cli.kept_showing import Narrowed, show_run
from samovar.cli.runs import WantedRuns, list_runs
from samovar.errors import UsageError
from samovar.journal.base import Intent, KeptStep, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.sqlite import SqliteJournal
from tests.on_terminal import on_terminal
from tests.test_cli import environment
from tests.test_kept_pages import told

pytestmark = pytest.mark.anyio

TEXT = """```mermaid
stateDiagram-v2
    [*] --> Note
    Note --> Build
    state Build {
        [*] --> Ask
        Ask --> [*]
    }
    Build --> Last
    Last --> [*]
```

## Actions

- Note: Set n := 1
- Ask: Ask "Which?"
- Last: Log "x"
"""
UNFINISHED = {None: "interrupted", RunStatus.WAITING: "waiting", RunStatus.FAILED: "cancelled"}
"""How a visit without an outcome is, by the status of its run."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "j.db")
    yield journal
    journal.close()


async def begun(journal: SqliteJournal, folder: Path, status: RunStatus | None, run: str = "r1") -> None:
    """A run that has done its first state, and begun its second; without a status it is interrupted."""
    path = folder / "w.md"
    head = RunHead(id=run, workflow="w", path=path, folder="/", started_at=5.0, sources={str(path): TEXT})
    async with journal.begin(head) as driven:
        note, ask = VisitKey(path="Note"), VisitKey(path="Ask")
        await driven.intend(Intent(key=note, number=1, verb="set", entered_at=6.0, is_repeatable=True))
        await driven.leave(note, VisitOutcome(sets={"n": 1}, left_at=7.0, duration_s=1.0))
        await driven.step(KeptStep(source=note, target="Build", label="", at=7.0))
        await driven.intend(Intent(key=ask, number=2, verb="ask", entered_at=7.0, is_repeatable=True))
        if status is not None:
            await driven.end(status)


def given(journal: SqliteJournal) -> dict[str, object]:
    return {"journal_file": journal.file}


# How far it came --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", UNFINISHED)
async def test_what_has_not_ended_is_neither_drawn_nor_shown_as_done(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: RunStatus | None
) -> None:
    await begun(journal, tmp_path, status)
    run, how = told(journal, "r1"), UNFINISHED[status]
    assert [one["status"] for one in run["states"]] == ["success", how]
    drawing = str(text_of(run))
    assert "✓ Note 1 s" in drawing and "✓ Ask" not in drawing and "✓ Last" not in drawing
    mark = {"interrupted": "… Ask interrupted", "waiting": "? Ask waiting", "cancelled": "■ Ask"}[how]
    assert mark in drawing and "0 ms" not in drawing
    assert show_run(given(journal), "r1", Narrowed(), as_json=False) == 0
    assert f"2  Ask  ask  after 2 s, {how}" in capsys.readouterr().out
    page = page_of(run)
    assert f'<b class="{how}">2 Ask</b>' in page and f'class="{how}"><title>2  Ask: {how}</title>' in page


async def test_a_run_in_progress_is_shown_and_has_a_page(journal: SqliteJournal, tmp_path: Path) -> None:
    path = tmp_path / "w.md"
    head = RunHead(id="r2", workflow="w", path=path, folder="/", started_at=5.0, sources={str(path): TEXT})
    async with journal.begin(head) as driven:
        note = Intent(key=VisitKey(path="Note"), number=1, verb="set", entered_at=6.0, is_repeatable=True)
        await driven.intend(note)
        assert "… Note running" in str(text_of(told(journal, "r2")))
        write_page(given(journal), "r2", Output(path=tmp_path / "r2.html"))
    assert '<b class="running">1 Note</b>' in (tmp_path / "r2.html").read_text(encoding="utf-8")


@pytest.mark.slow
async def test_the_picture_of_an_unfinished_run_has_its_states_as_they_are(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    pytest.importorskip("mermaidx")
    await begun(journal, tmp_path, RunStatus.WAITING)
    drawn = str(svg_of(told(journal, "r1")))
    assert re.findall(r'class="((?:node|cluster) [^"]+)"', drawn).count("node success") == 1
    assert 'class="node waiting"' in drawn and 'class="cluster waiting"' in drawn
    assert drawn.count('class="edge taken"') == 3, "to Note, to Build, to what Build begins with"


async def test_items_are_drawn_in_their_composite_and_sub_workflows_are_not_drawn(tmp_path: Path) -> None:
    text = TEXT.replace("- Note: Set", "- Build: For each x in [1, 2]\n- Note: Set")
    path = str(tmp_path / "w.md")
    done: dict[str, Any] = {"status": "success", "duration_s": 1.0}
    states = [
        {"path": "Build", "status": "running"},
        {"path": "Build[0]/Ask", **done},
        {"path": "Build#2[1]/Ask", "status": "failure", "duration_s": 1.0},
        {"path": "Last[0]/Note", **done},
        {"path": "Last/Note", **done},
    ]
    run = {"workflow": "w", "path": path, "sources": {path: text}, "states": states, "steps": []}
    drawing = str(text_of(run))
    assert "✗ Ask ×2 2 s" in drawing and "✓ Note" not in drawing and "✓ Last" not in drawing


# Names ------------------------------------------------------------------------------------------------------

NAMES = (
    "note",
    "Note",
    "State",
    "End",
    "Class",
    "Direction",
    "default",
    "as",
    "Style",
    "click",
    "Title",
    "A-b",
)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_state_costs_a_drawing_an_edge(name: str) -> None:
    diagram = f"stateDiagram-v2\n[*] --> X\nX --> {name}\n{name} --> Y: why\nY --> [*]\n"
    drawing = drawing_of(diagram)
    assert sum(drawing.count(head) for head in "▼▲►◄") == 4 and f" {name} " in drawing and "why" in drawing
    id = drawable(diagram).ids[name]
    assert id.startswith("s_") and f'    state "{name}" as {id}\n' in mermaid_of(diagram)


def test_names_are_other_ids_wherever_they_are_and_keep_what_is_said_of_them() -> None:
    diagram = """stateDiagram-v2
    [*] --> Note: go
    state "Some text" as Class
    Note --> Class: Note
    state Give up {
        [*] --> s_Note
        s_Note --> [*]
    }
    state End <<fork>>
    Class --> s_Note Note --> End; End --> Note
    Note --> Give up
    note right of Note: Note
    class Note,X important
"""
    assert (
        mermaid_of(diagram)
        == """stateDiagram-v2
    state "Note" as s_Note_
    [*] --> s_Note_: go
    state "Some text" as s_Class
    s_Note_ --> s_Class: Note
    state "Give up" as s_Give_up {
        [*] --> s_Note
        s_Note --> [*]
    }
    state s_End <<fork>>
    s_Class --> s_Note
    s_Note_ --> s_End
    s_End --> s_Note_
    s_Note_ --> s_Give_up
    note right of s_Note_: Note
    class s_Note_,X important
"""
    )


@pytest.mark.slow
def test_mermaid_draws_all_edges_of_states_with_its_own_words_as_names() -> None:
    mermaidx = pytest.importorskip("mermaidx")
    lines = [f"    X --> {name}\n    {name} --> Y: why\n" for name in NAMES]
    drawn = str(mermaidx.render(mermaid_of("stateDiagram-v2\n" + "".join(lines))).svg())
    assert len(set(re.findall(r'data-id="(edge\d+)"', drawn))) == 2 * len(NAMES)


def test_a_composite_has_its_title_and_a_note_of_several_lines_is_no_state() -> None:
    drawing = drawing_of("""stateDiagram-v2
    [*] --> Build
    state "Build it all" as Build {
        [*] --> Draft
        Draft --> [*]
    }
    note left of Build
        careful
    end note
    Build --> [*]
""")
    assert "│ Build it all" in drawing and "│   careful   │" not in drawing


# The list ---------------------------------------------------------------------------------------------------


async def test_something_else_than_a_terminal_gets_every_column_whole(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await begun(journal, tmp_path, RunStatus.FAILED, run="20260504T093000-5ce75252")
    assert list_runs(given(journal), WantedRuns(), most=None, as_json=False) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "workflow", "status", "started", "took", "visits", "tokens"]
    assert line.startswith("20260504T093000-5ce75252  w         failed  1970-01-01")
    list_runs(given(journal), WantedRuns(status="completed"), most=None, as_json=False)
    assert "no kept run matches" in capsys.readouterr().err
    list_runs({"journal_file": tmp_path / "other.db"}, WantedRuns(), most=None, as_json=False)
    assert "no run is kept in" in capsys.readouterr().err and not (tmp_path / "other.db").exists()


NAME = "the workflow that makes the report of the night"


@pytest.mark.parametrize(("columns", "headings"), [(150, 7), (90, 6), (80, 5), (50, 3)])
async def test_a_terminal_gets_what_matters_most_and_no_name_is_cut(
    journal: SqliteJournal, tmp_path: Path, columns: int, headings: int
) -> None:
    for run in ("20260504T093000-5ce75252", "20260504T093100-5ce75253"):
        head = RunHead(id=run, workflow=NAME, path=None, folder="/", started_at=time.time())
        async with journal.begin(head):
            pass
    there = {**environment(tmp_path), "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    status, seen = on_terminal(tmp_path, "runs", "--journal", "j.db", environment=there)
    heading, *lines = [re.sub(r"\x1b\[\d*m", "", line).rstrip() for line in seen.splitlines()]
    assert status == 0 and max(map(len, [heading, *lines])) <= columns
    found, every = heading.split(), ["run", "workflow", "status", "started", "took", "visits", "tokens"]
    assert len(found) >= headings and found == every[: len(found)]
    names = " ".join(" ".join(lines).replace("interrupted", " ").split())
    assert "5ce75253" in names and all(word in names for word in NAME.split())


# Files ------------------------------------------------------------------------------------------------------


async def test_a_file_is_replaced_only_if_that_is_said_and_no_folder_is_made(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await begun(journal, tmp_path, None)
    mine = tmp_path / "mine.json"
    mine.write_text("mine", encoding="utf-8")
    for path, says in (
        (mine, "already exists"),
        (tmp_path / "typo" / "run.json", "there is no folder"),
        (tmp_path, "is a folder"),
    ):
        for write in (export_run, write_page):
            with pytest.raises(UsageError, match=says):
                write(given(journal), "r1", Output(path=path))
    assert mine.read_text(encoding="utf-8") == "mine" and not (tmp_path / "typo").exists()
    assert export_run(given(journal), "r1", Output(path=mine, replaces=True)) == 0
    assert '"samovar-run"' in mine.read_text(encoding="utf-8")
    capsys.readouterr()
    assert write_page(given(journal), "r1", Output(path=Path("-"))) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
