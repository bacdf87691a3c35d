"""Every code of a fault is written down, and what is written down is true."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from samovar.checks.codes import Code, codes
from samovar.cli.checking import faults_of
from tests.test_layers import SOURCE

MAKERS = frozenset(("Fault", "add", "tell", "hint", "note", "_fault", "_warn", "_warning", "_fail"))
"""What makes a fault of a code that it is given, first or as `code`."""


def made() -> dict[str, str]:
    """The codes that the sources make, each with a place where."""
    found: dict[str, str] = {}
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "testing":  # faults of files of cases
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            words = [word.value for word in node.keywords if word.arg == "code"]
            if name == "RunError" or not (name in MAKERS or words):
                continue
            for value in (*node.args[:1], *words):
                text = value.value if isinstance(value, ast.Constant) else None
                if isinstance(text, str) and "-" in text and " " not in text:
                    found[text] = f"{path.name}:{node.lineno}"
    return found


@pytest.mark.slow
def test_every_code_that_is_made_is_written_down() -> None:
    assert {code: where for code, where in made().items() if code not in codes()} == {}


@pytest.mark.parametrize(
    "code", [one for one in codes().values() if not one.of_run], ids=lambda code: code.name
)
def test_the_example_of_a_code_has_it(code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(code.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(code.file)
    assert code.name in {fault.code for fault in faults_of(path)}
