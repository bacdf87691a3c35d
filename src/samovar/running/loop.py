"""The loop: enter a state, perform its action, record, choose a transition. This is the only place with it.

Above: the runner, which opens what a run needs and records its ending. Below: frames, the contexts of visits,
the recorder. A sub-workflow is driven by the same loop, one frame down; the branches of a fork are tasks of
one task group, each on a frame of its own until the join.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio

from samovar.actions.base import Outcome
from samovar.errors import ActionError, Place, TimedOutError, TooLargeError
from samovar.errors.durations import lasting
from samovar.events import Ending, RunError
from samovar.expressions.absent import declared
from samovar.language.parameters import bind
from samovar.language.workflow import Body, Branch, Fork, Limits, State
from samovar.running.abort_files import AbortFiles
from samovar.running.arrivals import Arrivals
from samovar.running.branches import Claims
from samovar.running.ends import End, child_error, no_way_on, too_few, with_types
from samovar.running.finishing import finished
from samovar.running.frame import Frame
from samovar.running.items import ItemRunner
from samovar.running.recorder import BegunVisit, Recorder
from samovar.running.routing import Choice, Situation, choose, failure_edge
from samovar.running.services import Services
from samovar.running.spending import HOW_TO_RAISE, PastLimitError, Spending, own_limits
from samovar.running.strand import inside
from samovar.running.turns import give_others_a_turn
from samovar.running.visit_context import Child, VisitContext
from samovar.running.visiting import LostBranchError, Visiting
from samovar.running.waiting import ForkedTasks


class Loop:
    """Drives the frames of one run."""

    def __init__(self, services: Services, recorder: Recorder, limits: Limits) -> None:
        """`limits`: those of the run."""
        self._services, self._recorder, self._limits = services, recorder, limits
        self._doubted: set[Place] = set()
        """Where a condition was warned of: once in a run."""
        self._outside = services.outside
        self._abort_files = AbortFiles(services.outside.files, services.folder, services.run)
        items = ItemRunner(services, recorder, self)
        self._visiting = Visiting(services, recorder, self._run_child, items.run)

    async def drive(self, frame: Frame) -> End:
        """From the first state to the end. Raises `AbortedError`, and `PastLimitError` of it or one above."""
        with declared(parameter.name for parameter in frame.workflow.parameters):
            return with_types(frame, await self._drive(frame, frame.workflow.initial))

    async def finished(self, frame: Frame, drive: Callable[[], Awaitable[End]]) -> End:
        """What `drive` gives or raises for a workflow, once its state for the end was performed."""

        async def perform(frame: Frame, state: State) -> RunError | None:
            return (await self._visiting.visit(frame, state)).error

        return await finished(frame, drive, perform, self._recorder, self._outside.clock)

    async def item(self, frame: Frame, state: State) -> tuple[Outcome, RunError | None]:
        """Performs an action for one item of a list, as a visit of its own, and records it."""
        self._abort_files.check()
        visited = await self._visiting.visit(frame, state)
        await give_others_a_turn()
        return visited.outcome, visited.error

    def visit_context(self, frame: Frame, state: State, entry: BegunVisit) -> VisitContext:
        """What a visit that begins in no diagram may use."""
        return self._visiting.context(frame, state, entry)

    async def inside(self, frame: Frame, body: Body) -> End:
        """Drives the inner diagram of a composite for one item of a list."""
        return await self._drive(frame, body.first, until=body.exit)

    async def _drive(self, frame: Frame, first: str, until: str | None = None) -> End:
        """From a state to the end, or to the state `until`, which is not entered."""
        states = frame.workflow.states
        state = states[first]
        while True:
            self._abort_files.check()
            visited = await self._visiting.visit(frame, state)
            entry, error = visited.entry, visited.error
            visit = entry.number
            await give_others_a_turn()
            choice = await self._choose(frame, state, visit, failed_here=error is not None)
            transition = choice.transition
            if transition is None:
                return no_way_on(frame, state, choice, error)
            if (fork := frame.workflow.forks.get(state.name)) and choice.started:
                targets = {one.target for one in choice.started}
                started = [branch for branch in fork.branches if branch.first in targets]
                end = await self._fork(frame, state, fork, started, entry)
                if end is None and fork.join == until:
                    return End(ending=Ending.COMPLETED)
                state = states[fork.join]
                if end is None:
                    continue
                # A join that is the outer fork's too is not for this branch to leave.
                is_ours = end.ending is Ending.FAILED and fork.join != until
                caught = failure_edge(state) if is_ours else None
                if caught is None:
                    return end
                transition = caught
            frame.leave(state, transition)
            await self._visiting.step(frame, entry, transition)
            if transition.target is None:
                return End(ending=Ending.COMPLETED)
            self._spend_transition(frame, visit)
            if transition.target == until:
                return End(ending=Ending.COMPLETED)
            state = states[transition.target]

    def _spend_transition(self, frame: Frame, visit: int) -> None:
        frame.spending.spend(transitions=1)
        if frame.spending.ends_soon:
            top = frame.spending.outermost
            message = (
                f"The run has made {top.transitions} of {top.most_transitions} transitions. {HOW_TO_RAISE}"
            )
            self._recorder.warn(message, frame.workflow.states[frame.workflow.initial].place, visit)

    async def _choose(self, frame: Frame, state: State, visit: int, *, failed_here: bool) -> Choice:
        situation = Situation(
            failed_here=failed_here,
            failed_last=frame.failed,
            goes_on=frame.workflow.on_error == "continue",
        )
        choice = await self._services.computer.compute(lambda: choose(state, frame.variables, situation))
        for message, place in choice.warnings:
            self._recorder.warn(message, place, visit)
        for message, place in choice.doubts:
            if place not in self._doubted:
                self._doubted.add(place)
                self._recorder.warn(message, place, visit)
        return choice

    # Forks.

    async def _fork(
        self, frame: Frame, state: State, fork: Fork, started: Sequence[Branch], entry: BegunVisit
    ) -> End | None:
        """Drives branches of a fork at once and joins them. Gives the end, if they reach one.

        The others end once enough have reached the join, or too few can.
        """
        join = frame.workflow.states[fork.join]
        if (lack := too_few(frame, fork, len(started))) is not None:
            frame.leave_behind(join, Outcome(), lack)
            return End(ending=Ending.FAILED, error=lack)
        for branch in started:
            await self._visiting.step(frame, entry, branch.transition)
            self._spend_transition(frame, entry.number)
        around = (frame.claims, frame.branch) if frame.claims and frame.branch else None
        claims = Claims(outer=around)
        frames = {one.first: frame.branch_off(state, one.transition, claims) for one in started}
        frame.leave_to_branches(state)
        journal = self._services.journal
        own = kept = journal.fork_of(entry.key) if journal else None
        if own is None and (earlier := self._services.earlier) is not None:
            kept = earlier.fork_of(frame, entry.key)
        arrivals = Arrivals(tuple(frames), fork.needed.count if fork.needed else len(frames), kept)
        with self._services.waiting.forked(len(started)) as tasks:
            await self._branches(frame, fork, frames, arrivals, tasks)
        frame.strand.follow(one.strand for one in frames.values())
        if journal is not None and own is None and not arrivals.all_came:
            await journal.decide(arrivals.kept(entry.key, frame.strand.prefix))
        value_bytes = self._services.settings.value_bytes
        if arrivals.end is not None:
            with suppress(TooLargeError):  # the run ends for another reason
                frame.leave_branches(frames, arrivals.ends, value_bytes)
            return arrivals.end
        try:
            doubts = frame.join(frames, arrivals.ends, value_bytes)
        except TooLargeError as large:
            path = frame.prefix + join.name
            return End(ending=Ending.FAILED, error=RunError.of(large, path, join.place))
        for doubt in doubts:
            self._recorder.warn(doubt, join.place, entry.number)
        return None

    async def _branches(
        self,
        frame: Frame,
        fork: Fork,
        frames: Mapping[str, Frame],
        arrivals: Arrivals,
        tasks_of: ForkedTasks,
    ) -> None:
        """Drives branches until all have ended or been cancelled. `arrivals` has what came of them."""
        errors: list[BaseException] = []

        async def drive(first: str) -> None:
            with branches.one(), tasks_of.one():
                strand = frames[first].strand
                strand.is_lost = strand.is_lost or arrivals.was_lost(first)
                try:
                    end = await self._drive(frames[first], first, until=fork.join)
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # handed on: it is raised below
                    if isinstance(error, LostBranchError) and arrivals.was_lost(first):
                        return
                    if arrivals.end is None:
                        errors.append(error)
                else:
                    is_over = arrivals.note(first, end)
                    if arrivals.end is end:
                        frame.take_over(frames[first])
                    if not is_over:
                        return
                branches.cancel()

        async with anyio.create_task_group() as tasks:
            branches = self._outside.clock.branches(len(frames), tasks.cancel_scope)
            for first in frames:
                tasks.start_soon(drive, first, name=f"branch {first}")
        if errors:
            raise errors[0]

    # Sub-workflows.

    async def _run_child(self, context: VisitContext, child: Child) -> object:
        """Drives a sub-workflow; see `visit_context.RunChild`."""
        frame = self._child_frame(context, child)
        try:
            end = await self.finished(frame, partial(self._child_end, frame, child))
        finally:
            context.frame.strand.follow((frame.strand,))
        if end.ending is not Ending.COMPLETED:
            raise child_error(context, child, end)
        if frame.workflow.returns is not None:
            return frame.workflow.returns.of(frame.variables)
        return {name: value for name, value in frame.variables.items() if not name.startswith("_")}

    async def _child_end(self, frame: Frame, child: Child) -> End:
        named, own_s = f"Workflow {child.name!r}", frame.spending.limits.duration_s
        clock = self._outside.clock
        with clock.move_on_after(child.timeout_s) as timeout:
            with clock.move_on_after(own_s) as limit:
                try:
                    end = await self.drive(frame)
                except PastLimitError as past:
                    if past.spending is not frame.spending:
                        raise
                    end = End(ending=Ending.LIMITED, error=RunError.of(past))
            if own_s is not None and limit.cancelled_caught:
                message = f"{named} took longer than its limit of {lasting(own_s)}."
                raise TimedOutError(message, place=child.place)
        if child.timeout_s is not None and timeout.cancelled_caught:
            raise TimedOutError(f"{named} took longer than {lasting(child.timeout_s)}.", place=child.place)
        return end

    def _child_frame(self, context: VisitContext, child: Child) -> Frame:
        above = context.frame
        workflow = self._services.library.child(above.workflow, child.name)
        self._services.gate.check(self._services.library, workflow, above.workflow)
        if any(workflow.identity == one.identity for one in above.chain):
            chain = " → ".join(one.name for one in (*above.chain, workflow))
            raise ActionError(f"Workflows run each other in a circle: {chain}.", place=child.place)
        if len(above.chain) > self._limits.depth:
            message = f"Workflows are nested more than {self._limits.depth} deep (limits: depth)."
            raise PastLimitError("depth", message, above.spending.outermost)
        self._recorder.warn_of(workflow)
        limits = own_limits(workflow, self._limits)
        prefix = f"{above.prefix}{context.state.name}/"
        call = f"({child.call})" if child.call > 1 else ""
        defaults = replace(
            above.defaults.below(workflow),
            timeout_s=limits.prompt_timeout_s,
            tool_rounds=limits.tool_rounds,
            session_scope=f"{inside(context.key)}{call}/",
        )
        bound = bind(workflow.parameters, child.given, ask=None)
        spending = Spending(limits, context.spending, name=child.name)
        frame = Frame.begin(
            workflow, bound, spending, folder=self._services.folder, defaults=defaults, chain=above.chain
        )
        frame.prefix, frame.branch = prefix, above.branch
        frame.strand = above.strand.below(context.key)
        self._recorder.learn(frame.secret_values)
        return frame
