"""Which models go, or shrink, so that another has room.

Above: `room.py`. Below: `ledger.py`. Pure: it says which, and changes nothing. Pinned models never go; the
idle ones go before those that are lent, and of the idle ones those that nobody has an interest in, the
longest idle first.
"""

from __future__ import annotations

from samovar.engines.base import WeightsKey
from samovar.serving.entries import PoolEntry, Waiter
from samovar.serving.ledger import Ledger


def must_go(ledger: Ledger, waiter: Waiter, limit_bytes: int) -> set[WeightsKey]:
    """The models that make the room for `waiter`, idle ones first; empty if that is not enough."""
    if waiter.cost is None:
        return set()
    others = [entry for key, entry in ledger.entries.items() if key != waiter.key]
    missing_bytes = waiter.cost.total_bytes - limit_bytes
    missing_bytes += sum(entry.lasting_bytes for entry in others)
    found: set[WeightsKey] = set()
    for entry in sorted(others, key=lambda entry: not entry.is_idle):
        if missing_bytes > 0 and entry.key not in ledger.pins and entry.lasting_bytes:
            missing_bytes -= entry.lasting_bytes
            found.add(entry.key)
    return found if missing_bytes <= 0 else set()


def idle_that_free(ledger: Ledger, missing_bytes: int) -> tuple[list[PoolEntry], list[PoolEntry]]:
    """The idle models to shrink, and those to close, for `missing_bytes`; none if that is not enough.

    Where shrinking is enough, nothing is closed; else only pinned models shrink, since they cannot go.
    """
    idle = sorted(
        (entry for entry in ledger.entries.values() if entry.is_idle),
        key=lambda entry: (entry.key in ledger.interests, entry.idle_since_s),
    )
    closable = [entry for entry in idle if entry.key not in ledger.pins]
    shrinkable = [entry for entry in idle if entry.grown_bytes]
    if missing_bytes > sum(entry.grown_bytes for entry in shrinkable):
        shrinkable = [entry for entry in shrinkable if entry.key in ledger.pins]
        if missing_bytes > sum(e.grown_bytes for e in shrinkable) + sum(e.held_bytes for e in closable):
            return [], []
    else:
        closable = []
    shrunk, closed = list[PoolEntry](), list[PoolEntry]()
    for entry in shrinkable:
        if missing_bytes > 0:
            missing_bytes -= entry.grown_bytes
            shrunk.append(entry)
    for entry in closable:
        if missing_bytes > 0:
            missing_bytes -= entry.held_bytes
            closed.append(entry)
    return shrunk, closed
