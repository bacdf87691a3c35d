"""What a visit did outside of its run is kept with its values: it is shown, and runs are compared by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samovar.cli.kept_diff import difference, show_difference
from samovar.cli.kept_pages import page_of
from samovar.cli.kept_showing import Narrowed, show_run
from samovar.journal.sqlite import SqliteJournal
from samovar.running.keeping import Keeping
from tests.bench import Bench, Told
from tests.test_kept_pages import SECRET, by_path, drive, given
from tests.test_tools import LINE, calls

pytestmark = pytest.mark.anyio

TEXT = """---
parameters: [{name: topic, default: tea}, {name: key, secret: true}, {name: evil}]
---
```mermaid
stateDiagram-v2
    [*] --> Run
    Run --> Start
    Start --> Save
    Save --> Add
    Add --> Rest
    Rest --> [*]
```

## Actions

- Run: Shell "true ${topic} ${key}" stdin="given ${topic}" env={"TOPIC":"${topic}"}
- Start: Command ["true", "${topic}"] working_dir="sub"
- Save: Write "FOLDER/a.txt" with value="about ${topic}"
- Add: Write "FOLDER/b.txt" append with value="${topic} ${key}"
- Rest: Wait 1ms
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "j.db")
    yield journal
    journal.close()


async def driven(journal: SqliteJournal, folder: Path, topic: str) -> dict[str, Any]:
    (folder / "sub").mkdir(exist_ok=True)
    return await drive(journal, folder, {"topic": topic}, text=TEXT.replace("FOLDER", str(folder)))


async def test_what_was_performed_is_kept_with_its_values_and_without_secrets(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = await driven(journal, tmp_path, "tea")
    assert by_path(run, "Run")["performed"] == [
        {
            "kind": "command",
            "what": "true tea [secret key]",
            "folder": str(tmp_path),
            "environment": {"TOPIC": "tea"},
            "text": "given tea",
        }
    ]
    [start] = by_path(run, "Start")["performed"]
    assert start == {"kind": "command", "what": "true tea", "folder": str(tmp_path / "sub")}
    [save], [add] = by_path(run, "Save")["performed"], by_path(run, "Add")["performed"]
    assert save == {"kind": "write", "what": f"{tmp_path}/a.txt", "text": "about tea"}
    assert add == {"kind": "append", "what": f"{tmp_path}/b.txt", "text": "tea [secret key]"}
    assert by_path(run, "Rest")["performed"] == [{"kind": "wait", "what": "0.001 s"}]
    assert not [file for file in tmp_path.glob("j.db*") if SECRET.encode() in file.read_bytes()]
    show_run(given(journal), run["run"], Narrowed(), as_json=False)
    said = capsys.readouterr().out
    for line in (
        "ran true tea [secret key]",
        "with TOPIC = tea",
        "standard input: given tea",
        "text: about tea",
    ):
        assert f"    {line}\n" in said
    assert f"in {tmp_path / 'sub'}" in said and "added to" in said
    page = page_of(run)
    assert "true tea [secret key]" in page and "given tea" in page and "about tea" in page


async def test_runs_that_did_something_else_part_there_whatever_came_of_it(
    journal: SqliteJournal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = [await driven(journal, tmp_path, topic) for topic in ("tea", "coffee")]
    found = difference(one, other)
    assert (found["parts"]["path"], found["parts"]["why"]) == ("Run", "input")
    assert {"-command: true tea [secret key]", "+command: true coffee [secret key]"} <= set(
        found["parts"]["diff"]
    )
    assert [(row["path"], row["why"]) for row in found["follows"]] == [
        ("Start", "input"),
        ("Save", "input"),
        ("Add", "input"),
    ]
    assert show_difference(given(journal), one["run"], other["run"], as_json=False) == 1
    assert "+given coffee" in capsys.readouterr().out
    same = await driven(journal, tmp_path, "tea")
    found = difference(one, same)
    assert found["parts"] is None and found["variables"] == []


async def test_an_edit_by_a_model_writes_a_file_and_adds_nothing_to_it(
    journal: SqliteJournal, bench: Bench
) -> None:
    bench.settings = replace(bench.settings, yes=True, keeping=Keeping(journal=journal))
    (bench.folder / "a.txt").write_text("one")
    told = Told([calls(("files.edit", {"path": "a.txt", "old": "one", "new": "two"})), "done"])
    run = await bench.run(bench.write("w", LINE, 'A: Prompt "x" using tools="files.edit"'), told)
    assert (bench.folder / "a.txt").read_text() == "two"
    [visit] = journal.visits(run.id)
    assert visit.outcome is not None
    assert [one.kind for one in visit.outcome.performed] == ["read", "write"]


async def test_a_visit_of_an_earlier_version_is_compared_by_what_is_known_of_it(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    one = await driven(journal, tmp_path, "tea")
    older = json.loads(json.dumps(one))
    for state in older["states"]:
        state.pop("performed", None)
    assert difference(one, older)["parts"] is None


def test_runs_part_where_a_model_called_another_tool_and_heard_the_same() -> None:
    def run(arguments: str) -> dict[str, Any]:
        answer = {
            "role": "assistant",
            "content": "",
            "calls": [{"id": arguments, "name": "t", "arguments": arguments}],
        }
        prompt = {
            "session": None,
            "fork": None,
            "messages": [{"role": "user", "content": "x"}],
            "answer": answer,
        }
        state = {
            "path": "A",
            "branch": None,
            "visit": 1,
            "number": 1,
            "status": "success",
            "prompts": [prompt],
        }
        begun = {
            "run": "r",
            "status": "completed",
            "given": {},
            "sources": {},
            "workflow": "w",
            "variables": {},
        }
        return {**begun, "states": [state]}

    found = difference(run('{"path": "a"}'), run('{"path": "b"}'))["parts"]
    assert found["why"] == "result" and any("path" in line for line in found["diff"])
