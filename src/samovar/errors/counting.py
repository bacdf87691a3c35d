"""Counts of things in messages: `1 item`, `2 items`.

Above: every message with a count in it. Below: nothing.
"""

from __future__ import annotations


def counted(count: int, one: str, more: str | None = None, *, grouped: bool = False) -> str:
    """So many of them. `more`: how several are called, None: with an `s` behind it; `grouped`: as `1,000`."""
    number = f"{count:,}" if grouped else str(count)
    return f"{number} {one if count == 1 else more or one + 's'}"
