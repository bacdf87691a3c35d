"""The live lines of a run: one line for each state, on standard error.

Above: `run.py`, which passes the events on. Below: the events, and rich for a terminal. Without a terminal
the lines are plain and come when a state ends.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from samovar.actions.base import brief
from samovar.cli.generated_words import generated_words
from samovar.cli.live_doing import THINKING, bar, doing_of
from samovar.cli.live_items import ItemLines, WholeList
from samovar.cli.live_tools import ToolLines
from samovar.cli.showing import shown, visible
from samovar.errors.durations import lasting, so_far
from samovar.events import AttemptFailed, Event, Logged, StateEntered, StateLeft, VisitStatus, Warned
from samovar.generation import (
    ModelFetching,
    ModelLoading,
    PromptEvaluating,
    TextGenerated,
    ToolCalled,
    ToolFinished,
)
from samovar.running.wire import tokens_to_wire

REFRESH_S = 0.08
ANSWER_CHARS = 400
"""Shown characters of an answer below its state; `-v` shows the whole."""
INDENT = 4
MARKS = {
    VisitStatus.SUCCESS: ("✓", "green"),
    VisitStatus.FAILURE: ("✗", "red"),
    VisitStatus.CANCELLED: ("■", "yellow"),
}
LEVELS = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}


class Show(Protocol):
    """Shows events; `close` leaves the terminal as it was."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Lines:
    """Plain lines, when a state ends: for files, pipes and CI."""

    def __init__(self, console: Console, verbose: int) -> None:
        self._console, self._verbose = console, verbose
        self._items = ItemLines(verbose)
        self._tools = ToolLines()
        self._entered: dict[int, StateEntered] = {}
        self._said: dict[int, list[str]] = {}
        self._logged: set[int] = set()
        self._told: set[tuple[str, int]] = set()

    def __call__(self, event: Event) -> None:
        self._items.see(event)
        if isinstance(event, StateEntered):
            self._entered[event.visit] = event
        elif isinstance(event, StateLeft):
            entered, said = self._entered.pop(event.visit), "".join(self._said.pop(event.visit, ()))
            if not self._items.hides_end(event):
                is_logged, whole = event.visit in self._logged, self._items.whole(event.visit)
                self._console.print(line_of(entered, event, is_logged, whole), soft_wrap=True)
                for line in answer_lines(said, self._verbose):
                    self._console.print(Text(" " * INDENT) + line, soft_wrap=True)
            self._items.forget(event)
        elif isinstance(event, TextGenerated):
            if event.kind == "text" and not self._items.hides(event.visit):
                self._said.setdefault(event.visit, []).append(event.piece)
        elif isinstance(event, ModelFetching | ModelLoading):
            self._tell(event)
        elif isinstance(event, AttemptFailed):
            self._said.pop(event.visit, None)
            if not self._items.hides(event.visit):
                self._console.print(attempt_line(event), soft_wrap=True)
        elif isinstance(event, ToolCalled | ToolFinished):
            self._said.pop(event.visit, None)
            if (call := self._tools.line_of(event, self._verbose)) and not self._items.hides(event.visit):
                self._console.print(call, soft_wrap=True)
        elif not self._items.repeats(event) and (text := note_of(event, self._verbose)):
            if isinstance(event, Logged):
                self._logged.add(event.visit)
            self._console.print(text, soft_wrap=True)

    def _tell(self, event: ModelFetching | ModelLoading) -> None:
        """Each quarter of the way, once."""
        if isinstance(event, ModelLoading):
            what, fraction = f"loading {event.model}", event.fraction
        else:
            what, fraction = (
                f"fetching {event.model}",
                event.done_bytes / (event.total_bytes or event.done_bytes or 1),
            )
        quarter = int(fraction * 4)
        if (what, quarter) not in self._told and (quarter in (0, 4) or isinstance(event, ModelFetching)):
            self._told.add((what, quarter))
            self._console.print(Text(f"  {what} {fraction:.0%}"))

    def close(self) -> None:
        """Nothing is held."""


