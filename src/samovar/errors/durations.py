"""Durations in messages, for people: `20.5 ms`, `28.4 s`, `1 min 30 s`, `2 h`, `3 days 4 h`.

Above: every message and table with a duration in it. Below: nothing.
"""

from __future__ import annotations

_UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))
"""From the longest on, in seconds."""
HOURS_S = 2 * 86400
"""Up to here hours are counted, and not days."""


def lasting(seconds: float) -> str:
    """A duration, to three digits if it is below a minute, and in two units at most from there on."""
    if 0 < seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    units = _UNITS if seconds >= HOURS_S else _UNITS[1:]
    at = next(number for number, (_, each_s) in enumerate(units) if round(seconds) >= each_s)
    (name, each_s), (smaller, smaller_s) = units[at], units[at + 1]
    count, rest = divmod(round(seconds / smaller_s), each_s // smaller_s)
    days = "s" if name == "day" and count > 1 else ""
    return f"{count} {name}{days}" + (f" {rest} {smaller}" if rest else "")


def about(seconds: float) -> str:
    """An estimate, or how long ago something was, in one unit: `40 s`, `3 min`, `2.5 h`, `3 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < HOURS_S else f"{seconds / 86400:.0f} days"


def so_far(seconds: float) -> str:
    """The time of what is not over, which is shown anew each moment: as wide as in the moment before."""
    return f"{seconds:.1f} s" if seconds < 60 else lasting(seconds)
