"""Kept runs are shown, compared, exported and deleted: in full, quickly, and without a secret or markup."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.actions import parse_action
from samovar.app import open_scripted
from samovar.cli.keeping import find_run
from samovar.cli.kept_diff import difference, show_difference
from samovar.cli.kept_drawing import svg_of, text_of
from samovar.cli.kept_files import Output, export_run, prune_runs
from samovar.cli.kept_pages import page_of, write_page
from samovar.cli.kept_showing import Narrowed, show_run
from samovar.errors import NotFoundError, UsageError
from samovar.generation import Message
from samovar.journal.base import (
    Intent,
    KeptStep,
    RunHead,
    RunOrigin,
    RunStatus,
    RunSummary,
    VisitKey,
    VisitOutcome,
)
from samovar.journal.pruning import Retention
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.summaries import SUMMARY
from samovar.language.reading import parse_workflow
from samovar.library import Library
from samovar.running.keeping import Keeping
from samovar.running.kept_wire import kept_run_to_wire
from samovar.running.prepared import Prepared
from samovar.running.runner import Runner, RunnerSettings
from tests.test_journal import CountedMachine

pytestmark = pytest.mark.anyio

SECRET = "very-secret-token-5"
LONG = "All about tea, and what to do with it. " * 40
EVIL = '</pre><script>alert(1)</script> \x1b]0;title\x07 {{ 7 * 7 }} &amp; \u202e"'
TEXT = """---
parameters: [{name: topic, default: tea}, {name: key, secret: true}, {name: evil}]
---
```mermaid
stateDiagram-v2
    [*] --> Begin
    Begin --> Fork
    state Fork <<fork>>
    Fork --> Left
    Fork --> Right
    Left --> Join
    Right --> Join
    state Join <<join>>
    Join --> Count
    Count --> Count: n < 3
    Count --> Each
    Each --> Fails
    Fails --> Never: success
    Fails --> Last: failure
    Never --> Last
    Last --> [*]
```

## Actions

