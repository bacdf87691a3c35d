"""`samovar answer`: a question of a run is answered, and the run continues, here or where it is driven.

Above: `kept_commands.py`. Below: the journal, `resuming.py`. The answer is kept before anything else is done:
whoever drives the run, now or later, takes it from there.
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import anyio

from samovar.actions.question import Asking, accepted
from samovar.cli.asking import Person
from samovar.cli.keeping import find_run, looks
from samovar.cli.questions import MOST_NAMED, Ways
from samovar.cli.resuming import ResumeArguments, resume_run
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.errors.counting import counted
from samovar.journal.base import Journal, RunStatus, RunSummary
from samovar.journal.opening import open_journal
from samovar.journal.people import KeptQuestion
from samovar.preflight.variable_files import read_input
from samovar.projects.lineage import is_within_run
from samovar.running.waiting import question_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What `samovar answer` says of a question."""

    value: str | None
    """The answer; None: a person is asked for it."""
    state: str | None
    """The path of the state that asks, or its whole visit as the list of questions has it; None: any."""
    number: int | None
    """Which question of the run it is, from 1; None: the one that there is."""


def answer_run(arguments: ResumeArguments, answering: Answering) -> int:
    """Answers, has the run continue, and returns the exit status."""
    if is_within_run():
        raise UsageError(
            "`samovar answer` was called by a command of a run, which may not answer for a person. Answer "
            "from a terminal of your own."
        )
    assert arguments.run is not None
    settings = settings_for(arguments.settings, trusts=arguments.trust)
    with open_journal(settings) as journal:
        found = find_run(journal, arguments.run)
        question = _question(journal, found, answering, settings.journal_file)
        text = _text(question, answering.value)
        if not journal.people.answer(question, text):
            raise UsageError(f"{question.key} has been answered meanwhile.")
        if found.status is RunStatus.RUNNING and _is_taken(journal, found, question):
            say(f"samovar: {found.owner} continues the run")
            return 0
    return resume_run(replace(arguments, run=found.id))


def _question(journal: Journal, found: RunSummary, answering: Answering, file: Path | None) -> KeptQuestion:
    """The question that is meant, which is open. `file`: the journal that somebody named.

    A value answers one certain question: what names it must be true of no other one that the run has asked,
    answered or not. So a command that is repeated by mistake never answers the question that came next.
    Raises `UsageError`.
    """
    questions, asked = journal.people.questions(found.id), journal.people.asked(found.id)
    if not questions:
        raise UsageError(f"Run {found.id} ({found.status}) has no open question.")
    now_s, ways = time.time(), Ways(journal, (found.id,), file)
    open_ones = "".join(f"\n  {shown(str(one.key))}: {ways.of(one, now_s)}" for one in questions[:MOST_NAMED])
    names_one = answering.value is not None
    meant = [one for one in (asked if names_one else questions) if _is_meant(one, answering)]
    if not meant:
        raise UsageError(f"Run {found.id} has no such question. It waits for:{open_ones}")
    if len(meant) > 1:
        raise UsageError(
            f"Run {found.id} has asked {counted(len(asked), 'question')}, and each answer must name the one "
            f"that it is for:{open_ones}"
        )
    question = meant[0]
    if question not in questions:
        raise UsageError(f"{question.key} has been answered already. Run {found.id} waits for:{open_ones}")
    if question.until_s is not None and question.is_late(now_s):
        ended = f"{datetime.fromtimestamp(question.until_s):%Y-%m-%d %H:%M:%S}"
        raise UsageError(
            f"The time limit of {question.key} ended at {ended}. `{ways.of(question, now_s)}` continues the "
            "run as without an answer."
        )
    return question


def _is_meant(question: KeptQuestion, answering: Answering) -> bool:
    return answering.state in (None, question.key.path, str(question.key)) and (
        answering.number in (None, question.number)
    )


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
