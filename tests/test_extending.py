"""What docs/extending.md says is enough: its examples, done in a copy of the project, work there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_cli import environment

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
_BLOCK = re.compile(
    r"^(?P<fence>`{3,})(?P<kind>\w+)(?: file=(?P<file>\S+))?\n(?P<text>.*?)^(?P=fence)$", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    kind: str
    file: str | None
    text: str


@dataclass
class Copy:
    """A copy of the project in which the steps of one section are done."""

    folder: Path

    def __post_init__(self) -> None:
        ignored = shutil.ignore_patterns("__pycache__", "*.svg")
        for name in ("src", "scripts", "docs", "tests", "benchmarks"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", self.folder)

    def do(self, block: Block) -> None:
        assert block.file is not None
        path = self.folder / block.file
        if block.kind == "diff":
            path.write_text(patched(path.read_text(), block.text))
        else:
            assert not path.exists(), f"{block.file} is there already"
            path.write_text(block.text)

    def run(self, command: str) -> str:
        """What it writes. The names of the page's programs are those of this environment and this copy."""
        command = re.sub(r"\bsamovar (?=run|check)", f"{sys.executable} -m samovar ", command)
        command = re.sub(r"^python ", f"{sys.executable} ", command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=environment(self.folder) | {"PYTHONPATH": f"{self.folder / 'src'}:{self.folder}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout + done.stderr


def patched(text: str, diff: str) -> str:
    """The text with what a diff adds and takes away, in the order of its lines."""
    lines, at = text.split("\n"), 0
    for line in diff.rstrip("\n").split("\n"):
        mark, rest = line[:1], line[1:]
        if mark == "+":
            lines.insert(at, rest)
            at += 1
        else:
            at = lines.index(rest, at)
            if mark == "-":
                del lines[at]
            else:
                at += 1
    return "\n".join(lines)


def sections() -> dict[str, list[Block]]:
    """The blocks below each heading; what looks like a heading within a block is none."""
    found: dict[str, list[Block]] = {}
    for one in re.finditer(
        rf"{_BLOCK.pattern}|^## (?P<title>[^\n]*)$", PAGE.read_text(encoding="utf-8"), re.S | re.M
    ):
        if one["title"] is not None:
            found[one["title"]] = []
        else:
            found[list(found)[-1]].append(Block(one["kind"], one["file"], one["text"]))
    return found


pytestmark = pytest.mark.slow

SECTIONS = sections()
MOST_FILES = {"An action": 2, "An executor": 2, "An engine": 2, "A setting": 4}
"""How many files of the project each takes, at most."""


def done_in(folder: Path, title: str) -> Copy:
    copy = Copy(folder / "copy")
    blocks = [block for block in SECTIONS[title] if block.file is not None]
    files = {block.file for block in blocks if block.kind in ("python", "diff")}
    assert len(files) <= MOST_FILES[title], files
    for block in blocks:
        copy.do(block)
    assert copy.run("python scripts/docs.py") == ""
    return copy


@pytest.mark.parametrize("title", SECTIONS)
def test_what_the_page_says_is_enough(title: str, tmp_path: Path) -> None:
    copy = done_in(tmp_path, title)
    commands = [block.text for block in SECTIONS[title] if block.kind == "console"]
    assert commands
    for part in re.split(r"^\$ ", "".join(commands), flags=re.M)[1:]:
        command, *expected = part.strip().split("\n")
        said = copy.run(command)
        for line in expected:
            assert line in said, f"{command}\n{said}"


def test_a_new_action_is_in_the_docs_and_in_the_warnings(tmp_path: Path) -> None:
    copy = done_in(tmp_path, "An action")
    assert '| notify | `Notify "text"` |' in (copy.folder / "docs" / "language.md").read_text()
    assert "`notify.py`" in (copy.folder / "docs" / "architecture.md").read_text()
    path = copy.folder / "notify.md"
    path.write_text(path.read_text().replace("Hello", r"Hello\n"))
    assert "[escape]" in copy.run("samovar check notify.md")
    path.write_text(path.read_text().replace("Notify", "Notfy"))
    assert "Did you mean 'Notify'?" in copy.run("samovar check notify.md")
    assert "failed" not in copy.run("python -m pytest -q tests/test_layers.py -p no:cacheprovider")