- Begin: Set n := 0
- Left: Shell "echo ${key}" result="left"
- Right: Prompt "LONG About ${topic}, with ${key}." result="right"
- Count: Set n := n + 1
- Each: Prompt "LONG Say ${x}." for each x in ["a", "b"] result="abouts"
- Fails: Shell "exit 3"
- Never: Log "never"
- Last: Log "${evil}"
""".replace("LONG", LONG)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "j.db")
    yield journal
    journal.close()


async def drive(
    journal: SqliteJournal, folder: Path, variables: Mapping[str, object] | None = None, text: str = TEXT
) -> dict[str, Any]:
    """A run that is kept, as its wire has it."""
    path = folder / "w.md"
    path.write_text(text, encoding="utf-8")
    workflow = parse_workflow(text, name="w", path=path, parse_action=parse_action)
    keeping = Keeping(journal=journal, sources={str(path): text}, resident_bytes=lambda: 5_000_000)
    options = RunnerSettings(keeping=keeping, outside=CountedMachine(Counter()), folder=folder)
    library = Library([], parse_action, start=folder)

    def answer(messages: Sequence[Message]) -> str:
        return f"You said: {messages[-1].content[-40:]}"

    given = {"topic": "tea", "key": SECRET, "evil": EVIL, **(variables or {})}
    async with open_scripted(answer) as executor:
        run = await Runner(library, executor, settings=options).run(
            Prepared(workflow=workflow, variables=given)
        )
    return told(journal, run.id)


def told(journal: SqliteJournal, run: str) -> dict[str, Any]:
    return kept_run_to_wire(journal, next(one for one in journal.runs() if one.id == run))


def given(journal: SqliteJournal) -> dict[str, object]:
    return {"journal_file": journal.file}


def by_path(run: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in run["states"] if one["path"] == path)
    return found


# What is kept ----------------------------------------------------------------------------------------------


async def test_a_run_keeps_prompts_answers_tokens_memory_and_the_path_it_took(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    run = await drive(journal, tmp_path)
    assert (run["format"], run["version"], run["status"]) == ("samovar-run", 1, "completed")
    right = by_path(run, "Right")
    [prompt] = right["prompts"]
    assert prompt["messages"] == [{"role": "user", "content": f"{LONG} About tea, with [secret key]."}]
    assert prompt["answer"]["content"] == right["value"] == run["variables"]["right"]
    assert right["model"] and right["tokens"]["generated"] > 0 and right["memory_bytes"] == 5_000_000
    assert prompt["tokens"] == right["tokens"]
    steps = [(one["from"], one["to"]) for one in run["steps"]]
    assert steps[:3] == [("Begin", "Fork"), ("Fork", "Left"), ("Fork", "Right")]
    assert steps.count(("Count", "Count")) == 2 and steps[-2:] == [("Fails", "Last"), ("Last", None)]
    assert run["sources"] == {str(tmp_path / "w.md"): TEXT}
    assert run["variables"]["evil"] == EVIL and run["variables"]["key"] == "[secret key]"
    assert by_path(run, "Fails")["error"]["code"] and by_path(run, "Fails")["status"] == "failure"


async def test_a_long_text_is_kept_once_for_all_visits_and_runs(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await drive(journal, tmp_path)
    having = "SELECT count(*) FROM text WHERE body LIKE ?"
    texts = rows(journal, having, f"%{LONG[:100]}%")
    await drive(journal, tmp_path)
    assert rows(journal, having, f"%{LONG[:100]}%") == texts
    loose = [text for (text,) in rows(journal, "SELECT outcome FROM visit") if text and LONG[:300] in text]
    assert loose == []
    [(same,)] = rows(journal, "SELECT count(*) FROM text WHERE body LIKE ?", f"%{LONG[:100]}%Say a.%")
    assert same == 1, "a prompt of an item, of both runs"


def rows(journal: SqliteJournal, query: str, *values: object) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(journal.file)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


async def test_a_failure_with_a_secret_in_its_message_is_kept_without_it(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    text = TEXT.replace('Log "${evil}"', 'Abort "because of ${key}"')
    run = await drive(journal, tmp_path, text=text)
    assert run["status"] == "aborted" and "because of" in run["message"]
    assert SECRET not in json.dumps(run)


@pytest.mark.slow
async def test_no_file_of_the_journal_no_export_and_no_page_has_a_secret(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    run = await drive(journal, tmp_path)
    export_run(given(journal), run["run"], Output(path=tmp_path / "run.json"))
    write_page(given(journal), run["run"], Output(path=tmp_path / "run.html"))
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    assert "[secret key]" in (tmp_path / "run.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == json.loads(json.dumps(run))


# Shown to a person -----------------------------------------------------------------------------------------


async def test_show_has_the_diagram_the_path_and_whole_prompts_and_answers(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = await drive(journal, tmp_path)
    assert show_run(given(journal), run["run"][-6:], Narrowed(), as_json=False) == 0
    said = capsys.readouterr().out
    assert "✓ Count ×3" in said and "✗ Fails" in said and "✓ Never" not in said
    assert "Count → Each" in said and "Fails → Last" in said and "Last → end" in said
    assert LONG.strip() in said and "About tea, with [secret key]." in said and "You said:" in said
    assert "5.0 MB" in said and SECRET not in said
    show_run(given(journal), run["run"], Narrowed(state="Right"), as_json=False)
    only = capsys.readouterr().out
    assert "Right" in only and "Count" not in only
    number = by_path(run, "Each[1]")["number"]
    show_run(given(journal), run["run"], Narrowed(visit=number), as_json=True)
    [one] = json.loads(capsys.readouterr().out)["states"]
    assert one["path"] == "Each[1]"
    for wrong in (Narrowed(state="Rihgt"), Narrowed(visit=999)):
        with pytest.raises(NotFoundError):
            show_run(given(journal), run["run"], wrong, as_json=False)


async def test_a_run_whose_file_is_gone_is_drawn_from_what_was_kept(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    run = await drive(journal, tmp_path)
    (tmp_path / "w.md").unlink()
    assert "✓ Begin" in str(text_of(told(journal, run["run"])))
    assert text_of({**run, "sources": {}}) is None
    assert text_of({**run, "sources": {run["path"]: "no workflow"}}) is None
    assert "not kept" in page_of({**run, "sources": {}})


# Where two runs part ---------------------------------------------------------------------------------------


async def test_runs_part_at_the_first_visit_whose_input_differs(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, same = await drive(journal, tmp_path), await drive(journal, tmp_path)
    other = await drive(journal, tmp_path, {"topic": "coffee"})
    found = difference(one, same)
    assert found["parts"] is None and found["follows"] == [] and found["same"] == len(one["states"])
    found = difference(one, other)
    assert found["begins"] == ["variable topic"]
    assert (found["parts"]["path"], found["parts"]["why"]) == ("Right", "input")
    assert any(line.startswith("-") and "tea" in line for line in found["parts"]["diff"])
    assert any(line.startswith("+") and "coffee" in line for line in found["parts"]["diff"])
    assert found["follows"] == [] and "right" in found["variables"]
    assert show_difference(given(journal), one["run"], other["run"], as_json=False) == 1
    assert "They differ first at Right in branch Right: different input" in capsys.readouterr().out
    assert show_difference(given(journal), one["run"], same["run"], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["parts"] is None


async def test_what_only_one_run_did_follows_from_where_they_part(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    one = await drive(journal, tmp_path)
    other = await drive(journal, tmp_path, text=TEXT.replace("n < 3", "n < 5"))
    found = difference(one, other)
    assert found["parts"]["path"] == "Count" and found["parts"]["why"] == "only in B"
    assert {row["why"] for row in found["follows"]} == {"only in B"}
    assert any(name.startswith("file ") for name in found["begins"])


# Deleted ---------------------------------------------------------------------------------------------------

HEAD = RunHead(id="r1", workflow="w", path=None, folder="/", started_at=5.0)


async def kept(
    journal: SqliteJournal, run: str, value: str, status: RunStatus | None, origin: str | None = None
) -> None:
    """A run of one visit; without a status it is interrupted."""
    head = RunHead(
        id=run,
        workflow="w",
        path=None,
        folder="/",
        started_at=5.0,
        variables={"x": value},
        origin=None if origin is None else RunOrigin(run=origin),
    )
    async with journal.begin(head) as driven:
        key = VisitKey(path="A")
        await driven.intend(Intent(key=key, number=1, verb="set", entered_at=1.0, is_repeatable=True))
        await driven.leave(key, VisitOutcome(value=[value, LONG]))
        await driven.step(KeptStep(source=key, target=None, label="", at=2.0))
        if status is not None:
            await driven.end(status)


async def test_prune_leaves_what_is_driven_or_waits_and_what_others_need(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = "y" * 1_200_000
    await kept(journal, "old", huge, RunStatus.COMPLETED)
    await kept(journal, "broken", "z" * 1_200_000, None)
    await kept(journal, "waits", huge, RunStatus.WAITING)
    age(journal)
    await kept(journal, "new", "n", RunStatus.FAILED)
    beside = tmp_path / "j.db.values"
    assert len(list(beside.iterdir())) == 2
    async with journal.begin(HEAD):
        age(journal, "r1")
        assert prune_runs(given(journal), older_than="30d", keep=None, dry_run=True, as_json=True) == 0
        would = json.loads(capsys.readouterr().out)
        assert {one["run"] for one in would["runs"]} == {"old", "broken"} and not would["deleted"]
        assert len(list(journal.runs())) == 5
        assert prune_runs(given(journal), older_than="30d", keep=None, dry_run=False, as_json=False) == 0
    assert {one.id for one in journal.runs()} == {"waits", "new", "r1"}
    assert len(list(beside.iterdir())) == 1, "the waiting run has that value too"
    [visit] = journal.visits("waits")
    assert visit.outcome and visit.outcome.value == [huge, LONG]
    for table in ("visit", "step", "used"):
        assert rows(journal, f"SELECT 1 FROM {table} WHERE run NOT IN (SELECT number FROM run)") == []
    assert rows(journal, "SELECT 1 FROM text WHERE digest NOT IN (SELECT digest FROM used)") == []
    prune_runs(given(journal), older_than=None, keep=1, dry_run=False, as_json=False)
    assert "waits" in {one.id for one in journal.runs()}
    with pytest.raises(UsageError, match="--older-than"):
        prune_runs(given(journal), older_than="soon", keep=None, dry_run=False, as_json=False)


async def test_a_run_stays_as_long_as_one_that_takes_from_it_can_continue(
    journal: SqliteJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    def prune(*, dry_run: bool) -> set[str]:
        prune_runs(given(journal), older_than="30d", keep=None, dry_run=dry_run, as_json=True)
        return {one["run"] for one in json.loads(capsys.readouterr().out)["runs"]}

    async def pruned_by(run: str, retention: Retention) -> set[str]:
        before, own = {one.id for one in journal.runs()}, SqliteJournal(journal.file, retention=retention)
        await kept(own, run, "x", RunStatus.COMPLETED)
        own.close()
        return before - {one.id for one in journal.runs()}

    await kept(journal, "first", "a", RunStatus.COMPLETED)
    await kept(journal, "unneeded", "b", RunStatus.COMPLETED)
    age(journal)
    await kept(journal, "again", "c", None, origin="first")
    assert prune(dry_run=True) == {"unneeded"} and journal.remove(["first"]) == []
    assert await pruned_by("other", Retention()) == {"unneeded"}
    age(journal)
    assert prune(dry_run=True) == {"first", "again", "other"}
    assert await pruned_by("last", Retention()) == {"first", "again", "other"}, "the one that needs it first"
    await kept(journal, "done", "c", RunStatus.COMPLETED, origin="last")
    age(journal, "last")
    assert prune(dry_run=False) == {"last"}, "what is over needs nothing"


def age(journal: SqliteJournal, run: str = "") -> None:
    """Runs were last touched a year ago."""
    connection = sqlite3.connect(journal.file)
    connection.execute("UPDATE run SET touched_at = 10 WHERE ? IN ('', id)", (run,))
    connection.commit()
    connection.close()


async def test_a_run_is_found_by_its_id_without_a_list_of_all_and_by_a_part_of_it(
    journal: SqliteJournal,
) -> None:
    class Unlisted(SqliteJournal):
        def runs(self, *, most: int | None = None) -> Iterator[RunSummary]:
            raise AssertionError("the whole list is read")

    for name in ("one-a", "one-b", "two"):
        await kept(journal, name, "x", RunStatus.COMPLETED)
    unlisted = Unlisted(journal.file)
    assert find_run(unlisted, "one-a").id == "one-a"
    assert find_run(journal, "wo").id == "two"
    with pytest.raises(UsageError, match="part of several ids: one-b, one-a"):
        find_run(journal, "one")
    with pytest.raises(NotFoundError, match="one-a"):
        find_run(journal, "one-aa")


async def test_pruning_gives_space_back(journal: SqliteJournal) -> None:
    for number in range(20):
        await kept(journal, f"r{number:02}", chr(97 + number) * 400_000, RunStatus.COMPLETED)
    journal.close()
    before = journal.file.stat().st_size
    assert before > 7_000_000
    assert len(journal.remove([f"r{number:02}" for number in range(19)])) == 19
    journal.close()
    assert journal.file.stat().st_size < before / 8
    assert rows(journal, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_that_a_row_needs_outlives_a_removal_that_did_not_end(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await kept(journal, "one", "y" * 1_200_000, RunStatus.COMPLETED)
    stray = tmp_path / "j.db.values" / ("0" * 64)
    stray.write_text("left by a process that was killed", encoding="utf-8")
    assert journal.remove(["nothing"]) == []
    assert not stray.exists()
    [visit] = journal.visits("one")
    assert visit.outcome is not None


# Speed -----------------------------------------------------------------------------------------------------


async def test_lists_read_no_visit_and_a_run_is_read_by_index(journal: SqliteJournal, tmp_path: Path) -> None:
    await drive(journal, tmp_path)
    from samovar.journal import sqlite

    plans = {
        name: " ".join(row[3] for row in rows(journal, f"EXPLAIN QUERY PLAN {query}", *values))
        for name, query, values in (
            ("list", f"{SUMMARY} ORDER BY started_at DESC, number DESC LIMIT 20", ()),
            ("visits", sqlite._VISITS, ("r1", 0, "[]")),
            ("steps", sqlite._STEPS, ("r1",)),
            ("text", "SELECT body FROM text WHERE digest = ?", ("d",)),
        )
    }
    assert "visit" not in plans["list"] and "run_started" in plans["list"] and "TEMP" not in plans["list"]
    for name in ("visits", "steps", "text"):
        assert not re.search("SCAN (visit|step|text|run)", plans[name]), plans


# The page --------------------------------------------------------------------------------------------------


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
async def test_the_page_holds_everything_and_no_text_becomes_markup(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    run = await drive(journal, tmp_path)
    for one in run["states"]:
        one["path"] = one["path"].replace("Never", EVIL)
    run["steps"].append({**run["steps"][0], "label": EVIL, "branch": EVIL, "to": EVIL})
    run["workflow"], run["message"], run["path"] = EVIL, EVIL, run["path"]
    page = page_of(run)
    reader = _Reader()
    reader.feed(page)
    assert reader.tags["script"] == 0 and "alert(1)" in reader.text and "{{ 7 * 7 }}" in reader.text
    assert "\x1b" not in page and "\u202e" not in page
    assert LONG.strip() in reader.text and "About tea, with [secret key]." in reader.text
    names = {name for name, _ in reader.attributes}
    assert not {"src", "style", "srcset", "action"} & names
    assert not [name for name in names if name.startswith("on")]
    links = [value for name, value in reader.attributes if name in ("href", "xlink:href")]
    assert links and all(str(value).startswith("#") for value in links)
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids)) and {str(one)[1:] for one in links} <= set(map(str, ids))
    [policy] = [value for _, value in reader.attributes if value and value.startswith("default-src")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", page) and "@import" not in page


@pytest.mark.slow
async def test_the_picture_has_the_path_and_nothing_but_a_drawing(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    pytest.importorskip("mermaidx")
    text = TEXT.replace("Begin --> Fork", 'Begin --> Fork\n    state "<b onclick=x>N</b>" as Never')
    drawn = str(svg_of(await drive(journal, tmp_path, text=text)))
    assert drawn.count('class="node failure"') == 1
    assert "<b " not in drawn and "<style" not in drawn and "onclick" not in re.sub(r">[^<]*<", "", drawn)
    marked = re.findall(r'class="(edge(?: taken)?)"', drawn)
    arrows = [line.split(":")[0].strip() for line in text.splitlines() if "-->" in line]
    not_taken = {number for number, kind in enumerate(marked) if kind == "edge"}
    assert len(marked) == len(arrows) and len(not_taken) == 2, "through Never"


@pytest.mark.slow
def test_a_note_and_a_composite_leave_each_edge_its_own(tmp_path: Path) -> None:
    pytest.importorskip("mermaidx")
    text = """```mermaid
stateDiagram-v2
    [*] --> Build
    state Build {
        [*] --> Draft
        Draft --> [*]
    }
    note right of Build: It is repeated
    Build --> Review
    Review --> Build: again
    Review --> [*]
```