class LiveLines:
    """On a terminal: lines of finished states stay, lines of running ones move."""

    def __init__(self, console: Console, verbose: int) -> None:
        self._console, self._verbose = console, verbose
        self._items = ItemLines(verbose)
        self._tools = ToolLines()
        self._running: dict[int, StateEntered] = {}
        self._doing: dict[int, str] = {}
        self._said: dict[int, list[str]] = {}
        self._logged: set[int] = set()
        self._since: dict[int, float] = {}
        self._refreshed_s = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True, get_renderable=self._render)
        self._is_begun = False

    def __call__(self, event: Event) -> None:
        if not self._is_begun:  # not before: anyone who hears signals by now gives the cursor back
            self._is_begun = True
            self._live.start()
        self._items.see(event)
        if isinstance(event, StateEntered):
            self._running[event.visit] = event
            self._since[event.visit] = time.monotonic()
        elif isinstance(event, StateLeft):
            self._left(event)
        elif isinstance(event, TextGenerated | PromptEvaluating | ModelLoading | ModelFetching):
            self._doing[event.visit] = doing_of(event, self._doing.get(event.visit, ""))
            is_said = isinstance(event, TextGenerated) and event.kind == "text"
            if is_said and isinstance(event, TextGenerated) and not self._items.hides(event.visit):
                self._said.setdefault(event.visit, []).append(event.piece)
        elif isinstance(event, AttemptFailed):
            self._said.pop(event.visit, None)
            self._doing[event.visit] = going_on(event)
            if not self._items.hides(event.visit):
                self._console.print(attempt_line(event))
        elif isinstance(event, ToolCalled | ToolFinished):
            self._said.pop(event.visit, None)
            self._doing[event.visit] = f"{event.name} …" if isinstance(event, ToolCalled) else ""
            if (call := self._tools.line_of(event, self._verbose)) and not self._items.hides(event.visit):
                self._console.print(call)
        elif not self._items.repeats(event) and (text := note_of(event, self._verbose)):
            if isinstance(event, Logged):
                self._logged.add(event.visit)
            self._console.print(text)
        self.tick()

    def _left(self, event: StateLeft) -> None:
        entered = self._running.pop(event.visit)
        self._doing.pop(event.visit, "")
        self._since.pop(event.visit)
        said = "".join(self._said.pop(event.visit, ()))
        if not self._items.hides_end(event):
            self._live.refresh()
            self._console.print(
                line_of(entered, event, event.visit in self._logged, self._items.whole(event.visit)),
                soft_wrap=False,
                no_wrap=True,
                overflow="ellipsis",
            )
            for line in answer_lines(said, self._verbose):
                # Words are not cut at the edge, and what continues below is in line.
                self._console.print(Padding(line, (0, 0, 0, INDENT)), soft_wrap=False)
        self._items.forget(event)

    def tick(self) -> None:
        """Draws again, if some time has gone by."""
        now = time.monotonic()
        if self._live.is_started and now - self._refreshed_s >= REFRESH_S:
            self._refreshed_s = now
            self._live.refresh()

    def paused(self) -> _Paused:
        """Nothing moves while in it, as often as it is entered."""
        return _Paused(self)

    def _render(self) -> Text:
        lines = []
        for visit, entered in self._running.items():
            if self._items.hides(visit) and not self._is_loading(visit):
                continue
            elapsed_s = time.monotonic() - self._since[visit]
            line = Text(no_wrap=True, overflow="ellipsis", end="")
            line.append("● ", style="cyan")
            line.append(entered.path, style="bold")
            line.append(f"  {entered.verb or ''}  ", style="dim")
            line.append(f"{so_far(elapsed_s)}  ", style="dim")
            if (progress := self._items.progress(visit, elapsed_s)) is not None:
                line.append(f"{bar(progress[0])} {progress[1]}  ")
            doing = self._doing.get(visit) or entered.what
            line.append(shown(doing), style="dim" if doing.startswith(THINKING) else "")
            # Room for the `^C` of the terminal: a line that it makes two would not be wiped away.
            line.truncate(max(10, self._console.width - 3), overflow="ellipsis")
            lines.append(line)
        return Text("\n").join(lines)

    def _is_loading(self, visit: int) -> bool:
        """Whether something is fetched or loaded for it, which is worth a line to anyone who waits for it."""
        return self._doing.get(visit, "").startswith(("loading ", "fetching "))

    def close(self) -> None:
        self._running.clear()
        self._live.stop()


class _Paused(AbstractContextManager[None]):
    def __init__(self, lines: LiveLines) -> None:
        self._live = lines._live

    def __enter__(self) -> None:
        self._live.stop()

    def __exit__(self, *_: object) -> None:
        self._live.start()


def answer_lines(said: str, verbose: int) -> list[Text]:
    """An answer below its state: on one line, cut if it is long, or with `-v` as it is."""
    lines = shown(said.strip()).splitlines() if verbose else [visible(brief(said, ANSWER_CHARS))]
    return [Text(line) for line in lines if line]


def line_of(
    entered: StateEntered, left: StateLeft, is_told: bool = False, whole: WholeList | None = None
) -> Text:
    """A finished state: its mark, name, action, time, and what it did, unless that was shown.

    `whole`: of a list, what came of all its items.
    """
    mark, style = MARKS.get(left.status, ("·", ""))
    line = Text()
    line.append(f"{mark} ", style=style)
    line.append(entered.path, style="bold")
    line.append(f"  {entered.verb or 'passes'}{' (from the journal)' * left.is_kept}", style="dim")
    if left.duration_s >= 0.05 or left.figures:
        line.append(f"  {lasting(left.duration_s)}", style="dim")
    tokens = left.figures.tokens if left.figures else whole.tokens if whole else None
    if tokens is not None:
        generated = generated_words(tokens_to_wire(tokens))
        line.append(f"  {tokens.evaluated} evaluated, {tokens.reused} reused, {generated}", style="dim")
    if whole and left.status is not VisitStatus.SUCCESS:
        line.append(f"  {whole.counts}")
    if left.error:
        line.append(f"  {shown(left.error.message + left.error.run_by)}", style="red")
    elif not is_told and not left.figures and (what := left.what or ("" if whole else entered.what)):
        line.append(f"  {shown(what)}", style="dim")
    return line


def attempt_line(event: AttemptFailed) -> Text:
    """An attempt that failed, and what follows."""
    line = Text("↻ ", style="yellow")
    line.append(event.path, style="bold")
    line.append(f"  {shown(event.error.message)}  ", style="yellow")
    line.append(going_on(event), style="dim")
    return line


def going_on(event: AttemptFailed) -> str:
    """What follows an attempt that failed."""
    if event.wait_s is None:
        return "repairing the answer"
    return f"again in {lasting(event.wait_s)}" if event.wait_s else "again"


def note_of(event: Event, verbose: int) -> Text | None:
    """A line for what is logged or warned of."""
    if isinstance(event, Logged):
        if event.level == "debug" and not verbose:
            return None
        return Text(f"  {shown(event.text)}", style=LEVELS.get(event.level, ""))
    if isinstance(event, Warned):
        where = f"{event.place}: " if event.place else ""
        return Text(f"  warning: {where}{shown(event.message)}", style="yellow")
    return None
