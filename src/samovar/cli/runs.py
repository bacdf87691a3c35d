"""`samovar runs`: the runs that are kept, the newest first, in a table.

Above: the commands of `__init__.py`. Below: the journal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from samovar.cli.console import make_console
from samovar.cli.keeping import open_journal
from samovar.cli.kept_files import age_s
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.journal.base import RunStatus, RunSummary
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
        found = [one for one in journal.runs() if is_wanted(one)]
    limit = most if most is not None else None if as_json else SHOWN
    listed = found[:limit]
    if as_json:
        write_json({"runs": [summary_to_wire(one) for one in listed]})
        return 0
    if not listed:
        say("samovar: no run is kept here yet")
        return 0
    _show(listed)
    if len(listed) < len(found):
        say(f"samovar: {counted(len(found) - len(listed), 'older run')} not shown; --most N shows more.")
    return 0


def _show(runs: Iterable[RunSummary]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("run", "workflow", "status", "started"):
        table.add_column(heading, no_wrap=heading != "workflow")
    for heading in ("took", "visits", "tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in runs:
        took_s = (one.ended_at or one.touched_at) - one.started_at
        started = f"{datetime.fromtimestamp(one.started_at):%Y-%m-%d %H:%M}"
        figures = (lasting(took_s), str(one.visits), str(one.tokens.generated))
        table.add_row(one.id, shown(one.workflow), str(one.status), started, *figures)
    make_console(sys.stdout).print(table)
