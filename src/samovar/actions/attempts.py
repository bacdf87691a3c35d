"""Reports the attempts of an action that were followed by another; reports nothing if no run listens.

Above: the contract of actions, whose context has it. Below: the events.
"""

from __future__ import annotations

from collections.abc import Callable

from samovar.errors import SamovarError
from samovar.events import PromptFigures

TellAttempt = Callable[[SamovarError, PromptFigures | None, float | None], None]
"""Told of an attempt that another one follows: why it failed, what its answer cost, and how many seconds pass
until the next; None: the model is to repair its answer."""


def ignore(error: SamovarError, figures: PromptFigures | None, wait_s: float | None) -> None:
    """Tells nobody."""


def nobody(told: object) -> None:
    """Nobody is told."""


def no_time() -> float:
    """No time passes."""
    return 0.0


async def nothing() -> None:
    """There is nothing to end."""
