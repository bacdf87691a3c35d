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
from samovar.events import RunError, VisitStatus
from samovar.generation import TokenCounts
from samovar.journal.base import Intent, KeptRun, KeptVisit, VisitOutcome
from samovar.language.moment import at_moment
from samovar.language.workflow import State
from samovar.running.abort_files import AbortedError
from samovar.running.ends import too_large
from samovar.running.frame import Frame
from samovar.running.recorder import BegunVisit, Recorder
from samovar.running.services import Services
from samovar.running.spending import PastLimitError
from samovar.running.uncertain import decided
from samovar.running.visit_context import DoItems, RunChild, VisitContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """What came of a visit."""

    outcome: Outcome
    number: int
    error: RunError | None
    """Why its action failed."""


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
        if action is None:
            self._recorder.leave(entry, VisitStatus.SUCCESS, outcome=Outcome(), secrets=frame.secret_names)
            return Visited(outcome=Outcome(), number=entry.number, error=None)
        journal = self._services.journal
        if journal is not None:
            self._learn(frame)
        kept = journal.recall(entry.key) if journal else None
        if kept is not None and kept.outcome is not None:
            return self._again(frame, state, entry, kept.intent.entered_at, kept.outcome)
        return await self._now(frame, state, action, entry, kept)

    def context(self, frame: Frame, state: State, entry: BegunVisit) -> VisitContext:
        """What a visit that has begun now may use."""
        return VisitContext(
            services=self._services,
            frame=frame,
            state=state,
            number=entry.number,
            defaults=frame.defaults.at(entry.path, entry.visit_of_state),
            run_child=self._run_child,
            do_items=self._do_items,
        )

    # As the journal has it.

    def _again(
        self, frame: Frame, state: State, entry: BegunVisit, entered_at: float, kept: VisitOutcome
    ) -> Visited:
        if kept.is_concealed:
            kept = self._services.references.reveal(kept)
        outcome = _outcome_of(kept)
        frame.begin_action()
        with at_moment(entered_at):
            frame.leave_behind(state, outcome, kept.error)
        self._learn(frame)
        for exchange in kept.exchanges:
            self._services.conversations.note(exchange)
        entry = replace(entry, kept_duration_s=kept.duration_s)
        self._leave(frame, entry, outcome, kept.error)
        spent = kept.spent + self._services.conversations.spent_within(entry.key)
        self._spend(frame, outcome, spent)
        return Visited(outcome=outcome, number=entry.number, error=kept.error)

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
        context = replace(self.context(frame, state, entry), since_s=now_s if kept else None)
        frame.begin_action()
        outcome = Outcome()
        try:
            skipped = decided(kept, services.uncertain, action) if kept else None
            if journal is not None:
                await journal.intend(intent)
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
            await self._keep(journal, entry, outcome, error, context)
        self._leave(frame, entry, outcome, error)
        self._spend(frame, outcome, TokenCounts())
        return Visited(outcome=outcome, number=entry.number, error=error)

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
                spent=sum((one.tokens for one in (*context.failed, *context.aside)), TokenCounts()),
                is_concealed=not references.is_empty,
            )
        )
        await journal.leave(entry.key, kept)

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

    def _spend(self, frame: Frame, outcome: Outcome, spent: TokenCounts) -> None:
        figures = outcome.figures
        if figures:
            spent = spent + figures.tokens
        if figures or spent.generated:
            frame.spending.spend(tokens=spent.generated, cost=figures.cost if figures else 0.0)


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
