"""Drives one run to one of its endings: enter a state, perform its action, record, choose a transition.

Above: the app and the doors. Below: actions, the library, the waist. This is the only place with the loop,
and the only one that changes variables. A sub-workflow is driven by the same loop, one level down.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from samovar.actions.base import Action, Outcome, PromptDefaults
from samovar.allowance import Allowance, PastLimitError, own_limits
from samovar.errors import ActionError, FaultsError, Place, SamovarError, TimedOutError
from samovar.events import (
    Ending,
    Event,
    OnEvent,
    RunEnded,
    RunError,
    RunStarted,
    StateEntered,
    StateLeft,
    TransitionTaken,
    VisitStatus,
    Warned,
)
from samovar.executors.base import Connection, Executor
from samovar.level import Level
from samovar.library import Library
from samovar.parameters import bind
from samovar.routing import Choice, Situation, choose, explain
from samovar.run import Run
from samovar.site import Child, Services, Site
from samovar.workflow import Limits, State, When, Workflow

ABORT_FILE = Path(".swissarmyhammer") / ".abort"
"""A file of this name below the folder ends the run before its next state; its text is the reason."""
_TURN_S = 0.002
"""So long the loop runs at most before others on the event loop have a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """What a door can decide about a run. None leaves it to the workflow."""

    model: str | None = None
    """Used by every prompt, whatever it says."""
    seed: int | None = None
    folder: Path = field(default_factory=Path.cwd)
    """Where commands run, and where the abort file is looked for."""
    wait_for_user: Callable[[str], Awaitable[None]] | None = None
    """Shows a message and returns when the user is ready; None: there is no user."""
    yes: bool = False
    """Goes on where a workflow waits for a user."""
    lenient: bool = False
    """Of sub-workflows: text that is no action is a warning."""
    transitions: int | None = None
    duration_s: float | None = None
    tokens: int | None = None
    depth: int | None = None
    prompt_timeout_s: float | None = None


def _ignore(_: Event) -> None:
    return


class Runner:
    """Runs workflows. It may be used for many runs, also at the same time; mutable only in what runs now."""

    def __init__(
        self,
        library: Library,
        executor: Executor,
        *,
        on_event: OnEvent = _ignore,
        settings: RunnerSettings | None = None,
    ) -> None:
        self.library, self.executor = library, executor
        self.on_event = on_event
        self.settings = settings or RunnerSettings()
        self._scopes: set[anyio.CancelScope] = set()

    def stop(self) -> None:
        """Cancels what runs now. Each `run` gives back all it holds and then returns, as cancelled."""
        for scope in self._scopes:
            scope.cancel()

    async def run(self, workflow: Workflow, variables: Mapping[str, object]) -> Run:
        """Runs a workflow to its end and gives the record, whatever the ending.

        Cancelled from outside, the run is recorded as cancelled and the cancellation goes on. An exception
        that is no `SamovarError` (a defect, or one from `on_event`) ends the run as failed and comes out.

        Raises `UsageError` before anything is run when the variables are not what the workflow takes.
        """
        bound = bind(workflow.parameters, variables, ask=None)
        driven = _Driven(self, workflow)
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await driven.drive(bound)
            finally:
                self._scopes.discard(scope)
        return driven.record


