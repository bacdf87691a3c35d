"""Draws docs/performance.svg and writes docs/performance.md from the results of the benchmarks.

    python -m benchmarks.plots RESULTS [--docs FOLDER]

RESULTS is the folder that the others wrote by `--out`. Needs the `bench` extra. Above: nothing. Below:
`page.py`, matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.contenders import ALL
from benchmarks.page import PLOT, page, times_ours
from benchmarks.results import saved

DOCS = Path(__file__).parent.parent / "docs"
COLOURS = {"ours": "#b3541e", "ideal": "#7a8c5c", "peer": "#8a8f98", "load-each": "#e0b59c"}
OFF_SCALE = 4.0
"""Bars longer than this many times ours are cut and say so."""


def draw(peers: dict[str, Any], path: Path) -> None:
    """A bar for each contender: its time relative to ours, with the middle half of the rounds."""
    import matplotlib

    matplotlib.use("svg")
    # Text stays text, and equal results give equal files.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "samovar", "font.size": 10})
    from matplotlib import pyplot

    shown = [one for one in ALL if peers["rounds"].get(one.name)]
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(shown) + 1.1), layout="constrained")
    for place, one in enumerate(shown):
        times = times_ours(peers["rounds"], one.name)
        length = min(times.median, OFF_SCALE)
        axes.barh(place, length, color=COLOURS[_kind(one.name)], height=0.66)
        label = f"{times.median:.2f}"
        if times.median <= OFF_SCALE:
            spread = [[times.median - times.low], [times.high - times.median]]
            axes.errorbar(length, place, xerr=spread, color="#333333", capsize=2, linewidth=1)
        else:
            label += " (cut)"
        end = max(length, min(times.high, OFF_SCALE))
        blank = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(end + 0.05, place, label, va="center", bbox=blank)
    axes.axvline(1, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(shown)), [one.says for one in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, OFF_SCALE + 0.6)
    axes.set_xlabel("time for the twelve prompts; Samovar's sessions in turn are 1")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Title": "Times relative to Samovar"})
    pyplot.close(figure)


def _kind(name: str) -> str:
    if name in COLOURS:
        return name
    return "ours" if name.startswith(("samovar", "forks")) else "peer"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FOLDER", help="where to write")
    arguments = parser.parse_args()
    try:
        text = page(arguments.results)
        peers = saved(arguments.results, "peers")
        if peers is not None:
            draw(peers, arguments.docs / PLOT)
    except FileNotFoundError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"{error}. For the plot: pip install 'samovar[bench]'")
    path = arguments.docs / "performance.md"
    path.write_text(text, encoding="utf-8")
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
