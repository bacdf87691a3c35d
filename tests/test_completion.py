"""What the shell offers after Tab, by the protocol that its script speaks, and the help of a workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_cli import TIMEOUT_S, environment, samovar
from tests.warm import warm

FLOW = """\
---
description: Sends a parcel
parameters:
  - name: person_name
    description: To whom
    required: true
  - {name: speed, description: How fast, type: choice, choices: [slow, fast], default: slow}
  - {name: gift, type: bool, default: false}
  - {name: weight, type: int, min: 1, max: 30, default: 2}
  - {name: code, secret: true, default: hunter2, pattern: "[a-z0-9]+"}
  - {name: street, required: true, condition: "speed == 'slow'"}
parameter_groups:
  - {name: goods, description: What is sent, parameters: [gift, weight]}
---
```mermaid
stateDiagram-v2
[*] --> A
A --> [*]
```
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".samovar/workflows/post").mkdir(parents=True)
    (tmp_path / ".samovar/workflows/parcel.md").write_text(FLOW)
    (tmp_path / ".samovar/workflows/post/card.md").write_text(FLOW)
    (tmp_path / ".samovar/workflows/broken.md").write_text("no diagram")
    (tmp_path / "parks").mkdir()
    (tmp_path / "parks/own.md").write_text(FLOW)
    (tmp_path / "parks/picture.png").write_text("")
    return tmp_path


def offered(folder: Path, line: str, shell: str = "bash") -> list[str]:
    """What is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"_SAMOVAR_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell != "bash":
        asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = warm().run(
        [], folder=folder, environment=environment(folder) | asked, stdin="", timeout_s=TIMEOUT_S
    )
    assert "Traceback" not in done.stderr
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("samovar run par", ["parcel", "parks/"]),
        ("samovar show post/", ["post/card"]),
        ("samovar run bro", ["broken"]),
        ("samovar prompt transl", ["translate"]),
        ("samovar run parks/", ["parks/own.md"]),
        ("samovar check parks/o", ["parks/own.md"]),
        ("samovar run parcel --sp", ["--speed"]),
        ("samovar run parcel --per", ["--person-name"]),
        ("samovar run parcel --speed ", ["slow", "fast"]),
        ("samovar run parcel --speed f", ["fast"]),
        ("samovar run parcel --var sp", ["speed="]),
        ("samovar run parcel --var speed=f", ["speed=fast"]),
        ("samovar run parcel --var gift=", ["gift=true", "gift=false"]),
        ("samovar run parks/own.md --wei", ["--weight"]),
        ("samovar run parcel --lim", ["--limit-transitions", "--limit-duration"]),
        ("samovar run broken --sp", []),
        ("samovar run no-such --var x", []),
        ("samovar run no/such/folder/", []),
    ],
)
def test_names_files_options_and_choices_are_offered(folder: Path, line: str, words: list[str]) -> None:
    assert offered(folder, line) == words


def test_built_in_workflows_are_offered_and_fish_shows_what_each_is(folder: Path) -> None:
    assert offered(folder, "samovar run summ") == ["summarise"]
    (line,) = offered(folder, "samovar run parce", shell="fish")
    assert "parcel" in line and "Sends a parcel" in line


def test_help_shows_the_workflows_own_options_in_their_groups(folder: Path) -> None:
    done = samovar(folder, "run", "parcel", "--model", "x", "--help")
    shown = " ".join(done.stdout.split())
    assert done.returncode == 0
    for part in (
        "parcel: Sends a parcel",
        "--person-name text To whom · required",
        "--speed slow|fast How fast · default: slow",
        "What is sent",
        "--gift true|false default: false",
        "--weight whole number from 1 to 30 default: 2",
        "--code text matches [a-z0-9]+ · default: ***",
        "--street text required if speed == 'slow'",
        "--limit-transitions",
    ):
        assert part in shown, shown
    assert "hunter2" not in shown
    assert shown.index("--street") < shown.index("What is sent") < shown.index("--gift")


def test_help_without_a_workflow_is_that_of_the_command_and_a_wrong_name_is_said(folder: Path) -> None:
    done = samovar(folder, "run", "--help")
    assert done.returncode == 0 and "Its own options" not in done.stdout
    done = samovar(folder, "run", "parcell", "--help")
    assert done.returncode == 2 and "Did you mean 'parcel'?" in done.stderr
