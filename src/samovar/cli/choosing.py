"""Which run `samovar resume` goes on with, and what it says of it before it does.

Above: `resuming.py`. Below: the journal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from samovar.cli.keeping import find_run
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.errors import UsageError
from samovar.errors.counting import counted
from samovar.errors.durations import about
from samovar.journal.base import Journal, KeptVisit, RunSummary, VisitKey
from samovar.running.strand import all_around, inside
from samovar.running.uncertain import Decision

MOST_NAMED = 5
"""Runs, and states of a run, that a message names."""


def chosen_run(journal: Journal, run: str | None, decision: Decision | None, *, quiet: bool) -> RunSummary:
    """The run that is meant; without a name the newest that is not over, which is said.

    A decision about an interrupted action is about one certain run: if several are not over, one must be
    named. Raises `NotFoundError`, `UsageError`.
    """
    if run is not None:
        return find_run(journal, run)
    unfinished = [one for one in journal.runs() if not one.status.is_over]
    if not unfinished:
        raise UsageError("There is no unfinished run in the journal. `samovar runs` lists the kept runs.")
    newest, *others = unfinished
    if others and decision is not None:
        listed = "".join(f"\n  {_words(journal, one)}" for one in unfinished[:MOST_NAMED])
        more = "\n  …" if len(unfinished) > MOST_NAMED else ""
        raise UsageError(
            f"--{decision} is for one run, and {len(unfinished)} are unfinished. Name it, as in `samovar "
            f"resume {newest.id} --{decision}`:{listed}{more}"
        )
    if not quiet:
        rest = f" ({counted(len(others), 'other')} unfinished: `samovar runs`)" if others else ""
        say(f"samovar: continuing {_words(journal, newest)}{rest}")
    return newest


def _words(journal: Journal, run: RunSummary) -> str:
    """`20260504T093000-5ce75252  nightly  interrupted in Build/Check, 3 min ago`"""
    at = [str(key) for key in where(journal.visits(run.id))]
    where_in = f" in {', '.join(at[:MOST_NAMED])}" if at else ""
    ago = about(max(0.0, time.time() - run.touched_at))
    return shown(f"{run.id}  {run.workflow}  {run.status}{where_in}, {ago} ago")


def where(visits: Iterable[KeptVisit]) -> list[VisitKey]:
    """The visits that a run is in: those that were begun and have not ended, without what is around them."""
    keys = [one.intent.key for one in visits if one.outcome is None]
    around = {beginning for key in keys for beginning in all_around(key)}
    return [key for key in keys if inside(key) not in around]
