"""The lines of tools that a model calls, below the state that asks it.

Above: `live.py`. Below: the events. What a model and a tool say is escaped and cut.
"""

from __future__ import annotations

from rich.text import Text

from samovar.actions.base import brief
from samovar.cli.showing import shown
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.generation import ToolCalled, ToolFinished

ARGUMENTS_CHARS = 120
RESULT_CHARS = 160
INDENT = 4
_STYLES = {"ok": "dim", "error": "yellow", "refused": "yellow", "invalid": "yellow"}
_SAID = {"error": "failed: ", "refused": "refused: ", "invalid": "not done: "}


class ToolLines:
    """Of one run. Mutable: the calls under way."""

    def __init__(self) -> None:
        self._called: dict[tuple[int, str], ToolCalled] = {}

    def line_of(self, event: ToolCalled | ToolFinished, verbose: int) -> Text | None:
        """A line for a call that has come to its end; None while it goes on."""
        key = (event.visit, event.call)
        if isinstance(event, ToolCalled):
            self._called[key] = event
            return None
        called = self._called.pop(key, None)
        arguments = brief(called.arguments, ARGUMENTS_CHARS) if called else ""
        line = Text(" " * INDENT + "⚙ ")
        line.append(shown(event.name), style="bold")
        line.append(f" {shown(arguments)}")
        if event.duration_s >= 0.05:
            line.append(f"  {lasting(event.duration_s)}", style="dim")
        said = (
            brief(event.text, RESULT_CHARS)
            if event.status != "ok" or verbose
            else f"{counted(event.chars, 'character')}"
        )
        cut = ", cut" if event.is_cut and event.status == "ok" else ""
        line.append(f"  {_SAID.get(event.status, '')}{shown(said)}{cut}", style=_STYLES[event.status])
        return line
