"""One visit of a state: its action is performed and recorded, or what the journal has of it is taken.

Above: `loop.py`, which goes from state to state. Below: the contexts of visits, the recorder, the journal's
contract. A visit is in the journal before its action begins, and again when it has ended. In a run that
continues, a visit that had ended is not performed again: its outcome leaves behind what it left then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from samovar.actions.base import Action, Outcome
from samovar.actions.list_items import CommonAnswer
from samovar.actions.time_limit import perform
from samovar.errors import JournalError, SamovarError
from samovar.events import NOTHING, PromptFigures, RunError, VisitStatus
from samovar.generation import TokenCounts
from samovar.journal.base import Charges, Intent, KeptRun, KeptVisit, VisitOutcome
from samovar.journal.inputs import digest_of
from samovar.language.moment import at_moment
from samovar.language.workflow import Limits, State, Transition
from samovar.running.abort_files import AbortedError
from samovar.running.deciding import Deciding
from samovar.running.ends import too_large
from samovar.running.frame import Frame
from samovar.running.reasons import stop_before
from samovar.running.recorder import BegunVisit, Recorder
from samovar.running.services import Services
from samovar.running.spending import PastLimitError, Spending
from samovar.running.strand import inside
from samovar.running.taking import LOOKING, revealed, taken_over
from samovar.running.uncertain import decided
from samovar.running.visit_context import DoItems, RunChild, VisitContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """What came of a visit."""

    outcome: Outcome
    entry: BegunVisit
    error: RunError | None
    """Why its action failed."""


class LostBranchError(Exception):
    """A branch that an earlier process has cancelled came to where it was then."""


class Visiting:
    """Performs the visits of one run."""

    def __init__(
        self, services: Services, recorder: Recorder, run_child: RunChild, do_items: DoItems
    ) -> None:
        self._services, self._recorder = services, recorder
        self._run_child, self._do_items = run_child, do_items

    async def visit(self, frame: Frame, state: State) -> Visited:
        """Performs a state's action and records it; or takes it from the journal."""
        action: Action | None = None
        if frame.acts(state):
            action = state.action  # type: ignore[assignment]
        entry = self._recorder.enter(frame, state, action)
        services = self._services
        is_ended = services.foresight is not None and frame.strand.is_at_cancel  # which performs nothing
        if action is None or is_ended:
            self._recorder.leave(entry, VisitStatus.SUCCESS, outcome=Outcome(), secrets=frame.secret_names)
            return Visited(outcome=Outcome(), entry=entry, error=None)
        journal, earlier = services.journal, services.earlier
        if journal is None or frame.strand.is_at_cancel:
            return await self._now(frame, state, action, entry, None)
        self._learn(frame)
        if earlier is not None:
            earlier.arrive(frame, entry.key)
        kept = journal.recall(entry.key)
        if kept is not None and kept.outcome is not None and not kept.outcome.is_given_up:
            if earlier is not None:
                earlier.came_back(frame, entry.key)
            outcome = revealed(services, kept.outcome)
            return self._again(frame, state, entry, kept.intent.entered_at, outcome)
        is_lost, wanted = frame.strand.is_lost, None
        if earlier is not None and not (is_lost and earlier.compares):
            context = self.context(frame, state, entry, only_asks=True)
            if (found := await taken_over(earlier, services, action, context)) is not None:
                return self._again(frame, state, entry, *found)
            kept, wanted = kept or earlier.begun(frame, entry.key), context.deciding.wanted
        if is_lost:
            self._recorder.leave(entry, VisitStatus.CANCELLED)
            raise LostBranchError
        if services.foresight is not None:
            await stop_before(services, services.foresight, action, entry, wanted)
        return await self._now(frame, state, action, entry, kept)

    async def step(self, frame: Frame, entry: BegunVisit, transition: Transition) -> None:
        """A transition is taken, out of a visit."""
        step = self._recorder.take(frame, transition, entry)
        if self._services.journal is not None:
            await self._services.journal.step(step)

    # As the journal has it.

    def _again(
        self, frame: Frame, state: State, entry: BegunVisit, entered_at: float, kept: VisitOutcome
    ) -> Visited:
        outcome = _outcome_of(kept)
        frame.begin_action()
        with at_moment(entered_at):
            frame.leave_behind(state, outcome, kept.error)
        self._learn(frame)
        if any(kept.after):
            frame.strand.touched, frame.strand.done = kept.after
        for exchange in kept.exchanges:
            self._services.conversations.note(exchange, kept.stamp)
        self._services.conversations.note_below(entry.key)
        tokens = kept.spent + self._services.conversations.spent_within(entry.key)
        entry = replace(entry, kept_duration_s=kept.duration_s, kept_tokens=tokens)
        self._leave(frame, entry, outcome, kept.error)
        used = kept.used
        frame.spending.spend(
            transitions=used.transitions, tokens=used.tokens, tool_calls=used.tool_calls, cost=used.cost
        )
        return Visited(outcome=outcome, entry=entry, error=kept.error)

    # Now.

    async def _now(
        self, frame: Frame, state: State, action: Action, entry: BegunVisit, kept: KeptVisit | None
    ) -> Visited:
        services, recorder = self._services, self._recorder
        clock, journal = services.outside.clock, services.journal
        now_s = kept.intent.entered_at if kept else clock.now_s()
        intent = Intent(
            key=entry.key,
            number=entry.number,
            verb=action.verb,
            entered_at=now_s,
            is_repeatable=action.is_repeatable or action.is_made_of_visits,
        )
        context = self.context(frame, state, entry, since_s=now_s if kept else None)
        frame.begin_action()
        outcome = Outcome()
        try:
            skipped = decided(kept, services.uncertain, action) if kept else None
            if journal is not None:
                await journal.intend(intent)
            context.deciding.of_set(action, frame.variables)
            with at_moment(now_s):
                outcome = skipped or await perform(action, context.context())
            failure: SamovarError | None = outcome.error
            if found := too_large(outcome, services.settings.value_bytes):
                outcome, failure = Outcome(figures=outcome.figures), found
        except PastLimitError:
            recorder.leave(entry, VisitStatus.CANCELLED)
            raise
        except SamovarError as raised:
            if recorder.broken is not None or isinstance(raised, JournalError):
                raise
            failure = raised
        except BaseException:  # a cancellation or a defect: the visit is over, and it continues
            recorder.leave(entry, VisitStatus.CANCELLED, quietly=True)
            raise
        error = RunError.of(failure, entry.path, action.place) if failure else None
        with at_moment(now_s):
            frame.leave_behind(state, outcome, error)
        self._learn(frame)
        if journal is not None:
            if not journal.head.is_outline:
                _note(action, context, outcome)
            await self._keep(journal, entry, outcome, error, context)
        self._leave(frame, entry, outcome, error)
        if outcome.figures:
            frame.spending.spend(tokens=outcome.figures.tokens.generated, cost=outcome.figures.cost)
        return Visited(outcome=outcome, entry=entry, error=error)

    def context(
        self,
        frame: Frame,
        state: State,
        entry: BegunVisit,
        *,
        since_s: float | None = None,
        only_asks: bool = False,
    ) -> VisitContext:
        """What a visit may use. `only_asks`: it is only to be found out what it would do."""
        services = self._services
        journal = services.journal
        return VisitContext(
            services=services,
            frame=frame,
            state=state,
            number=entry.number,
            key=entry.key,
            spending=Spending(Limits(), frame.spending),
            defaults=frame.defaults.at(entry.key.path, entry.key.nth),
            run_child=self._run_child,
            do_items=self._do_items,
            deciding=Deciding(
                strand=frame.strand,
                references=services.references,
                settings=services.settings,
                key=journal.key if journal else bytes,
                only_asks=only_asks,
                is_decided=journal is None or journal.head.is_outline,  # nobody wants to know
            ),
            since_s=since_s,
        )

    async def _keep(
        self,
        journal: KeptRun,
        entry: BegunVisit,
        outcome: Outcome,
        error: RunError | None,
        context: VisitContext,
    ) -> None:
        clock, references = self._services.outside.clock, self._services.references
        kept = references.conceal(
            VisitOutcome(
                value=outcome.value,
                is_new=outcome.is_new,
                sets=outcome.sets,
                error=error,
                abort=outcome.abort,
                figures=outcome.figures,
                answer=(outcome.answer.text, outcome.answer.is_picked) if outcome.answer else None,
                what=outcome.what,
                left_at=clock.now_s(),
                duration_s=self._recorder.time_s() - entry.entered_s,
                exchanges=tuple(context.exchanges),
                spent=sum(
                    [*(one.tokens for one in context.failed), *(one.tokens for one in context.aside)],
                    TokenCounts(),
                ),
                used=_used(context.spending, outcome.figures),
                is_at_cancel=context.frame.strand.is_at_cancel,
                is_concealed=not references.is_empty,
                inputs=context.deciding.digest,
                stamp=context.stamp,
                after=(context.frame.strand.touched, context.frame.strand.done),
                memory_bytes=self._services.resident_bytes(),
                loads=context.load_waits,
                performed=tuple(context.performed),
            )
        )
        action = context.state.action
        is_whole = isinstance(action, Action) and action.is_made_of_visits
        await journal.leave(entry.key, kept, within=inside(entry.key) if is_whole else None)

    def _learn(self, frame: Frame) -> None:
        self._recorder.learn(frame.secret_values)
        if self._services.journal is not None:
            for name in frame.secret_names:
                self._services.references.learn(frame.prefix + name, frame.variables.get(name))

    def _leave(self, frame: Frame, entry: BegunVisit, outcome: Outcome, error: RunError | None) -> None:
        status = VisitStatus.FAILURE if error else VisitStatus.SUCCESS
        self._recorder.leave(entry, status, error=error, outcome=outcome, secrets=frame.secret_names)
        if outcome.abort is not None:
            raise AbortedError(outcome.abort, entry.path)


def _used(spending: Spending, figures: PromptFigures | None) -> Charges:
    """What a visit has used, with all within it."""
    return Charges(
        transitions=spending.transitions,
        tokens=spending.tokens + (figures.tokens.generated if figures else 0),
        tool_calls=spending.tool_calls,
        cost=spending.cost + ((figures.cost or 0.0) if figures else 0.0),
    )


def _note(action: Action, context: VisitContext, outcome: Outcome) -> None:
    """What was performed, for what comes after it on its strand."""
    deciding = context.deciding
    if action.verb in LOOKING:
        value = None if outcome.value is NOTHING else outcome.value
        context.frame.strand.note(digest_of(value), touches=False)
    elif deciding.is_decided:
        stamp = context.stamp if deciding.has_stamp else deciding.digest
        context.frame.strand.note(stamp, touches=deciding.touches)


def _outcome_of(kept: VisitOutcome) -> Outcome:
    return Outcome(
        value=kept.value,
        is_new=kept.is_new,
        sets=kept.sets,
        abort=kept.abort,
        figures=kept.figures,
        answer=CommonAnswer(*kept.answer) if kept.answer else None,
        what=kept.what,
    )
