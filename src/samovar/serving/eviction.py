"""Chooses models to close or shrink, so that another has room.

Above: `room.py`. Below: `ledger.py`. Pure: it says which, and changes nothing. Idle models go before
those that are lent, and of the idle ones those that nobody has an interest in, the longest idle first.
"""

from __future__ import annotations

from collections.abc import Callable

from samovar.engines.base import WeightsKey
from samovar.models.cost import Cost
from samovar.serving.entries import PoolEntry
from samovar.serving.ledger import Ledger


def must_go(ledger: Ledger, key: WeightsKey, cost: Cost | None, limit_bytes: int) -> set[WeightsKey]:
    """The models that make the room for `key` at `cost`, idle ones first; empty if that is not enough."""
    if cost is None:
        return set()
    others = [entry for other, entry in ledger.entries.items() if other != key]
    missing_bytes = cost.total_bytes - limit_bytes
    missing_bytes += sum(entry.lasting_bytes for entry in others)
    found: set[WeightsKey] = set()
    for entry in sorted(others, key=lambda entry: not entry.is_idle):
        if missing_bytes > 0 and entry.lasting_bytes:
            missing_bytes -= entry.lasting_bytes
            found.add(entry.key)
    return found if missing_bytes <= 0 else set()


def idle_that_free(ledger: Ledger, missing_bytes: int) -> tuple[list[PoolEntry], list[PoolEntry]]:
    """The idle models to shrink, and those to close, for `missing_bytes`; none if that is not enough.

    If shrinking is enough, nothing is closed; else nothing is shrunk.
    """
    idle = sorted(
        (entry for entry in ledger.entries.values() if entry.is_idle),
        key=lambda entry: (entry.key in ledger.interests, entry.idle_since_s),
    )
    if missing_bytes <= sum(entry.grown_bytes for entry in idle):
        grown = [entry for entry in idle if entry.grown_bytes]
        return _enough(grown, lambda entry: entry.grown_bytes, missing_bytes), []
    if missing_bytes <= sum(entry.held_bytes for entry in idle):
        return [], _enough(idle, lambda entry: entry.held_bytes, missing_bytes)
    return [], []


def _enough(
    entries: list[PoolEntry], freed: Callable[[PoolEntry], int], missing_bytes: int
) -> list[PoolEntry]:
    """The first of `entries`, as many as it takes to free `missing_bytes`; each frees what `freed` says."""
    found: list[PoolEntry] = []
    for entry in entries:
        if missing_bytes > 0:
            missing_bytes -= freed(entry)
            found.append(entry)
    return found
