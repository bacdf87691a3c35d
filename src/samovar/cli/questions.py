"""`samovar runs --waiting`: the questions that runs wait for, the oldest first.

Above: `of_runs.py`. Below: the journal.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from samovar.actions.question import accepted
from samovar.cli.keeping import journal_option
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.journal.opening import open_journal
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
    where, counts = journal_option(settings.get("journal_file")), Counter(one.run for one in questions)
    for one in questions:
        question = question_from(one)
        state = f" --state {shlex.quote(shown(one.key.path))}" if counts[one.run] > 1 else ""
        put(f"{one.run}  {shown(named[one.run])}  {shown(str(one.key))}  since {_time(one.asked_at)}\n")
        put(f"  {shown(question.line)}\n")
        until = f", until {_time(one.until_s)}" if one.until_s is not None else ""
        put(f"  takes {shown(accepted(question))}{until}\n")
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
