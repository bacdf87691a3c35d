"""`samovar show`: Mermaid that any Mermaid takes, and pictures of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from samovar.cli.drawable import mermaid_of
from tests.test_cli import EXAMPLES, environment, samovar, write

UNEVEN = """---
title: x
---
%%{init: {"theme": "dark"}}%%
  stateDiagram
// an older comment
[*] --> A;   %% kept as it is
   note right of A
 Two
     lines
   end note
        note left of A: one line
# another
A --> [*]: x == "1"
"""
EVEN = """\
%%{init: {"theme": "dark"}}%%
stateDiagram-v2
    [*] --> A;   %% kept as it is
    note right of A
        Two
        lines
    end note
    note left of A: one line
    A --> [*]: x == "1"
"""
SMALL = "[*] --> Read\nRead --> Escalate: urgent\nEscalate --> [*]"
"""Each state more makes a picture take longer."""


def test_the_diagram_is_given_as_even_mermaid() -> None:
    assert mermaid_of(UNEVEN) == EVEN
    assert mermaid_of(EVEN) == EVEN


def test_what_stands_within_a_state_is_indented() -> None:
    text = "stateDiagram-v2\n    state Outer {\n        [*] --> In\n    }\n    Outer --> [*]\n"
    assert mermaid_of(text.replace("    ", " ")) == text


def test_mermaid_goes_to_standard_output_and_nothing_else() -> None:
    done = samovar(EXAMPLES, "show", "triage.md", "--mermaid")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("stateDiagram-v2\n    [*] --> Start\n")


@pytest.mark.slow
def test_pictures_are_written(tmp_path: Path) -> None:
    pytest.importorskip("mermaidx")
    write(tmp_path, SMALL, '- Read: Log "x"')
    svg, png = tmp_path / "t.svg", tmp_path / "t.png"
    done = samovar(tmp_path, "show", "w.md", "--svg", str(svg), "--png", str(png))
    assert done.returncode == 0 and done.stdout == ""
    assert all(line.startswith("Wrote ") for line in done.stderr.splitlines()), (
        "no library complains at the end"
    )
    assert svg.read_text().startswith("<svg") and "Escalate" in svg.read_text()
    assert "foreignObject" not in svg.read_text()  # which only browsers show
    assert png.read_bytes().startswith(b"\x89PNG\r\n") and png.stat().st_size > 5_000
    assert samovar(tmp_path, "show", "w.md", "--svg", "-").stdout == svg.read_text()


def test_two_things_are_not_mixed_on_standard_output() -> None:
    done = samovar(EXAMPLES, "show", "triage.md", "--svg", "-", "--mermaid")
    assert done.returncode == 2 and "cannot be combined" in done.stderr and done.stdout == ""


def test_without_the_extra_what_to_install_is_said(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['mermaidx'] = None\nfrom samovar.cli.entry import main\n"
        f"main(['show', {str(EXAMPLES / 'triage.md')!r}, '--png', 'x.png'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "pip install 'samovar[pictures]'" in done.stderr
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pytest.importorskip("mermaidx")
    write(tmp_path, SMALL, '- Read: Log "x"')
    done = samovar(tmp_path, "show", "w.md", "--svg", str(tmp_path / "no/t.svg"))
    assert done.returncode == 2 and "no/t.svg cannot be written" in done.stderr


JOINING = """    state Split <<fork>>
    state Enough <<join>>
    state Clean
    [*] --> Split
    Split --> A
    Split --> B
    Split --> C
    A --> Enough
    B --> Enough
    C --> Enough
    Enough --> Both
    state Both {
        [*] --> D
        D --> [*]
        --
        [*] --> E
        E --> [*]
    }
    Both --> [*]"""
ACTIONS = '- Enough: Join 2, then Log "x"\n- Both: Join first\n- Clean: Log "over"'


def test_a_join_of_some_branches_and_finally_are_noted(tmp_path: Path) -> None:
    write(tmp_path, JOINING, ACTIONS, "finally: Clean")
    lines = samovar(tmp_path, "show", "w.md", "--mermaid").stdout.splitlines()
    assert lines[lines.index("    state Enough <<join>>") + 1] == "    note right of Enough: Join 2 of 3"
    assert '    state "Clean (finally)" as Clean' in lines and "    state Clean" not in lines
    assert lines[lines.index("    state Both {") - 1] == "    note right of Both: Join first of 2"
    shown = samovar(tmp_path, "show", "w.md").stdout
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert "Enough log Join 2 of 3: x" in rows and "Clean log finally: over" in rows
    assert any(row.startswith("Both Join first of 2") for row in rows), rows


@pytest.mark.slow
def test_a_picture_has_the_notes(tmp_path: Path) -> None:
    pytest.importorskip("mermaidx")
    write(tmp_path, JOINING, ACTIONS, "finally: Clean")
    drawn = samovar(tmp_path, "show", "w.md", "--svg", "-")
    assert drawn.returncode == 0, drawn.stderr
    words = " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", drawn.stdout, flags=re.DOTALL).split())
    assert all(text in words for text in ("Join 2 of 3", "Join first of 2", "(finally)")), words
