"""How far a fetch is, as whoever waits for it is told.

Above: everything that fetches. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProgress:
    """How far a fetch is."""

    done_bytes: int
    """What an earlier fetch has left is counted."""
    total_bytes: int | None
    """None where it is not known beforehand."""


OnFetchProgress = Callable[[FetchProgress], None]
