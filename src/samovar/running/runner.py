"""Drives one run to one of its endings: opens what it needs, runs it, and records the ending, once.

Above: the app and the doors. Below: `loop.py`, which goes from state to state; the recorder; the waist.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio

from samovar.actions.computing import Computer
from samovar.actions.defaults import PromptDefaults
from samovar.actions.outside import Outside, ThisMachine, World
from samovar.actions.reached import Servers
from samovar.config import Settings
from samovar.config.known_keys import keys_of
from samovar.errors import SamovarError
from samovar.events import Ending, Event, OnEvent, RunEnded, RunError, RunStarted
from samovar.executors.base import Connection, Executor
from samovar.journal.base import KeptRun, RunStatus
from samovar.language.workflow import Limits, Workflow
from samovar.library import Library
from samovar.running.abort_files import ABORT_FILE, OWN_ABORT_FILE, AbortedError
from samovar.running.conversations import Conversations
from samovar.running.ends import End
from samovar.running.frame import Frame
from samovar.running.given_answers import GivenAnswers
from samovar.running.keeping import Keeping, kept_end, kept_run
from samovar.running.loop import Loop
from samovar.running.origins import earlier_of
from samovar.running.prepared import Prepared
from samovar.running.recorder import Recorder
from samovar.running.references import References
from samovar.running.run import Run
from samovar.running.services import Services
from samovar.running.spending import PastLimitError, Spending
from samovar.running.uncertain import Decisions
from samovar.tools.servers import open_servers
from samovar.tools.toolbox import ToolsOfVisit

__all__ = ["ABORT_FILE", "OWN_ABORT_FILE", "Runner", "RunnerSettings", "first_defaults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """What a door can decide about a run. None leaves it to the workflow."""

    model: str | None = None
    """Used by every prompt, whatever it says."""
    executor: str | None = None
    """The name of the one that answers every prompt, whatever it says."""
    seed: int | None = None
    """The seed of the run (0 ≤ seed < 2³²): every prompt without a seed gets one derived from it, from its
    state and from the number of the visit. The seeds of workflows do not count then."""
    deterministic: bool = False
    """Every prompt is answered alone, so that its answer is the same each time."""
    settings: Settings = field(default_factory=Settings)
    """For actions that read one."""
    folder: Path = field(default_factory=Path.cwd)
    """Where commands run, and where the abort file is looked for."""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    """Where secret parameters that are not given are looked for."""
    surroundings: Mapping[str, object] = field(default_factory=dict)
    """What prompts may read besides variables."""
    yes: bool = False
    """Says yes if a workflow waits for a user or wants an approval."""
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What its questions are answered without asking, by path: one for every visit, or one for each."""
    trusts: bool = False
    """Every project counts as trusted for this run, or nothing is done that could need it."""
    no_effects: bool = False
    """No commands are run, and nothing else is done that has an effect outside of the run."""
    outside: World = field(default_factory=ThisMachine)
    """All that a run reaches besides its executor: commands, files, the user, and time."""
    keeping: Keeping | None = None
    """Where the run is kept; None: nowhere."""
    lenient: bool = False
    """Text that is not an action is a warning, in sub-workflows too."""
    transitions: int | None = None
    """The most that the run may take, those of sub-workflows counted along."""
    duration_s: float | None = None
    """The longest that the run may last."""
    tokens: int | None = None
    """The most that all prompts of the run may generate."""
    depth: int | None = None
    """How many sub-workflows may be within each other."""
    prompt_timeout_s: float | None = None
    """Seconds that a prompt without its own limit may wait for a token."""
    items: int | None = None
    """The most items of one list that something is done for each of."""


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
        self.library, self.on_event = library, on_event
        self.settings = settings or RunnerSettings()
        self.outside = Outside.of(executor, self.settings.outside)
        self._scopes: set[anyio.CancelScope] = set()
        self._recorder: Recorder | None = None

    @property
    def record(self) -> Run | None:
        """The record of the run that began last, so far, whatever became of it; None before the first."""
        return self._recorder.record if self._recorder else None

    def stop(self) -> None:
        """Cancels what runs now. Each `run` gives back all it holds and then returns, as cancelled."""
        for scope in self._scopes:
            scope.cancel()

    async def run(self, prepared: Prepared) -> Run:
        """Runs what was prepared to its end and gives the record, whatever the ending.

        Cancelled from outside, the run is recorded as cancelled and the cancellation continues. An exception
        that is no `SamovarError` (a defect, or one from `on_event`) ends the run as failed and comes out.
        """
        driven = _Driven(self, prepared)
        self._recorder = driven.recorder
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await driven.drive()
            finally:
                self._scopes.discard(scope)
        return driven.recorder.record


