"""What one turn of a conversation sends, while it is made to fit.

Above: `session.py`. Below: the plain values.
"""

from __future__ import annotations

from dataclasses import dataclass

from samovar.generation import GoingOn, Message, Options


@dataclass(slots=True)
class Attempt:
    """What one turn sends. Changed by `LocalSession._make_room` until it fits."""

    messages: tuple[Message, ...]
    options: Options
    going_on: GoingOn | None = None
    dropped: int = 0
    """How many of the oldest messages were left out."""
    may_grow: bool = True
    """False once a larger arena was asked for."""
