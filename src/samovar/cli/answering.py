"""`samovar answer`: a question of a run is answered, and the run continues, here or where it is driven.

Above: `kept_commands.py`. Below: the journal, `resuming.py`. The answer is kept before anything else is done:
whoever drives the run, now or later, takes it from there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime

import anyio

from samovar.actions.question import Asking, accepted
from samovar.cli.asking import Person
from samovar.cli.keeping import find_run, looks
from samovar.cli.resuming import ResumeArguments, resume_run
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.journal.base import Journal, RunStatus, RunSummary
from samovar.journal.opening import open_journal
from samovar.journal.people import KeptQuestion
from samovar.preflight.variable_files import read_input
from samovar.projects.lineage import is_within_run
from samovar.running.waiting import question_from


def answer_run(arguments: ResumeArguments, *, value: str | None, state: str | None) -> int:
    """Answers, has the run continue, and returns the exit status."""
    if is_within_run():
        raise UsageError(
            "`samovar answer` was called by a command of a run, which may not answer for a person. Answer "
            "from a terminal of your own."
        )
    settings = settings_for(arguments.settings, trusts=arguments.trust)
    with open_journal(settings) as journal:
        found = find_run(journal, arguments.run)
        question = _question(found, journal.people.questions(found.id), state)
        text = _text(question, value)
        if not journal.people.answer(question, text):
            raise UsageError(f"{question.key} has been answered meanwhile.")
        if found.status is RunStatus.RUNNING and _is_taken(journal, found, question):
            say(f"samovar: {found.owner} continues the run")
            return 0
    return resume_run(replace(arguments, run=found.id))


def _question(found: RunSummary, questions: Sequence[KeptQuestion], state: str | None) -> KeptQuestion:
    """The question that is meant. Raises `UsageError` if there is none, or if it may be several."""
    if not questions:
        raise UsageError(f"Run {found.id} ({found.status}) has no open question.")
    meant = [one for one in questions if state in (None, one.key.path, str(one.key))]
    names = ", ".join(str(one.key) for one in questions)
    if not meant:
        raise UsageError(f"Run {found.id} asks nothing in {state!r}. Its questions: {names}.")
    if len(meant) > 1:
        raise UsageError(f"Run {found.id} asks several questions. Name one with --state: {names}.")
    question = meant[0]
    if question.until_s is not None and question.until_s <= time.time():
        ended = f"{datetime.fromtimestamp(question.until_s):%Y-%m-%d %H:%M:%S}"
        raise UsageError(
            f"The time limit of {question.key} ended at {ended}. `samovar resume {found.id}` continues the "
            "run as without an answer."
        )
    return question


def _text(kept: KeptQuestion, value: str | None) -> str:
    """The answer. Raises `UsageError` for one that the question does not take, or if there is none."""
    question = question_from(kept)
    if value is None and sys.stdin.isatty():
        reply = anyio.run(Person(nullcontext()).ask, question)
        if reply is None:
            raise UsageError(f"{kept.key} was not answered: the run still waits.")
        return reply.text
    if value is None:
        raise UsageError(f"{kept.key} asks: {shown(question.line)} Give the answer: {_taken(question)}.")
    said = read_input() if value == "-" else value
    if not said.strip() and question.default is not None:
        return question.default
    reply = question.reply(said)
    if reply is None:
        raise UsageError(
            f"{said.strip()[:100]!r} is not an answer to {kept.key}, which takes {_taken(question)}. The run "
            "still waits."
        )
    return reply.text


def _taken(question: Asking) -> str:
    return shown(accepted(question))


def _is_taken(journal: Journal, found: RunSummary, question: KeptQuestion) -> bool:
    """Whether the process that drives the run goes on with the answer; False: nobody drives it any more."""
    for now in looks(journal, found.id):
        if journal.people.is_taken(question):
            break
        if now.status is not RunStatus.RUNNING:
            return now.status.is_over
    return True
