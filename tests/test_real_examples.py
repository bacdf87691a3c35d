"""The examples that write, run or ask something, on the default model: what must hold whatever it says."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.repositories import commit, git, repository

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with the examples in it, and a release behind it."""
    repository(tmp_path)
    (tmp_path / "Makefile").write_text("test:\n\t@echo ok\n")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    commit(tmp_path, "First", tag="v1.3.0")
    for message in ("Add a clock to the first page", "Stop at the end of a list"):
        commit(tmp_path, message)
    return tmp_path


def report_of(place: Path, model: Path, name: str, *arguments: str) -> dict[str, Any]:
    """What `--json` says of a run."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "samovar",
            "run",
            f"examples/{name}.md",
            "--json",
            "--model",
            str(model),
            *arguments,
        ],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert [model["loads"] for model in report["models"]] == [1]
    return report


def test_mails_become_a_table_with_one_row_for_each(real_model: Path, place: Path) -> None:
    report = report_of(place, real_model, "mails", "--table", "out/orders.csv")
    assert report["status"] == "completed"
    rows = list(csv.DictReader((place / "out" / "orders.csv").read_text().splitlines()))
    mails = sorted((place / "examples" / "mails").glob("*.txt"))
    assert [row["file"] for row in rows] == [str(path.relative_to(place)) for path in mails]
    for row in rows:
        assert list(row) == ["file", "name", "product", "count"]
        assert re.fullmatch(r"-?\d+", row["count"])
    assert [{**row, "count": str(row["count"])} for row in report["result"]["rows"]] == rows


def test_a_release_that_is_approved_is_tagged_with_its_notes(real_model: Path, place: Path) -> None:
    about = ("--version", "1.4.0", "--since", "v1.3.0")
    report = report_of(place, real_model, "release", *about, "--answer", "Approve=no")
    assert (report["status"], git(place, "tag").split()) == ("aborted", ["v1.3.0"])
    report = report_of(place, real_model, "release", *about, "--answer", "Approve=yes")
    assert report["status"] == "completed"
    read = report["result"]["read"]
    assert set(read) == {"notes", "breaking"} and isinstance(read["breaking"], bool)
    assert (
        git(place, "tag", "--list", "--format=%(contents:subject)", "v1.4.0").split() == read["notes"].split()
    )


def test_code_is_in_its_file_if_it_passed_and_only_then(real_model: Path, place: Path) -> None:
    report = report_of(place, real_model, "code", "--file", "out/add.py")
    written = place / "out" / "add.py"
    if report["status"] == "completed":
        assert written.read_text() == report["result"].rstrip("\n") + "\n"
        scope: dict[str, Any] = {}
        exec(written.read_text(), scope)
        assert scope["add"](2, 3) == 5
    else:
        assert report["error"]["message"].startswith("No answer passed the tests.")
        assert not written.exists()
