"""How an action, or a tool, has another workflow performed: the contract of what the run gives it for that.

Above: the contract of actions, the tools that are workflows. Below: places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from samovar.errors import Place


class CallWorkflow(Protocol):
    """Runs a sub-workflow to its end and gives what it returns: without a word, its variables."""

    async def __call__(
        self,
        name: str,
        given: Mapping[str, object],
        *,
        timeout_s: float | None,
        place: Place,
        is_tool: bool = False,
    ) -> object:
        """`is_tool`: a model calls it, maybe one of several in one visit: each call has its own sessions."""
        ...
