"""The progress of a fetch, for those who wait for it.

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
    """None if it is not known beforehand."""


OnFetchProgress = Callable[[FetchProgress], None]
