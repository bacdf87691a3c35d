"""Stops a run that performs nothing before a visit, with the reason: the first thing that is not as it was.

Above: `visiting.py`. Below: what a visit wants, what was found out (`foreseeing.py`), the waiting of tasks.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import zip_longest

from samovar.actions.base import Action, brief
from samovar.actions.effects import LetsTimePass, RunsCommand, WritesFile
from samovar.actions.question import Question
from samovar.errors import JournalError
from samovar.executors.base import PromptRequest
from samovar.generation import Message
from samovar.journal.base import KeptVisit, RunOrigin, VisitKey, VisitOutcome
from samovar.running.foreseeing import Foresight, Stop
from samovar.running.recorder import BegunVisit
from samovar.running.services import Services
from samovar.running.taking import LOOKING, revealed

SHOWN_CHARS = 60
NOTICED_BY_NOBODY = LOOKING | {"log", "abort", "set"}
"""Verbs of actions that look, compute, or end the run."""


async def stop_before(
    services: Services, foresight: Foresight, action: Action, entry: BegunVisit, wanted: object
) -> None:
    """Returns for an action that nobody would notice. Raises `WaitsForPersonError` for others."""
    if action.is_made_of_visits or action.verb in NOTICED_BY_NOBODY:
        return
    kept, outcome = foresight.earlier.get(entry.key), None
    if kept is not None and kept.outcome is not None:
        with suppress(JournalError):  # it has a secret that this run does not have
            outcome = revealed(services, kept.outcome)
    text = why(entry.key, wanted, kept, outcome, foresight.origin)
    foresight.stops.append(Stop(key=entry.key, verb=action.verb, why=text))
    await services.waiting.leave(
        Question(run=services.run, visit=entry.number, path=entry.path, parts=(text,))
    )


def why(
    key: VisitKey, wanted: object, kept: KeptVisit | None, outcome: VisitOutcome | None, origin: RunOrigin
) -> str:
    """A sentence. `wanted`: what the visit would do; None: that is not known.

    `kept`: the visit of this key in the earlier run; `outcome`: its outcome, with its secrets.
    """
    if origin.at == key:
        return "The run branches off here."
    if kept is not None and kept.outcome is None:
        return "The earlier run was interrupted in it."
    if origin.at is not None:
        return "It comes after the visit that the run branches off from."
    if kept is None:
        return "The earlier run has no such visit."
    if outcome is None:
        return "It has a secret that this run does not have."
    if outcome.error is not None and outcome.inputs:
        return "It failed then."
    if isinstance(wanted, PromptRequest):
        return _of_prompt(wanted, outcome)
    if isinstance(wanted, RunsCommand):
        now = _cut(wanted.command.shown or wanted.command.text)
        return (
            f"Its command, with its input, folder and variables, or what was done before, differs; now {now}."
        )
    if isinstance(wanted, WritesFile):
        return f"Its file, its text, or what was done before, differs; now {_cut(wanted.target.shown)}."
    if isinstance(wanted, Question):
        return "Its question, or what was done before, differs."
    if isinstance(wanted, LetsTimePass):
        return "Its duration differs."
    return "What it does cannot be compared."


def _of_prompt(request: PromptRequest, outcome: VisitOutcome) -> str:
    if not outcome.exchanges:
        return "The earlier run has no answer to it."
    first = outcome.exchanges[0]
    for then, now in zip_longest(first.messages, request.messages):
        if then is None or now is None:
            return f"It has {len(request.messages)} messages; then it had {len(first.messages)}."
        if (then.role, then.content) != (now.role, now.content):
            return _of_message(then, now)
    return "Its messages are the same; its model, its options, or what its conversation said before are not."


def _of_message(then: Message, now: Message) -> str:
    lines = zip_longest(then.content.splitlines(), now.content.splitlines(), fillvalue="")
    old, new = next((pair for pair in lines if pair[0] != pair[1]), (then.content, now.content))
    return f"Its {now.role} message differs: {_cut(old)} then, {_cut(new)} now."


def _cut(text: str) -> str:
    return repr(brief(text, SHOWN_CHARS))
