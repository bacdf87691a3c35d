"""The benchmarks' own arithmetic, and the page that is made of what they measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import goals
from benchmarks.contenders import ALL, IDEALS, contender
from benchmarks.page import page
from benchmarks.results import Finding, save, spread
from benchmarks.seconds import STAGES, rows_of
from benchmarks.work import TOPICS, w12_workflow

from samovar.actions import parse_action
from samovar.library import Library

HERE = {"date": "2026-01-02", "machine": "two cores", "model": "tiny.gguf", "versions": "some"}


def results(folder: Path) -> Path:
    """What the commands write, with invented figures."""
    one = {"cpu_s": 8.0, "evaluated_tokens": 721, "generated_tokens": 250, "answers": []}
    rounds = {
        "samovar-1": [{**one, "wall_s": 4.0}, {**one, "wall_s": 2.0}, {**one, "wall_s": 8.0}],
        "server-4": [{**one, "wall_s": 8.0}, {**one, "wall_s": 4.0}],
    }
    missing = {"node-1": "there is no `node`"}
    save(folder, "peers", {**HERE, "pairs": 3, "rounds": rounds, "missing": missing})
    save(folder, "latency", {**HERE, "rows": [["opening", "0.2 ms"]]})
    save(folder, "seconds", {**HERE, "pairs": 5, "rows": [["sampling", "0.02", "0.03"]]})
    return folder


def test_a_spread_is_the_median_and_the_middle_half() -> None:
    assert str(spread([1.0, 2.0, 3.0, 4.0, 5.0])) == "3 (2 to 4)"
    assert str(spread([2.5])) == "2.5 (2.5 to 2.5)"


def test_every_contender_is_found_by_its_own_name() -> None:
    assert [contender(one.name) for one in ALL] == list(ALL)
    assert contender("fixed-2").name == "fixed-2"


def test_a_contender_with_fewer_rounds_is_compared_with_those_next_to_its_own(tmp_path: Path) -> None:
    text = page(results(tmp_path))
    assert "| xllamacpp's server object, 4 slots | 2 (2 to 2) | 6.00 | 8.00 | 721 |" in text
    assert "Not measured: node-llama-cpp, 1 sequence (there is no `node`)." in text
    assert "| opening | 0.2 ms |" in text
    assert "|  | Samovar | llama-cpp-python |" in text and "| sampling | 0.02 | 0.03 |" in text


def test_every_stage_is_in_the_table_of_seconds() -> None:
    found = {"ours": [{"load": 1.0, "all": 3.0}], "theirs": [{"load": 2.0, "all": 4.0}]}
    rows = {row[0]: row[1:] for row in rows_of(found)}
    assert len(rows) == len(STAGES)
    assert rows[STAGES["load"]] == ("1 (1 to 1)", "2 (2 to 2)")
    assert rows[STAGES["sampling"]] == ("0 (0 to 0)", "0 (0 to 0)")


def test_the_ideal_is_the_best_of_every_setting_of_direct_calls() -> None:
    settings = {(one.flash_attention, one.micro_batch_tokens) for one in IDEALS}
    assert settings == {(flash, size) for flash in (False, True) for size in (128, 512)}
    assert {one.name for one in IDEALS} <= {one.name for one in ALL}


def test_a_page_without_any_results_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--out"):
        page(tmp_path)


def test_a_line_measured_again_replaces_only_itself(tmp_path: Path) -> None:
    missed, met = (
        [Finding(what=f"it {number}", measured=f"{number} ms", goal="1 ms", is_met=number < 2, count=9)]
        for number in (3, 1)
    )
    goals.write(tmp_path, HERE, "fork", missed, 9)
    goals.write(tmp_path, HERE, "cancel", met, 9)
    goals.write(tmp_path, HERE, "fork", met, 9)
    lines = json.loads((tmp_path / "goals.json").read_text(encoding="utf-8"))["lines"]
    assert list(lines) == ["fork", "cancel"]
    assert "**no**" not in page(tmp_path)


def test_the_work_is_a_workflow_without_faults(tmp_path: Path) -> None:
    path = tmp_path / "w12.md"
    path.write_text(w12_workflow(), encoding="utf-8")
    workflow = Library([], parse_action).workflow(str(path))
    assert len(workflow.states) >= len(TOPICS)
