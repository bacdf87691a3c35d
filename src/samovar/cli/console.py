"""Formatting with rich for a terminal: tables, styles, live lines. Texts in it stay texts.

Above: the modules of this folder that show more than lines. Below: `showing.py`, rich, which takes a tenth
of a second to import; plain lines need only `terminal.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from samovar.cli.showing import visible


class Terminal(Console):
    """A console of rich that reads no markup in texts, and escapes what it prints, however that came in."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """As rich does; what is shown is measured, so that columns have room for it."""
        return super().render_str(visible(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, but the text of each segment is only shown."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def make_console(stream: IO[str] | None = None) -> Terminal:
    """Standard error, as rich writes to it. `NO_COLOR` is rich's own to honour."""
    return Terminal(stream or sys.stderr)
