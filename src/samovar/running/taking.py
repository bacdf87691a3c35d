"""Takes a visit from an earlier run in place of performing it, and keeps it with the run that takes it.

Above: `visiting.py`. Below: what there is to take, and how it is found out what a visit is performed with.
A command, a question and a whole file that is written are taken as a prompt is: nothing of them is done
again. What only looks at what is outside looks again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from samovar.actions.base import Action
from samovar.actions.time_limit import perform
from samovar.errors import JournalError, SamovarError
from samovar.journal.base import Intent, KeptVisit, VisitOutcome
from samovar.language.moment import at_moment
from samovar.running.deciding import FoundOut
from samovar.running.origins import Earlier, taken
from samovar.running.services import Services
from samovar.running.visit_context import VisitContext

LOOKING = frozenset(("read", "find"))
"""Verbs that look at what is outside: they do so again, and what they find may be the same."""
_PERFORMED = LOOKING | {"log", "abort"}
"""Verbs that no earlier run is asked about."""


async def taken_over(
    earlier: Earlier, services: Services, action: Action, context: VisitContext
) -> tuple[float, VisitOutcome] | None:
    """When a visit of the earlier run began, and its outcome, which this run has now; None: there is none.

    `context`: of the visit, which only asks what it would be performed with.
    """
    found = earlier.by_key(context.frame, context.key)
    if found is None and earlier.compares:
        found = await _same(earlier, services, action, context)
    if found is None or found.outcome is None:
        return None
    for one in earlier.within(context.key):
        inner = await _take(earlier, services, one.intent, one.outcome)
        if inner is not None:
            for exchange in inner.exchanges:
                services.conversations.note(exchange, inner.stamp)
    # Until its outcome is there as well, it is taken again: what it may be interrupted in is this.
    outcome = await _take(earlier, services, replace(found.intent, key=context.key), found.outcome)
    assert outcome is not None
    return found.intent.entered_at, outcome


async def _same(
    earlier: Earlier, services: Services, action: Action, context: VisitContext
) -> KeptVisit | None:
    """A visit of the earlier run that was performed with the same."""
    if action.is_made_of_visits or action.verb in _PERFORMED:
        return None
    then_s = earlier.moment(context.key)
    deciding = context.deciding
    now_s = services.outside.clock.now_s() if then_s is None else then_s
    with at_moment(now_s), suppress(FoundOut, SamovarError):  # what is wrong shows when it is performed
        deciding.of_set(action, context.frame.variables)
        await perform(action, context.context())
    found = earlier.by_inputs(context.key, deciding.digest) if deciding.digest else None
    if found is None or found.outcome is None:
        return None
    try:
        outcome = revealed(services, found.outcome)
    except JournalError:  # it has a secret that this run does not have there
        return None
    strand = context.frame.strand
    strand.note(outcome.stamp if deciding.has_stamp else deciding.digest, touches=deciding.touches)
    return replace(found, outcome=replace(outcome, is_concealed=False, after=(strand.touched, strand.done)))


async def _take(
    earlier: Earlier, services: Services, intent: Intent, outcome: VisitOutcome | None
) -> VisitOutcome | None:
    journal, references = services.journal, services.references
    if journal is None or outcome is None:
        return None
    outcome = replace(taken(revealed(services, outcome), earlier.run), is_concealed=False)
    await journal.intend(replace(intent, is_repeatable=True))
    concealed = references.conceal(outcome)
    await journal.leave(intent.key, replace(concealed, is_concealed=not references.is_empty))
    return outcome


def revealed(services: Services, outcome: VisitOutcome) -> VisitOutcome:
    """An outcome with its secrets. Raises `JournalError`."""
    return services.references.reveal(outcome) if outcome.is_concealed else outcome
