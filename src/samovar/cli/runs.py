"""`samovar runs`: the runs that are kept, the newest first, and one of them in full.

Above: the commands of `__init__.py`. Below: the journal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.table import Table

from samovar.cli.console import make_console
from samovar.cli.keeping import find_run, open_journal
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.journal.base import KeptVisit, RunStatus, RunSummary
from samovar.running.wire import tokens_to_wire

SHOWN = 20
"""Runs that are listed if nobody says how many."""


def list_runs(
    settings: Mapping[str, Any], *, workflow: str | None, status: str | None, most: int | None, as_json: bool
) -> int:
    """Lists runs, and returns the exit status."""
    if status is not None and status not in tuple(map(str, RunStatus)):
        raise UsageError(f"--status cannot be {status!r}: expected {', '.join(map(str, RunStatus))}.")
    with open_journal(settings_for(settings)) as journal:
        found = [
            one
            for one in journal.runs()
            if (workflow is None or one.workflow == workflow) and (status is None or one.status == status)
        ]
    limit = most if most is not None else None if as_json else SHOWN
    listed = found[:limit]
    if as_json:
        write_json({"runs": [_wire(one) for one in listed]})
        return 0
    if not listed:
        say("samovar: no run is kept here yet")
        return 0
    _show(listed)
    if len(listed) < len(found):
        say(f"samovar: {len(found) - len(listed)} older runs are not shown; --most N shows more.")
    return 0


def _wire(one: RunSummary) -> dict[str, object]:
    return {
        "run": one.id,
        "workflow": one.workflow,
        "path": None if one.path is None else str(one.path),
        "folder": one.folder,
        "status": str(one.status),
        "started_at": one.started_at,
        "touched_at": one.touched_at,
        "ended_at": one.ended_at,
        "visits": one.visits,
        "tokens": tokens_to_wire(one.tokens),
        "message": one.message,
    }


def _show(runs: Iterable[RunSummary]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("run", "workflow", "status", "started"):
        table.add_column(heading, no_wrap=heading != "workflow")
    for heading in ("took", "visits", "tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in runs:
        took_s = (one.ended_at or one.touched_at) - one.started_at
        started = f"{datetime.fromtimestamp(one.started_at):%Y-%m-%d %H:%M}"
        figures = (f"{took_s:.1f} s", str(one.visits), str(one.tokens.generated))
        table.add_row(one.id, shown(one.workflow), str(one.status), started, *figures)
    make_console(sys.stdout).print(table)


def show_run(settings: Mapping[str, Any], run: str, *, as_json: bool) -> int:
    """Shows one run, and returns the exit status."""
    with open_journal(settings_for(settings)) as journal:
        found = find_run(journal, run)
        visits = list(journal.visits(found.id))
    if as_json:
        write_json({**_wire(found), "states": [_visit_wire(one) for one in visits]})
        return 0
    put(f"{found.id}  {shown(found.workflow)}  {found.status}  {found.visits} visits\n")
    if found.message:
        put(f"{shown(found.message)}\n")
    for one in visits:
        put(_line(one, found.started_at))
    return 0


def _visit_wire(one: KeptVisit) -> dict[str, object]:
    outcome, key = one.outcome, one.intent.key
    wire: dict[str, object] = {
        "path": key.path,
        "branch": key.line or None,
        "visit": key.nth,
        "verb": one.intent.verb,
        "entered_at": one.intent.entered_at,
        "status": "interrupted" if outcome is None else "failure" if outcome.error else "success",
    }
    if outcome is not None:
        wire["duration_s"] = outcome.duration_s
        if outcome.error is not None:
            wire["error"] = {"code": outcome.error.code, "message": outcome.error.message}
    return wire


def _line(one: KeptVisit, started_at: float) -> str:
    outcome = one.outcome
    how = "interrupted" if outcome is None else "failed" if outcome.error else "done"
    took = f"{outcome.duration_s:8.2f} s" if outcome else " " * 10
    after = one.intent.entered_at - started_at
    said = ""
    if outcome is not None and outcome.error is not None:
        said = f"  {shown(outcome.error.message)[:80]}"
    elif outcome is not None and outcome.what:
        said = f"  {shown(outcome.what)[:80]}"
    return f"{after:9.2f} s {took}  {how:<11}  {shown(str(one.intent.key))}  {one.intent.verb or ''}{said}\n"