class _Aborted(Exception):
    """`Abort`, or the abort file: ends every level. `state` is the path of the one that aborted."""

    def __init__(self, reason: str, state: str | None = None) -> None:
        super().__init__(reason)
        self.error = RunError(code="aborted", message=reason, state=state)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How one workflow of a run ended."""

    ending: Ending
    error: RunError | None = None


class _Driven:
    """One run, from its start to its end."""

    def __init__(self, runner: Runner, workflow: Workflow) -> None:
        self.runner, self.workflow = runner, workflow
        self.settings, self.library = runner.settings, runner.library
        self.limits = _limits(workflow.limits, runner.settings)
        self.started = time.perf_counter()
        self.turn_ends = self.started + _TURN_S
        self.abort_file = self.settings.folder / ABORT_FILE
        self.services: Services | None = None
        """None until the executor has given a connection."""
        self.broken: BaseException | None = None
        self.warned: set[Path | None] = set()
        started = RunStarted(
            run=f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}",
            workflow=workflow.name,
            path=workflow.path,
            started_at=time.time(),
        )
        self.record = Run.begin(started)
        self.start_event = started

    # The run as a whole.

    async def drive(self, variables: Mapping[str, object]) -> None:
        """Runs it and records the ending, once. Comes out with what is not the run's own failure."""
        level = self._first_level(variables)
        try:
            self.tell(self.start_event)
            self._tell_warnings(level.workflow)
            with suppress(OSError):
                self.abort_file.unlink(missing_ok=True)
            async with self.runner.executor.open(self.record.id) as connection:
                self.services = self._services(connection)
                end = await self._to_end(level)
        except anyio.get_cancelled_exc_class():
            self._record_end(_End(ending=Ending.CANCELLED), level, quietly=True)
            raise
        except SamovarError as error:
            self._record_end(_End(ending=Ending.FAILED, error=_error(error)), level)
            if self.broken is not None:
                raise self.broken from None
        except BaseException as error:
            failure = RunError(code="internal", message=f"{type(error).__name__}: {error}")
            self._record_end(_End(ending=Ending.FAILED, error=failure), level, quietly=True)
            raise self.broken or error from None
        else:
            self._record_end(end, level)

    def _services(self, connection: Connection) -> Services:
        return Services(
            run=self.record.id,
            library=self.library,
            folder=self.settings.folder,
            connection=connection,
            wait_for_user=_go_on if self.settings.yes else self.settings.wait_for_user,
            tell=self.tell,
            run_child=self._run_child,
        )

    def _first_level(self, variables: Mapping[str, object]) -> Level:
        workflow, settings = self.workflow, self.settings
        seed = settings.seed if settings.seed is not None else workflow.seed
        defaults = PromptDefaults(
            model=workflow.model,
            forced_model=settings.model,
            seed=seed or 0,
            timeout_s=self.limits.prompt_timeout_s,
        )
        return Level.begin(workflow, variables, Allowance(self.limits), defaults=defaults)

    async def _to_end(self, level: Level) -> _End:
        try:
            with anyio.move_on_after(self.limits.duration_s):
                return await self._loop(level)
        except _Aborted as aborted:
            return _End(ending=Ending.ABORTED, error=aborted.error)
        except PastLimitError as error:
            return _End(ending=Ending.LIMITED, error=_error(error))
        message = f"The run took longer than {self.limits.duration_s:g} s (limits: duration)."
        return _End(ending=Ending.LIMITED, error=RunError(code="limit", message=message))

    def _record_end(self, end: _End, level: Level, *, quietly: bool = False) -> None:
        event = RunEnded(
            ending=end.ending, error=end.error, variables=dict(level.variables), time_s=self.time_s()
        )
        if quietly:
            self._tell_quietly(event)
        else:
            self.tell(event)

    # Telling.

    def time_s(self) -> float:
        return time.perf_counter() - self.started

    def tell(self, event: Event) -> None:
        """Records an event and tells it. An exception of `on_event` goes on; nothing is told after it."""
        self.record = self.record.after(event)
        if self.broken is not None:
            return
        try:
            self.runner.on_event(event)
        except BaseException as error:
            self.broken = error
            raise

    def _tell_quietly(self, event: Event) -> None:
        """Where something else is already on its way out."""
        with suppress(Exception):
            self.tell(event)

    def _tell_warnings(self, workflow: Workflow) -> None:
        if workflow.path not in self.warned:
            self.warned.add(workflow.path)
            for fault in workflow.warnings:
                self.tell(Warned(visit=None, message=fault.message, place=fault.place))

    # The loop.

    async def _loop(self, level: Level) -> _End:
        """From the first state of a workflow to its end."""
        states = level.workflow.states
        state = states[level.workflow.initial]
        while True:
            self._check_abort_file()
            visit, error = await self._visit(level, state)
            situation = Situation(
                failed_here=error is not None,
                failed_last=level.failed,
                goes_on=level.workflow.on_error == "continue",
            )
            choice = choose(state, level.variables, situation)
            for message, place in choice.warnings:
                self.tell(Warned(visit=visit, message=message, place=place))
            transition = choice.transition
            if transition is None:
                return _no_way_on(level, state, choice, error)
            if transition.when is When.FAILURE:
                level.variables["is_error"] = False
            self.tell(
                TransitionTaken(
                    visit=visit,
                    source=level.prefix + state.name,
                    target=None if transition.target is None else level.prefix + transition.target,
                    label=transition.label,
                    time_s=self.time_s(),
                )
            )
            if transition.target is None:
                return _End(ending=Ending.COMPLETED)
            level.allowance.spend(transitions=1)
            state = states[transition.target]
            await self._give_turn()

    async def _give_turn(self) -> None:
        """Lets others run, and a cancellation through, where the loop has not waited for long."""
        if time.perf_counter() >= self.turn_ends:
            await checkpoint()
            self.turn_ends = time.perf_counter() + _TURN_S

    def _check_abort_file(self) -> None:
        if self.abort_file.exists():
            reason = ""
            with suppress(OSError, UnicodeDecodeError):
                reason = self.abort_file.read_text(encoding="utf-8").strip()
                self.abort_file.unlink(missing_ok=True)
            raise _Aborted(reason or f"There was a file {ABORT_FILE}.")

    async def _visit(self, level: Level, state: State) -> tuple[int, RunError | None]:
        """Performs a state's action and records it. Gives the visit's number, and why it failed."""
        number = self.record.visits_begun + 1
        action: Action | None = None
        if state.action is not None and state.name not in level.passive:
            action = state.action  # type: ignore[assignment]
        path, entered_s = level.prefix + state.name, self.time_s()
        self.tell(
            StateEntered(
                visit=number,
                state=state.name,
                path=path,
                verb=action.verb if action else None,
                what=action.what if action else "",
                time_s=entered_s,
            )
        )
        outcome, error = Outcome(), None
        if action is not None:
            assert self.services is not None
            site = Site(services=self.services, level=level, state=state, number=number)
            try:
                outcome = await action.perform(site.context())
                failure: SamovarError | None = outcome.error
            except PastLimitError:
                self._leave(number, path, entered_s, VisitStatus.CANCELLED)
                raise
            except SamovarError as raised:
                if self.broken is not None:
                    raise
                failure = raised
            except BaseException:
                self._leave(number, path, entered_s, VisitStatus.CANCELLED, quietly=True)
                raise
            error = _error(failure, path, action.place) if failure else None
            level.leave_behind(state, outcome, error)
        status = VisitStatus.FAILURE if error else VisitStatus.SUCCESS
        self._leave(number, path, entered_s, status, error=error, outcome=outcome)
        if outcome.abort is not None:
            raise _Aborted(outcome.abort, path)
        if outcome.figures:
            level.allowance.spend(tokens=outcome.figures.tokens.generated)
        return number, error

    def _leave(
        self,
        number: int,
        path: str,
        entered_s: float,
        status: VisitStatus,
        *,
        error: RunError | None = None,
        outcome: Outcome | None = None,
        quietly: bool = False,
    ) -> None:
        now_s = self.time_s()
        event = StateLeft(
            visit=number,
            path=path,
            status=status,
            duration_s=now_s - entered_s,
            error=error,
            figures=outcome.figures if outcome else None,
            time_s=now_s,
        )
        if quietly:
            self._tell_quietly(event)
        else:
            self.tell(event)

    # Sub-workflows.

    async def _run_child(self, site: Site, child: Child) -> dict[str, object]:
        """Drives a sub-workflow; see `site.RunChild`."""
        level = self._child_level(site, child)
        named, own_s = f"Workflow {child.name!r}", level.allowance.limits.duration_s
        with anyio.move_on_after(child.timeout_s) as timeout:
            with anyio.move_on_after(own_s) as limit:
                try:
                    end = await self._loop(level)
                except PastLimitError as past:
                    if past.allowance is not level.allowance:
                        raise
                    end = _End(ending=Ending.LIMITED, error=_error(past))
            if limit.cancelled_caught:
                raise TimedOutError(f"{named} took longer than its limit of {own_s:g} s.", place=child.place)
        if timeout.cancelled_caught:
            raise TimedOutError(f"{named} took longer than {child.timeout_s:g} s.", place=child.place)
        if end.ending is not Ending.COMPLETED:
            where = f" in state {end.error.state!r}" if end.error and end.error.state else ""
            why = f": {end.error.message}" if end.error else "."
            raise ActionError(f"{named} ended as {end.ending}{where}{why}", place=child.place)
        return {name: value for name, value in level.variables.items() if not name.startswith("_")}

    def _child_level(self, site: Site, child: Child) -> Level:
        above = site.level
        beside = above.workflow.path.parent if above.workflow.path else None
        workflow = self.library.workflow(child.name, beside=beside, lenient=self.settings.lenient)
        if _identity(workflow) in map(_identity, above.chain):
            chain = " → ".join(one.name for one in (*above.chain, workflow))
            raise ActionError(f"Workflows run each other in a circle: {chain}.", place=child.place)
        if len(above.chain) > self.limits.depth:
            message = f"Workflows are nested more than {self.limits.depth} deep (limits: depth)."
            raise PastLimitError("depth", message, above.allowance.outermost)
        self._tell_warnings(workflow)
        limits = own_limits(workflow, self.limits)
        prefix = f"{above.prefix}{site.state.name}/"
        defaults = replace(
            above.defaults,
            model=workflow.model or above.defaults.model,
            timeout_s=limits.prompt_timeout_s,
            session_scope=f"{prefix}{site.number}/",
        )
        bound = bind(workflow.parameters, child.given, ask=None)
        allowance = Allowance(limits, above.allowance)
        level = Level.begin(workflow, bound, allowance, defaults=defaults, chain=above.chain)
        level.prefix = prefix
        return level


async def _go_on(_: str) -> None:
    return


def _error(error: SamovarError, state: str | None = None, place: Place | None = None) -> RunError:
    """`place` is where it happened, for an error that does not know its own."""
    if isinstance(error, FaultsError) and error.faults:
        place = error.faults[0].place
    return RunError(code=error.code, message=error.message, state=state, place=error.place or place)


def _identity(workflow: Workflow) -> object:
    return workflow.path.resolve() if workflow.path else workflow.name


def _no_way_on(level: Level, state: State, choice: Choice, error: RunError | None) -> _End:
    """No transition is true: the run fails where the action did, else it is stuck."""
    if error is not None:
        return _End(ending=Ending.FAILED, error=error)
    path = level.prefix + state.name
    stuck = RunError(code="stuck", message=explain(state, choice), state=path, place=state.place)
    return _End(ending=Ending.STUCK, error=stuck)


def _limits(limits: Limits, settings: RunnerSettings) -> Limits:
    """The workflow's limits, with those of the settings in front."""
    names = ("transitions", "duration_s", "tokens", "depth", "prompt_timeout_s")
    given = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return replace(limits, **given)
