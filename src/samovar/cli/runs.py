"""`samovar runs`: the runs that are kept, the newest first, in a table.

Above: the commands of `__init__.py`. Below: the journal.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from samovar.cli.console import make_console
from samovar.cli.kept_files import age_s
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.journal.base import RunStatus, RunSummary
from samovar.journal.opening import open_journal
from samovar.running.kept_wire import summary_to_wire

SHOWN = 20
"""Runs that are listed if nobody says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRuns:
    """Which runs are listed; None: any."""

    workflow: str | None = None
    """The name of their workflow."""
    status: str | None = None
    since: str | None = None
    """How long ago they may have begun, as in `2h`, or at what time, as ISO 8601 has it."""

    def check(self) -> Callable[[RunSummary], bool]:
        """Tells whether a run is one of them. Raises `UsageError`."""
        if self.status is not None and self.status not in tuple(map(str, RunStatus)):
            raise UsageError(
                f"--status cannot be {self.status!r}: expected {', '.join(map(str, RunStatus))}."
            )
        since_s = None if self.since is None else _moment(self.since)
        return lambda one: (
            self.workflow in (None, one.workflow)
            and self.status in (None, one.status)
            and (since_s is None or one.started_at >= since_s)
        )


def _moment(text: str) -> float:
    """In seconds since 1970. Raises `UsageError`."""
    with suppress(ValueError):
        return time.time() - age_s(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since cannot be {text!r}: expected a time ago, as in 2h or 3d, or a date, as in 2026-05-04."
        ) from None


def list_runs(settings: Mapping[str, Any], wanted: WantedRuns, *, most: int | None, as_json: bool) -> int:
    """Lists runs, and returns the exit status."""
    is_wanted = wanted.check()
    with open_journal(settings_for(settings)) as journal:
        kept = list(journal.runs())
    found = [one for one in kept if is_wanted(one)]
    limit = most if most is not None else None if as_json else SHOWN
    listed = found[:limit]
    if as_json:
        write_json({"runs": [summary_to_wire(one) for one in listed]})
        return 0
    if not listed:
        say(f"samovar: {'no kept run matches' if kept else f'no run is kept in {journal.file} yet'}")
        return 0
    _show(listed, kept)
    if len(listed) < len(found):
        say(f"samovar: {counted(len(found) - len(listed), 'older run')} not shown; --most N shows more.")
    return 0


_LAYOUTS = (
    (False, ("run", "workflow", "status", "started", "took", "visits", "tokens")),
    (True, ("run", "workflow", "status", "started", "took", "visits", "tokens")),
    (True, ("run", "workflow", "status", "started", "took", "visits")),
    (True, ("run", "workflow", "status", "started", "took")),
    (True, ("run", "workflow", "status", "started")),
    (True, ("run", "workflow", "status")),
)
"""Columns of the table, the widest first, and whether ids are short: a terminal gets the first that fits."""
_NAME = 24
"""Characters of a workflow's name that are in one line as long as there is a column left to be left out."""
_ENDLESS = 10_000
"""Characters of a line that no table of runs fills."""


def _show(listed: Sequence[RunSummary], kept: Sequence[RunSummary]) -> None:
    """The runs in as many columns as the terminal has room for; what is no terminal takes any width.

    A name that is too long goes on in the next line: nothing is cut.
    """
    console, short = make_console(sys.stdout), _short_ids(listed, kept)
    endless = console.options.update(width=_ENDLESS)
    longest = max(cell_len(shown(one.workflow)) for one in listed)
    for is_short, headings in _LAYOUTS:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in headings:
            table.add_column(
                heading,
                justify="right" if heading in ("took", "visits", "tokens") else "left",
                overflow="fold",
                no_wrap=heading != "workflow",
            )
        for one in listed:
            cells = _cells(one) | ({"run": short[one.id]} if is_short else {})
            table.add_row(*(cells[heading] for heading in headings))
        wide = console.measure(table, options=endless).maximum
        if not console.is_terminal:
            console.width = wide
        if wide - max(0, longest - _NAME) <= console.width:
            break
    console.print(table)


def _cells(one: RunSummary) -> dict[str, str]:
    took_s = (one.ended_at or one.touched_at) - one.started_at
    return {
        "run": one.id,
        "workflow": shown(one.workflow),
        "status": str(one.status),
        "started": f"{datetime.fromtimestamp(one.started_at):%Y-%m-%d %H:%M}",
        "took": lasting(took_s),
        "visits": str(one.visits),
        "tokens": str(one.tokens.generated),
    }


def _short_ids(listed: Sequence[RunSummary], kept: Sequence[RunSummary]) -> dict[str, str]:
    """By id, the part of it behind the time, if no other run has that in its id."""
    ends = Counter(one.id.rpartition("-")[2] for one in kept)
    short = {one.id: one.id.rpartition("-")[2] for one in listed}
    return {run: end if ends[end] == 1 and len(end) == 8 else run for run, end in short.items()}
