"""The time in filled texts: the value of Liquid's `now` and `today`.

Above: the loop of a run, which sets it for each visit by the run's clock, and `liquid_dialect.py`, which
reads it. Below: nothing. Liquid asks for the time of day if nothing can be passed to it, so this is a
variable of the task; if nobody has set it, it is the time of day.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_MOMENT: ContextVar[float | None] = ContextVar("moment", default=None)
"""Seconds since 1970; None: the time of day."""


@contextmanager
def at_moment(now_s: float) -> Iterator[None]:
    """It is this time within, in seconds since 1970, for this task and those that it starts."""
    token = _MOMENT.set(now_s)
    try:
        yield
    finally:
        _MOMENT.reset(token)


def moment() -> datetime.datetime:
    """The time there is, in the zone of this machine, without a zone."""
    now_s = _MOMENT.get()
    return datetime.datetime.now() if now_s is None else datetime.datetime.fromtimestamp(now_s)
