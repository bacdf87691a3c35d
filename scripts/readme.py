"""Writes what the README shows of the project, its pictures too: `python scripts/readme.py`.

The example's text and diagram, a real run of it, and the chart of docs/performance.md's seconds. A test holds
that all of it is up to date; of the run, all but the numbers.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLE = "examples/reviews.md"
BARS = {
    "Samovar, sessions, 4 at once": "Samovar: one load, four sessions at once",
    "xllamacpp's server object, 4 slots": "llama.cpp's server object, four slots",
    "Samovar, loading for each prompt": "the model loaded again for each prompt",
}
"""By what docs/performance.md calls them."""
COLOURS = ("#b3541e", "#8a8f98", "#e0b59c")
WIDTH, ROW, LEFT, LONGEST = 760, 40, 290, 400
"""Pixels: of the chart, of a bar with its gap, of the names, and of the longest bar."""


def example() -> str:
    """The workflow file."""
    return f"````markdown\n{(ROOT / EXAMPLE).read_text(encoding='utf-8').strip()}\n````"


def seconds() -> dict[str, float]:
    """What the twelve prompts took, by the names of the bars."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    found = {}
    for name, says in BARS.items():
        row = re.search(rf"^\| {re.escape(name)} \| [^|]+ \| ([\d.]+) \|", text, re.M)
        assert row, f"docs/performance.md has no row {name!r}"
        found[says] = float(row[1])
    return found


def chart() -> str:
    """The seconds as bars, in SVG."""
    figures = seconds()
    most, height = max(figures.values()), ROW * len(figures) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="14">',
        "<title>Seconds for twelve prompts behind one system prompt</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, ((says, took_s), colour) in enumerate(zip(figures.items(), COLOURS, strict=True)):
        top, length = 6 + ROW * number, round(LONGEST * took_s / most)
        lines += [
            f'<text x="{LEFT - 8}" y="{top + 25}" text-anchor="end">{says}</text>',
            f'<rect x="{LEFT}" y="{top + 6}" width="{length}" height="{ROW - 12}" fill="{colour}"/>',
            f'<text x="{LEFT + length + 6}" y="{top + 25}">{took_s:.1f} s</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def sentence() -> str:
    """What the chart shows."""
    ours, server, each = seconds().values()
    return (
        f"Twelve prompts of 24 tokens behind one system prompt of 600 tokens, with the packaged model on two "
        f"cores: {ours:.1f} s with Samovar, which evaluates the system prompt once; {server:.1f} s with "
        f"llama.cpp's own server, which evaluates it in each of its four slots; {each:.1f} s if every prompt "
        f"loads the model ([how it was measured](docs/performance.md))."
    )


def run() -> str:
    """What a run of the example shows, without the table of its states."""
    nothing_kept = {"SAMOVAR_SNAPSHOTS_BYTES": "0"}  # as in a first run, but that the model is here
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", EXAMPLE],
        cwd=ROOT,
        env=os.environ | nothing_kept | {"NO_COLOR": "1", "COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown: list[str] = []
    for line in done.stderr.splitlines():
        if line.startswith("state "):
            shown.append("…")
        if re.match(r"[✓✗]|  \d|$|reviews:|model |tokens |sessions |memory ", line):
            shown.append(line.rstrip())
    return "\n".join(["```console", f"$ samovar run {EXAMPLE}", *shown, "```"])


def picture() -> str:
    """The example's diagram, in SVG."""
    command = [sys.executable, "-m", "samovar", "show", EXAMPLE, "--svg", "-"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def generated(*, shows: str, draws: str) -> dict[Path, str]:
    """Every file, with what it has to say. `shows`: what a run shows; `draws`: the picture of the diagram."""
    with_region = runpy.run_path(str(Path(__file__).parent / "docs.py"))["with_region"]
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, content in (("example", example()), ("run", shows), ("figures", sentence())):
        text = with_region(text, name, content, by="readme.py")
    docs = ROOT / "docs"
    return {readme: text, docs / "one-load.svg": chart(), docs / "reviews.svg": draws}


def main() -> None:
    for path, text in generated(shows=run(), draws=picture()).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
