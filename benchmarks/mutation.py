"""Mistakes of the kinds people make, in the files that are shipped: how many of them `check` finds.

    python -m benchmarks.mutation [--count 500] [--seed 0] [--show 5]

A mistake counts as caught if `check` has an error or a warning that it does not have of the file as it is, at
the line of the mistake or next to it, at a line with the word that was changed, or with that word in its
message; what lacks its start or its end is named where its block begins. Below: `makers.py`, and the command
line's `check`.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.makers import MAKERS
from benchmarks.mistakes import Mistake, Sheet, mistakes
from samovar.actions import parse_action
from samovar.cli.checking import faults_of
from samovar.config import load_settings
from samovar.errors import Fault
from samovar.library import Library

ROOT = Path(__file__).parent.parent
BUILT_IN = ROOT / "src" / "samovar" / "builtin"
LEAST_SHARE = 0.98
"""Of the mistakes that leave something unknown, unreachable or untypable."""

_OF_BLOCKS = frozenset(("no-start", "no-end", "open-block", "front-matter", "no-diagram"))
"""Codes of what a whole block lacks."""

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """One mistake, and what was said of it."""

    mistake: Mistake
    faults: tuple[Fault, ...]
    """Errors and warnings that are not there without the mistake."""
    is_placed: bool
    """One of them names the place."""


class Desk:
    """The shipped files in a folder where they can be changed, one at a time."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.py"))
        shutil.copytree(BUILT_IN, folder / "builtin")
        self._folder = folder
        self._settings = load_settings({})
        paths = [*folder.glob("examples/*.md"), *folder.glob("builtin/*/*.md")]
        self.files = {str(one.relative_to(folder)): one.read_text() for one in sorted(paths)}
        for name in self.files:
            if "/prompts/" in name:
                self._caller(name).write_text(_caller_of(name, self.files[name]))
        self._before = {name: {_key(fault) for fault in self._faults(name)} for name in self.files}

    def try_out(self, mistake: Mistake) -> Found:
        """What `check` says with the mistake and not without it."""
        path = self._folder / mistake.file
        path.write_text(mistake.text)
        try:
            faults = [
                one for one in self._faults(mistake.file) if _key(one) not in self._before[mistake.file]
            ]
        finally:
            path.write_text(self.files[mistake.file])
        lines = mistake.text.split("\n")
        is_placed = any(_names_the_place(fault, mistake, lines, path) for fault in faults)
        return Found(mistake, tuple(faults), is_placed)

    def _faults(self, name: str) -> Iterator[Fault]:
        path = self._caller(name) if "/prompts/" in name else self._folder / name
        library = Library([("built-in", self._folder / "builtin")], parse_action)
        found = faults_of(path, library, self._settings)
        return (fault for fault in found if fault.severity in ("error", "warning"))

    def _caller(self, name: str) -> Path:
        return self._folder / f"call-{Path(name).stem}.md"


def _caller_of(name: str, text: str) -> str:
    """A workflow that gives a prompt all it declares."""
    given = " ".join(f'{one}="1"' for one in sorted(Sheet.of(text).declared))
    return (
        "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n\n## Actions\n\n"
        f'- A: Execute prompt "{Path(name).stem}" with {given}\n'
    )


def _key(fault: Fault) -> _Key:
    return fault.code, fault.message, str(fault.place.path)


def _names_the_place(fault: Fault, mistake: Mistake, lines: list[str], path: Path) -> bool:
    of_words = [word for text in (mistake.old, mistake.new) for word in re.findall(r"\w{2,}", text)]
    if any(re.search(rf"\b{word}\b", fault.message) for word in of_words):
        return True
    line = fault.place.line
    if fault.place.path != path or not 0 < line <= len(lines):
        return False
    if line in (1, _block(lines, mistake.line)) and fault.code in _OF_BLOCKS:
        return True
    return abs(line - mistake.line) <= 1 or any(re.search(rf"\b{w}\b", lines[line - 1]) for w in of_words)


def _block(lines: list[str], line: int) -> int:
    """The line of the fence above."""
    return next((at for at in range(line, 0, -1) if lines[at - 1].startswith("```m")), 1)


def try_all(folder: Path, *, seed: int, count: int) -> list[Found]:
    """The given number of mistakes, tried out in a folder."""
    desk = Desk(folder)
    return [desk.try_out(one) for one in itertools.islice(mistakes(desk.files, MAKERS, seed=seed), count)]


def share(found: list[Found]) -> float:
    """How many of those that break something were found at their places."""
    breaking = [one for one in found if one.mistake.breaks]
    return sum(one.is_placed for one in breaking) / len(breaking)


def table(found: list[Found]) -> str:
    """Per kind: those that break something, and the others."""
    rows = [f"{'kind':<12} {'breaking':>9} {'caught':>7} {'not':>4} {'  others':>9} {'noted':>6}"]
    for kind in (*MAKERS, "all"):
        of_kind = [one for one in found if kind in (one.mistake.kind, "all")]
        breaking = [one for one in of_kind if one.mistake.breaks]
        others = [one for one in of_kind if not one.mistake.breaks]
        caught = sum(one.is_placed for one in breaking)
        noted = sum(bool(one.faults) for one in others)
        missed = len(breaking) - caught
        rows.append(f"{kind:<12} {len(breaking):>9} {caught:>7} {missed:>4} {len(others):>9} {noted:>6}")
    return "\n".join(rows)


def missed(found: list[Found]) -> list[str]:
    """Those that break something and were not found at their places."""
    return [
        f"{one.mistake.kind}: {one.mistake}" + "".join(f"\n    {fault}" for fault in one.faults[:2])
        for one in found
        if one.mistake.breaks and not one.is_placed
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=5, help="how many that were not caught are shown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = try_all(Path(folder), seed=arguments.seed, count=arguments.count)
    print(table(found))
    print(f"\n{share(found):.1%} of those that break something are caught.")
    for line in missed(found)[: arguments.show]:
        print(line)
    sys.exit(share(found) < LEAST_SHARE)


if __name__ == "__main__":
    main()
