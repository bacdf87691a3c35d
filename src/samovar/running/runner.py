"""Drives one run to one of its endings: opens what it needs, runs it, and records the ending, once.

Above: the app and the doors. Below: `loop.py`, which goes from state to state; the recorder; the waist.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial

import anyio

from samovar.actions.computing import Computer
from samovar.actions.outside import Outside
from samovar.actions.reached import Servers
from samovar.config.known_keys import keys_of
from samovar.errors import CalledOffError, SamovarError
from samovar.errors.durations import lasting
from samovar.events import Ending, Event, OnEvent, RunEnded, RunError, RunStarted
from samovar.executors.base import Connection, Executor
from samovar.journal.base import KeptRun, RunStatus
from samovar.library import Library
from samovar.running.abort_files import ABORT_FILE as ABORT_FILE
from samovar.running.abort_files import OWN_ABORT_FILE as OWN_ABORT_FILE
from samovar.running.abort_files import AbortedError
from samovar.running.conversations import Conversations
from samovar.running.ends import End
from samovar.running.frame import Frame
from samovar.running.given_answers import GivenAnswers
from samovar.running.keeping import kept_end, kept_run
from samovar.running.loop import Loop
from samovar.running.origins import earlier_of
from samovar.running.prepared import Prepared
from samovar.running.recorder import Recorder
from samovar.running.references import References
from samovar.running.run import Run
from samovar.running.runner_settings import RunnerSettings as RunnerSettings
from samovar.running.runner_settings import first_defaults as first_defaults
from samovar.running.runner_settings import limits_of
from samovar.running.services import Services
from samovar.running.spending import PastLimitError, Spending
from samovar.running.uncertain import Decisions
from samovar.running.waiting import Waiting, WaitsForPersonError
from samovar.tools.servers import open_servers
from samovar.tools.toolbox import ToolsOfVisit


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
        self.limits = limits_of(workflow.limits, runner.settings)
        self.keys = keys_of(self.settings.settings)
        self.started = RunStarted(
            run=goes_on.id if goes_on else new_id(now_s),
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
                if journal is not None:
                    recorder.continue_with(journal.kept)
                try:
                    services = self._services(connection, servers, journal)
                    loop = Loop(services, recorder, self.limits)
                    end = await loop.finished(frame, partial(self._to_end, loop, frame, journal))
                except WaitsForPersonError as waits:
                    end = _left(waits)
                finally:
                    with anyio.CancelScope(shield=True):
                        await self.outside.commands.end(recorder.record.id)
                if journal is not None:
                    await self._keep_end(journal, end, frame, services.references)
        except anyio.get_cancelled_exc_class():
            self._record_end(End(ending=Ending.CANCELLED), frame, quietly=True)
            raise
        except CalledOffError as error:
            self._record_end(End(ending=Ending.CANCELLED, error=RunError.of(error)), frame, quietly=True)
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
        outside = replace(self.outside, servers=servers)
        return replace(
            services_of(self.runner, self.recorder, outside, connection, self.keys),
            gate=self.prepared.gate,
            journal=journal,
            earlier=earlier_of(self.keeping.journal if self.keeping else None, journal),
            conversations=Conversations(journal.kept if journal else ()),
            resident_bytes=self.keeping.resident_bytes if self.keeping else _unmeasured,
            uncertain=self.keeping.uncertain if self.keeping else Decisions(),
            foresight=self.keeping.foresight if self.keeping else None,
            waiting=Waiting(journal, parks=self.settings.waits),
        )

    def _first_frame(self, variables: Mapping[str, object]) -> Frame:
        defaults = first_defaults(self.workflow, self.settings)
        return Frame.begin(
            self.workflow, variables, Spending(self.limits), folder=self.settings.folder, defaults=defaults
        )

    async def _to_end(self, loop: Loop, frame: Frame, journal: KeptRun | None) -> End:
        left_s = self.limits.duration_s
        if left_s is not None and journal is not None:
            left_s = max(0.0, left_s - journal.driven_s)
        try:
            with self.outside.clock.move_on_after(left_s) as limit:
                end = await loop.drive(frame)
            if self.limits.duration_s is None or not limit.cancelled_caught:
                return end
        except AbortedError as aborted:
            return End(ending=Ending.ABORTED, error=aborted.error)
        except PastLimitError as error:
            return End(ending=Ending.LIMITED, error=RunError.of(error))
        message = f"The run took longer than {lasting(self.limits.duration_s)} (limits: duration)."
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


def services_of(
    runner: Runner, recorder: Recorder, outside: Outside, connection: Connection, keys: Mapping[str, str]
) -> Services:
    """What visits use that are made with the settings of a runner, and kept in no journal.

    `keys`: those that the settings name, as `known_keys` has them.
    """
    settings = runner.settings
    return Services(
        run=recorder.record.id,
        library=runner.library,
        folder=settings.folder,
        settings=settings.settings,
        surroundings=settings.surroundings,
        connection=connection,
        outside=outside,
        make_tools=ToolsOfVisit,
        yes=settings.yes,
        answers=GivenAnswers(settings.answers),
        allows_effects=not settings.no_effects,
        asking=anyio.Lock(),
        tell=recorder.tell,
        secrets=recorder.secrets,
        references=References.of(keys),
        time_s=recorder.time_s,
        computer=Computer(settings.settings.value_bytes),
    )


def _left(waits: WaitsForPersonError) -> End:
    path = waits.questions[0].path
    return End(ending=Ending.WAITING, error=RunError(code="waiting", message=str(waits), state=path))


def _unmeasured() -> int | None:
    return None


def new_id(now_s: float) -> str:
    """For a run that begins at that time, in seconds since 1970."""
    return f"{datetime.fromtimestamp(now_s):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
