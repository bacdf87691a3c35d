"""What measurements came to, and the folder of JSON files they are kept in until the page is made.

Above: every command that takes `--out`, and `page.py`. Below: nothing.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table of goals. All of it is text for the page."""

    what: str
    measured: str
    goal: str
    is_met: bool
    count: int
    """How many measurements that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What several measurements come to."""

    median: float
    low: float
    """The middle half of them begins here."""
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def spread(values: Sequence[float]) -> Spread:
    """The median and the middle half."""
    low, median, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    )
    return Spread(median=median, low=low, high=high, count=len(values))


def save(folder: Path, name: str, results: Mapping[str, Any]) -> None:
    """Writes `name`.json into the folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"Written: {path}")


def saved(folder: Path, name: str) -> dict[str, Any] | None:
    """What `save` wrote; None when it did not."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
