"""The docs are what the code is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from samovar.actions import parse_action
from samovar.checks.checking import check_workflow
from samovar.library import Library

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "samovar"


@pytest.mark.parametrize("name", ["commands", "faults", "models"])
def test_a_generated_page_is_up_to_date(name: str) -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "docs.py"))[f"{name}_page"]()
    assert (ROOT / "docs" / f"{name}.md").read_text() == page, "run: python scripts/docs.py"


def test_every_module_is_in_the_architecture_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("## Where everything lives") : text.index("## Rules that stay")]
    for path in SOURCE.rglob("*.py"):
        name = path.name
        folder = path.parent.name
        if name in ("__init__.py", "base.py") or folder in ("actions", "cli", "models"):
            continue
        assert table.count(f"`{name}`") + table.count(f"`{folder}/{name}`") == 1, name


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def examples() -> list[tuple[str, str]]:
    """The ```markdown blocks of the language page that are whole workflows, by their title."""
    text = (ROOT / "docs" / "language.md").read_text()
    blocks = re.findall(r"^````markdown\n(.*?)^````$", text, re.S | re.M)
    return [(str(number), block) for number, block in enumerate(blocks)]


@pytest.mark.parametrize(("number", "block"), examples())
def test_every_workflow_in_the_language_page_checks_clean(number: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "example.md"
    path.write_text(block)
    library = Library([], parse_action)
    assert not check_workflow(library.workflow(str(path)), library)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.md")), ids=lambda path: path.stem)
def test_every_example_checks_clean(path: Path) -> None:
    library = Library([], parse_action)
    assert not check_workflow(library.workflow(str(path)), library)
