"""`samovar runs --waiting`: the questions that runs wait for, the oldest first.

Above: `of_runs.py`. Below: the journal.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from samovar.actions.question import accepted
from samovar.cli.keeping import open_journal
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.journal.people import KeptQuestion
from samovar.running.waiting import question_from


def list_questions(settings: Mapping[str, Any], *, as_json: bool) -> int:
    """Lists open questions, and returns the exit status."""
    with open_journal(settings_for(settings)) as journal:
        questions = journal.people.questions()
        named = {run: journal.summary(run).workflow for run in {one.run for one in questions}}
    if as_json:
        write_json({"questions": [_wire(one, named[one.run]) for one in questions]})
        return 0
    if not questions:
        say("samovar: no run waits for a person")
    file = settings.get("journal_file")
    where = "" if file is None else f" --journal {shlex.quote(str(file))}"
    for one in questions:
        several = sum(other.run == one.run for other in questions) > 1
        state = f" --state {shlex.quote(shown(one.key.path))}" if several else ""
        put(f"{one.run}  {shown(named[one.run])}  {shown(str(one.key))}  since {_time(one.asked_at)}\n")
        put(f"  {shown(' '.join(one.text.split())) or 'May it go on?'}\n")
        until = f", until {_time(one.until_s)}" if one.until_s is not None else ""
        put(f"  takes {shown(accepted(question_from(one)))}{until}\n")
        put(f"  samovar answer {one.run}{where}{state} VALUE\n")
    return 0


def _wire(one: KeptQuestion, workflow: str) -> dict[str, object]:
    return {
        "run": one.run,
        "workflow": workflow,
        "state": one.key.path,
        "branch": one.key.line or None,
        "visit": one.key.nth,
        "kind": one.kind,
        "text": one.text,
        "choices": list(one.choices),
        "default": one.default,
        "asked_at": one.asked_at,
        "until": one.until_s,
    }


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