## Actions

- Build: For each x in [1]
- Draft: Set n := 1
- Review: Log "x"
"""
    path = str(tmp_path / "w.md")
    pairs = [("Build[0]/Draft", "Build[0]/Build [*]"), ("Build", "Review"), ("Review", None)]
    steps = [{"from": one, "to": to, "branch": None, "visit": 1, "label": "", "at": 1.0} for one, to in pairs]
    states = [{"path": one, "status": "success"} for one in ("Build", "Build[0]/Draft", "Review")]
    run = {"workflow": "w", "path": path, "sources": {path: text}, "states": states, "steps": steps}
    drawn = str(svg_of(run))
    edges = re.findall(r'<path [^>]*id="my-svg-edge(\d+)"[^>]*class="([^"]*)"', drawn)
    assert {kind for number, kind in edges if number != "5"} == {"edge taken"}, edges
    assert [kind for _, kind in edges].count("edge") == 1, (
        "`again`; the note has an edge that is none of them"
    )
    assert drawn.count("node success") == 2 and "cluster success" in drawn


async def test_a_diagram_that_cannot_be_drawn_is_written_and_why_is_said(
    journal: SqliteJournal,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await drive(journal, tmp_path)
    fake = tmp_path / "lib" / "mermaidx.py"
    fake.parent.mkdir()
    fake.write_text('def render(*_, **__):\n    raise ValueError("no\\nengine")\n', encoding="utf-8")
    monkeypatch.syspath_prepend(fake.parent)
    monkeypatch.delitem(sys.modules, "mermaidx", raising=False)
    try:
        assert svg_of(run) is None
    finally:
        sys.modules.pop("mermaidx", None)
    assert (
        capsys.readouterr().err
        == "samovar: the page has the diagram as text, since it cannot be drawn: no engine\n"
    )


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser")
async def test_a_browser_shows_the_page_and_asks_nobody(journal: SqliteJournal, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    heard = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{heard.getsockname()[1]}/"
    evil = f'<img src="{address}"><style>@import "{address}"</style><link rel=icon href="{address}">'
    run = await drive(journal, tmp_path, {"evil": evil})
    page.write_text(page_of(run), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", "--enable-logging=stderr"]
    with anyio.fail_after(90):
        done = await anyio.run_process([str(BROWSER), *options, page.as_uri()], check=False)
    dom = done.stdout.decode()
    assert 'id="timeline"' in dom and "You said:" in dom and "&lt;img src=" in dom
    assert "Content Security Policy" not in done.stderr.decode(), "the page's own styles count"
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.accept()
    heard.close()
