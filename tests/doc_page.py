"""What the pages of docs/ have as examples, for tests that do them: tables, code blocks, whole workflows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samovar.cli.testing import CasesArguments, run_tests

DOCS = Path(__file__).parent.parent / "docs"
_WORKFLOW = re.compile(
    r"^````markdown\n(.*?)^````\n\n<details><summary>.*?</summary>\n\n```yaml\n(.*?)^```$", re.S | re.M
)


@dataclass(frozen=True, slots=True)
class DocPage:
    """One page. `name`: of its file, without `.md`."""

    name: str

    @property
    def text(self) -> str:
        return (DOCS / f"{self.name}.md").read_text(encoding="utf-8")

    def rows(self, head: str) -> list[list[str]]:
        """The cells of the tables whose head this is."""
        tables = re.findall(rf"^\| {re.escape(head)} \|\n\|[-|]+\|\n((?:\|.*\n)+)", self.text, re.M)
        assert len(tables) >= 1, head
        lines = "".join(tables).splitlines()
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]

    def blocks(self, kind: str) -> list[str]:
        """The texts of its code blocks of a kind, those within other blocks left out."""
        found = re.finditer(
            r"^(?P<fence>`{3,})(?P<kind>\w*)\n(?P<text>.*?)^(?P=fence)$", self.text, re.S | re.M
        )
        return [one["text"] for one in found if one["kind"] == kind]

    def workflows(self) -> list[tuple[str, str]]:
        """The whole workflows, each with the case below it."""
        found = _WORKFLOW.findall(self.text)
        assert len(found) == len(self.blocks("markdown")), f"{self.name}.md has a workflow without a case"
        return found


def codes(cell: str) -> list[str]:
    """The code spans of a cell, without the escape of its table."""
    return [span.replace("\\|", "|") for span in re.findall(r"`([^`]*)`", cell)]


def assert_cases_pass(workflow: str, cases: str, folder: Path, capsys: pytest.CaptureFixture[Any]) -> None:
    """Runs a workflow of a page on its cases."""
    (folder / "w.md").write_text(workflow, encoding="utf-8")
    (folder / "w.test.yaml").write_text(cases, encoding="utf-8")
    arguments = CasesArguments(
        paths=(folder / "w.md",), only=None, coverage_min=None, junit=None, lenient=False, as_json=False
    )
    status = run_tests(arguments)
    assert status == 0, capsys.readouterr().out
