"""What the README shows is what the project does: its example, the example's run, its pictures."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "readme.py"))


def shown(name: str) -> str:
    """What the README has between the marks of this name."""
    found = re.search(rf"<!-- {name}: [^>]+ -->\n\n(.*?)\n\n<!-- end of {name} -->", README.read_text(), re.S)
    assert found
    return found[1]


def masked(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"[\d.]+ (?:ms|s|kB|MB|GB)\b|\d+", "N", text)


def test_its_example_and_its_figures_are_up_to_date(script: dict[str, Any]) -> None:
    draws = (ROOT / "docs" / "reviews.svg").read_text(encoding="utf-8")
    for path, text in script["generated"](shows=shown("run"), draws=draws).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/readme.py"


def test_its_example_is_a_whole_workflow_of_15_lines() -> None:
    lines = [line for line in shown("example").splitlines()[1:-1] if line.strip()]
    assert len(lines) <= 15 and len(shown("run").splitlines()) - 3 <= 12


@pytest.mark.slow
def test_a_run_of_its_example_shows_what_it_says(script: dict[str, Any]) -> None:
    assert masked(script["run"]()) == masked(shown("run"))


@pytest.mark.slow
def test_the_picture_is_that_of_the_diagram(script: dict[str, Any]) -> None:
    pytest.importorskip("mermaidx")
    assert script["picture"]() == (ROOT / "docs" / "reviews.svg").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_lines_of_python_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == str(["positive", "negative"] * 3) + "\n"
