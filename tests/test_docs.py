"""The docs are what the code is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from samovar.actions import parse_action
from samovar.checks.checking import check_workflow
from samovar.library import Library
from tests.doc_page import DocPage
from tests.test_layers import DOORS, LAYERS, MODEL_HALF, RECORDS, WAIST, WORKFLOW_HALF

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "samovar"


def test_generated_files_are_up_to_date() -> None:
    for path, text in runpy.run_path(str(ROOT / "scripts" / "docs.py"))["generated"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/docs.py"


def test_the_architecture_page_has_the_layers_in_their_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:\.py|/)` \| [^|]+ \| ([\w ]+) \|$", text, re.M)
    assert tuple(name for name, _ in rows) == LAYERS
    parts = {"door": DOORS, "workflow half": WORKFLOW_HALF, "waist": WAIST, "model half": MODEL_HALF}
    assert dict(rows) == {
        name: part for part, names in (parts | {"record": RECORDS}).items() for name in names
    }


def test_every_path_that_a_page_names_is_there() -> None:
    for page in ("architecture.md", "engine.md", "glossary.md"):
        for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml|lark))`", (ROOT / "docs" / page).read_text()):
            assert any((root / name).exists() for root in (SOURCE, ROOT, ROOT / "src")), f"{page}: {name}"


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("page", "number"),
    [
        (page.stem, number)
        for page in sorted((ROOT / "docs").glob("*.md"))
        for number in range(len(DocPage(page.stem).blocks("markdown")))
    ],
)
def test_every_workflow_of_a_page_checks_clean(page: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / "example.md"
    path.write_text(DocPage(page).blocks("markdown")[number])
    library = Library([], parse_action)
    assert not check_workflow(library.workflow(str(path)), library)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.md")), ids=lambda path: path.stem)
def test_every_example_checks_clean(path: Path) -> None:
    library = Library([], parse_action)
    assert not check_workflow(library.workflow(str(path)), library)
