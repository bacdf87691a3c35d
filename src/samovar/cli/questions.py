"""`samovar runs --waiting`: the questions that runs wait for, the oldest first.

Above: `of_runs.py`. Below: the journal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from samovar.actions.question import accepted
from samovar.cli.keeping import journal_option
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.errors.counting import counted
from samovar.journal.base import Journal
from samovar.journal.opening import open_journal
from samovar.journal.people import KeptQuestion
from samovar.running.waiting import question_from

MOST_NAMED = 10
"""Questions of one run that a message lists."""


def list_questions(settings: Mapping[str, Any], *, as_json: bool) -> int:
    """Lists open questions, and returns the exit status."""
    with open_journal(settings_for(settings)) as journal:
        questions = journal.people.questions()
        runs = {one.run for one in questions}
        named = {run: journal.summary(run).workflow for run in runs}
        ways = Ways(journal, runs, settings.get("journal_file"))
    if as_json:
        write_json({"questions": [_wire(one, named[one.run]) for one in questions]})
        return 0
    if not questions:
        say("samovar: no run waits for a person")
    now_s = time.time()
    for one in questions:
        question = question_from(one)
        put(f"{one.run}  {shown(named[one.run])}  {shown(str(one.key))}  since {_time(one.asked_at)}\n")
        put(f"  {shown(question.line)}\n")
        if one.until_s is None:
            put(f"  takes {shown(accepted(question))}\n")
        elif one.is_late(now_s):
            put(f"  its time ended at {_time(one.until_s)}; without an answer the run continues with\n")
        else:
            put(f"  takes {shown(accepted(question))}, until {_time(one.until_s)}\n")
        put(f"  {ways.of(one, now_s)}\n")
    return 0


class Ways:
    """The commands by which people go on with runs that wait for them."""

    def __init__(self, journal: Journal, runs: Iterable[str], file: object) -> None:
        """`file`: the journal that somebody named."""
        self._counts = {run: len(journal.people.asked(run)) for run in runs}
        self._where = journal_option(file)

    def of(self, question: KeptQuestion, now_s: float) -> str:
        """The command that answers a question, or, if it is too late for that, goes on without an answer."""
        run = question.run
        if question.is_late(now_s):
            return f"samovar resume {run}{self._where}"
        which = f" --question {question.number}" if self._counts.get(run, 0) > 1 else ""
        return f"samovar answer {run}{which}{self._where} VALUE"


def say_waiting(settings: Settings, run: str, file: object) -> None:
    """How a run that has been left waiting continues, on standard error. `file`: as for `Ways`."""
    with open_journal(settings) as journal:
        questions, ways = journal.people.questions(run), Ways(journal, (run,), file)
    now_s = time.time()
    if len(questions) == 1:
        say(f"samovar: the run waits; answer with `{ways.of(questions[0], now_s)}`")
        return
    say(f"samovar: the run waits for {counted(len(questions), 'answer')}:")
    for one in questions[:MOST_NAMED]:
        say(f"  {shown(str(one.key))}: {ways.of(one, now_s)}")
    if len(questions) > MOST_NAMED:
        say("  `samovar runs --waiting` lists the others.")


def _wire(one: KeptQuestion, workflow: str) -> dict[str, object]:
    return {
        "run": one.run,
        "question": one.number,
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
        "is_late": one.is_late(time.time()),
    }


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