class _Driven:
    """One run, from its start to its end."""

    def __init__(self, runner: Runner, prepared: Prepared) -> None:
        workflow = prepared.workflow
        self.runner, self.workflow, self.settings = runner, workflow, runner.settings
        self.prepared, self.outside = prepared, runner.outside
        self.keeping = keeping = runner.settings.keeping
        goes_on = keeping.goes_on if keeping else None
        now_s = goes_on.started_at if goes_on else self.outside.clock.now_s()
        self.limits = _limits(workflow.limits, runner.settings)
        self.keys = keys_of(self.settings.settings)
        self.started = RunStarted(
            run=goes_on.id if goes_on else _new_id(now_s),
            workflow=workflow.name,
            path=workflow.path,
            secrets=workflow.secret_names,
            started_at=now_s,
            variables=prepared.variables,
        )
        self.recorder = Recorder(self.started, runner.on_event, self.outside.clock)
        acting = ((one, action) for one, action in workflow.actions() if one.name != workflow.at_end)
        names_result = any("result" in action.sets for _, action in acting)
        self.recorder.record = replace(
            self.recorder.record, names_result=names_result, returns=workflow.returns
        )

    async def drive(self) -> None:
        """Runs it and records the ending, once. Comes out with what is not the run's own failure."""
        recorder = self.recorder
        frame = self._first_frame(self.prepared.variables)
        recorder.secrets.learn([*frame.secret_values, *self.keys.values()])
        try:
            recorder.tell(self.started)
            recorder.learn(())  # warns of what was learnt before
            for warning in self.prepared.warnings:
                recorder.warn(warning.message, warning.place)
            recorder.warn_of(self.workflow)
            run = recorder.record.id
            async with (
                kept_run(self.keeping, self.started, self.prepared) as journal,
                self.outside.executor.open(run) as connection,
                self._servers(run) as servers,
            ):
                try:
                    services = self._services(connection, servers, journal)
                    loop = Loop(services, recorder, self.limits)
                    end = await loop.finished(frame, partial(self._to_end, loop, frame))
                finally:
                    with anyio.CancelScope(shield=True):
                        await self.outside.commands.end(recorder.record.id)
                if journal is not None:
                    await self._keep_end(journal, end, frame, services.references)
        except anyio.get_cancelled_exc_class():
            self._record_end(End(ending=Ending.CANCELLED), frame, quietly=True)
            raise
        except SamovarError as error:
            self._record_end(End(ending=Ending.FAILED, error=RunError.of(error)), frame)
            if recorder.broken is not None:
                raise recorder.broken from None
        except BaseException as error:  # a defect, or what `on_event` raised: recorded, and raised again
            failure = RunError(code="internal", message=f"{type(error).__name__}: {error}")
            self._record_end(End(ending=Ending.FAILED, error=failure), frame, quietly=True)
            raise recorder.broken or error from None
        else:
            self._record_end(end, frame)

    @asynccontextmanager
    async def _servers(self, run: str) -> AsyncIterator[Servers]:
        """The servers of tools that the run may reach. None is started before it is asked for something."""
        async with open_servers(run, self.settings.folder) as servers:
            yield self.settings.outside.in_place_of(servers)

    def _services(self, connection: Connection, servers: Servers, journal: KeptRun | None) -> Services:
        settings = self.settings
        return Services(
            run=self.recorder.record.id,
            library=self.runner.library,
            folder=settings.folder,
            settings=settings.settings,
            surroundings=settings.surroundings,
            connection=connection,
            outside=replace(self.outside, servers=servers),
            make_tools=ToolsOfVisit,
            yes=settings.yes,
            answers=GivenAnswers(settings.answers),
            gate=self.prepared.gate,
            allows_effects=not settings.no_effects,
            asking=anyio.Lock(),
            tell=self.recorder.tell,
            secrets=self.recorder.secrets,
            references=References.of(self.keys),
            time_s=self.recorder.time_s,
            computer=Computer(settings.settings.value_bytes),
            journal=journal,
            earlier=earlier_of(self.keeping.journal if self.keeping else None, journal),
            conversations=Conversations(journal.kept if journal else ()),
            resident_bytes=self.keeping.resident_bytes if self.keeping else _unmeasured,
            uncertain=self.keeping.uncertain if self.keeping else Decisions(),
        )

    def _first_frame(self, variables: Mapping[str, object]) -> Frame:
        defaults = first_defaults(self.workflow, self.settings)
        return Frame.begin(
            self.workflow, variables, Spending(self.limits), folder=self.settings.folder, defaults=defaults
        )

    async def _to_end(self, loop: Loop, frame: Frame) -> End:
        try:
            with self.outside.clock.move_on_after(self.limits.duration_s) as limit:
                end = await loop.drive(frame)
            if not limit.cancelled_caught:
                return end
        except AbortedError as aborted:
            return End(ending=Ending.ABORTED, error=aborted.error)
        except PastLimitError as error:
            return End(ending=Ending.LIMITED, error=RunError.of(error))
        message = f"The run took longer than {self.limits.duration_s:g} s (limits: duration)."
        return End(ending=Ending.LIMITED, error=RunError(code="limit", message=message))

    async def _keep_end(self, journal: KeptRun, end: End, frame: Frame, references: References) -> None:
        message = self.recorder.secrets.mask(end.error.message) if end.error else ""
        ending = kept_end(journal, self.recorder.record, frame.variables, references)
        await journal.end(RunStatus(end.ending), message, ending)

    def _record_end(self, end: End, frame: Frame, *, quietly: bool = False) -> None:
        event = RunEnded(
            ending=end.ending,
            error=end.error,
            variables=dict(frame.variables),
            time_s=self.recorder.time_s(),
        )
        if quietly:
            self.recorder.tell_quietly(event)
        else:
            self.recorder.tell(event)


def _unmeasured() -> int | None:
    return None


def _new_id(now_s: float) -> str:
    return f"{datetime.fromtimestamp(now_s):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def first_defaults(workflow: Workflow, settings: RunnerSettings) -> PromptDefaults:
    """What the prompts of a run's own workflow use where they say nothing themselves."""
    limits = _limits(workflow.limits, settings)
    return PromptDefaults(
        forced_model=settings.model,
        forced_executor=settings.executor,
        forced_seed=settings.seed,
        deterministic=settings.deterministic,
        timeout_s=limits.prompt_timeout_s,
        tool_rounds=limits.tool_rounds,
    ).below(workflow)


def _limits(limits: Limits, settings: RunnerSettings) -> Limits:
    """The workflow's limits, with those of the settings in front."""
    names = ("transitions", "duration_s", "tokens", "depth", "prompt_timeout_s", "items")
    given = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return replace(limits, **given)
