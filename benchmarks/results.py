"""What a measurement of a goal came to.

Above: `goals.py`, `plots.py`. Below: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table of goals. All of it is text for the page."""

    what: str
    measured: str
    goal: str
    is_met: bool
