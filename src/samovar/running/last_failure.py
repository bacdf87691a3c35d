"""A failure while it can be read, and its form in a workflow: the variable `error`.

Above: `frame.py`. Below: the errors of runs. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samovar.events import RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """A failure while it may be read: at its state's edges, and where the one that is taken leads to."""

    error: Mapping[str, object]
    """The variable `error`."""
    exit_code: object = None
    """The variable `exit_code`; None if it says nothing of the failure."""
    where: frozenset[str] = frozenset()
    """The states in which it may be read once an edge has taken it; empty until then."""


def error_of(error: RunError, state: str | None) -> dict[str, object]:
    """The variable `error`. `state`: what it says of where that was."""
    return {
        "message": error.message,
        "state": state,
        "kind": error.code,
        "place": str(error.place) if error.place else "",
        "chain": [str(caller.place) for caller in error.chain],
    }
