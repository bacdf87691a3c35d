"""`samovar runs cancel`: a run is to end, whoever drives it.

Above: `of_driven.py`. Below: the journal. The wish is kept there, and the process that drives the run finds
it: no signal is sent, for a number of a process may be another one's by now.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from samovar.cli.keeping import find_run, looks
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.journal.base import RunStatus
from samovar.journal.opening import open_journal

MOST_S = 60.0
"""How long it is waited for a run to end: a state of `finally` may take half of that."""


def cancel_run(settings: Mapping[str, Any], run: str) -> int:
    """Has a run end, and returns the exit status."""
    with open_journal(settings_for(settings)) as journal:
        found = find_run(journal, run)
        if found.status.is_over:
            raise UsageError(f"Run {found.id} is over ({found.status}).")
        until_s, is_over = time.monotonic() + MOST_S, journal.people.cancel(found.id)
        if not is_over:
            say(f"samovar: {found.owner} ends the run")
        for now in looks(journal, found.id):
            # One whose process was killed meanwhile is over now, once its lease has run out.
            if not (is_over or now.status is RunStatus.RUNNING):
                is_over = now.status.is_over or journal.people.cancel(found.id)
            if is_over or time.monotonic() >= until_s:
                break
        status = journal.summary(found.id).status
    if not is_over:
        say(f"samovar: run {found.id} has not ended yet; it will as soon as it can")
        return 1
    say(f"samovar: run {found.id} is {status}")
    return 0
