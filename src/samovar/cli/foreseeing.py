"""`samovar rerun --dry-run` and `samovar branch --dry-run`: what would be taken, what performed, and why.

Above: `run.py`. Below: `running/foreseeing.py`, through which the run is driven without performing anything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
from rich.text import Text

from samovar.actions.outside import ThisMachine
from samovar.app import open_app
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.config import Settings
from samovar.errors.counting import counted
from samovar.events import Ending
from samovar.journal.base import Intent, RunOrigin, VisitKey
from samovar.journal.keys import key_beside
from samovar.journal.opening import journal_file, open_journal
from samovar.library import Library
from samovar.running.foreseeing import Foresight
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.running.uncertain import Decisions
from samovar.running.wire import error_to_wire

MOST_NAMED = 20
"""Visits of one kind that are listed for a person."""


def foresee(
    prepared: Prepared,
    library: Library,
    settings: Settings,
    run: RunnerSettings,
    origin: RunOrigin,
    *,
    as_json: bool,
) -> int:
    """Shows how far a run comes that takes from an earlier one. Returns 0: nothing is performed."""
    with open_journal(settings) as journal:
        foresight = Foresight(journal=journal, origin=origin, key=lambda: key_beside(journal_file(settings)))
        keeping = Keeping(
            journal=journal, origin=origin, uncertain=Decisions(of_all="redo"), foresight=foresight
        )

        async def main() -> Run:
            async with open_app(settings, library) as app:
                dry = replace(run, keeping=keeping, outside=ThisMachine(None), waits=True)
                return await Runner(library, app.executor, settings=dry).run(prepared)

        record = anyio.run(main)
        whole = _told(foresight, record)
        told: dict[str, Any] = {name: record.hidden.copy_values(one) for name, one in whole.items()}
    if as_json:
        write_json(told)
    else:
        _show(told)
    return 0


def _told(foresight: Foresight, record: Run) -> dict[str, Any]:
    left = record.ending is Ending.WAITING
    return {
        "workflow": record.workflow,
        "dry_run": True,
        "origin": foresight.origin.run,
        "taken": [_object(one) for one in foresight.taken],
        "performed": [
            {**_named(one.key, one.verb), "why": one.why}
            for one in sorted(foresight.stops, key=lambda one: one.key.path)
        ],
        "not_known": [_object(one) for one in foresight.open] if left else [],
        "ending": None if left or record.ending is None else str(record.ending),
        "error": None if left or record.error is None else error_to_wire(record.error),
    }


def _object(intent: Intent) -> dict[str, Any]:
    return _named(intent.key, intent.verb)


def _named(key: VisitKey, verb: str | None) -> dict[str, Any]:
    return {"state": key.path, "branch": key.line or None, "visit": key.nth, "action": verb}


def _show(told: dict[str, Any]) -> None:
    console = make_console(sys.stdout)
    title = Text(shown(told["workflow"]), style="bold")
    title.append(f": a dry run from {told['origin']}; nothing is performed", style="dim")
    console.print(title)
    _show_visits("taken", told["taken"], "green")
    _show_visits("performed", told["performed"], "yellow")
    _show_visits("not known", told["not_known"], "dim")
    if told["not_known"]:
        console.print(Text("What is not known depends on what is performed before it.", style="dim"))
    if told["ending"] is not None:
        console.print(Text(f"Nothing would be performed: the run is {told['ending']}.", style="dim"))


def _show_visits(word: str, visits: Sequence[dict[str, Any]], style: str) -> None:
    console = make_console(sys.stdout)
    for one in visits[:MOST_NAMED]:
        key = VisitKey(path=one["state"], line=one["branch"] or "", nth=one["visit"])
        line = Text(f"{word:<10}", style=style)
        line.append(f" {shown(str(key))}  ")
        line.append(one["action"] or "", style="dim")
        if "why" in one:
            line.append(f"  {shown(one['why'])}")
        console.print(line, soft_wrap=True)
    if len(visits) > MOST_NAMED:
        console.print(Text(f"{word:<10} and {counted(len(visits) - MOST_NAMED, 'other')}", style=style))
