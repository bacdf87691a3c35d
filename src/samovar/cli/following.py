"""`samovar runs logs`: what a run has done, line by line, also while another process drives it.

Above: `of_driven.py`. Below: the journal. A look at a run that goes on reads only what is new of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from samovar.cli.keeping import find_run, looks
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.errors.durations import lasting
from samovar.journal.base import Journal, KeptVisit, RunStatus, VisitOutcome
from samovar.journal.opening import open_journal

MOST_CHARS = 200
"""Shown of what a visit did; of what it logs, everything."""


def show_log(settings: Mapping[str, Any], run: str, *, follows: bool) -> int:
    """Shows what a run has done, and returns the exit status."""
    with open_journal(settings_for(settings)) as journal:
        meant = find_run(journal, run).id
        log = RunLog(journal, meant)
        for found in looks(journal, meant):  # before its visits, so that none is missed
            for line in log.news():
                put(line + "\n")
            if not follows or found.status is not RunStatus.RUNNING:
                break
    message = f": {shown(found.message)}" if found.message else ""
    say(f"samovar: {found.id} is {found.status}{message}")
    return 0


class RunLog:
    """The log of one run. Mutable: how far it was read."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal, self._run = journal, run
        self._last = 0
        self._open: set[int] = set()

    def news(self) -> Iterator[str]:
        """What has begun and ended since, in order of time."""
        lines: list[tuple[float, int, str]] = []
        for one in self._journal.visits(self._run, after=self._last, also=sorted(self._open)):
            intent, outcome = one.intent, one.outcome
            if intent.number not in self._open:
                self._open.add(intent.number)
                lines.append((intent.entered_at, 0, f"{_time(intent.entered_at)}  {_name(one)}"))
            self._last = max(self._last, intent.number)
            if outcome is not None:
                self._open.discard(intent.number)
                left_at = outcome.left_at or intent.entered_at
                lines += [(left_at, 1, f"{_time(left_at)}  {line}") for line in _ends(one, outcome)]
        yield from (line for _, _, line in sorted(lines, key=lambda one: one[:2]))


def _ends(one: KeptVisit, outcome: VisitOutcome) -> Iterator[str]:
    path, took = shown(str(one.intent.key)), lasting(outcome.duration_s)
    if outcome.is_given_up:
        yield f"{path}  given up"
    elif outcome.error is not None:
        yield f"{path}  failed after {took}: {shown(outcome.error.message)}"
    elif one.intent.verb == "log" and isinstance(outcome.value, str):
        for line in outcome.value.splitlines() or [""]:
            yield f"{path}: {shown(line)}"
    else:
        what = f": {shown(outcome.what)[:MOST_CHARS]}" if outcome.what else ""
        yield f"{path}  done after {took}{what}"


def _name(one: KeptVisit) -> str:
    return f"{shown(str(one.intent.key))}  {one.intent.verb or ''}".rstrip()


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%H:%M:%S}"
