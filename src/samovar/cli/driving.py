"""Drives one run from a terminal: handles Ctrl-C, updates lines, and waits for the user.

Above: `run.py`. Below: the app and the runner. The first interrupt stops the run, which gives everything back
and is reported; the second ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, Protocol

import anyio

from samovar import memory
from samovar.actions.outside import ThisMachine
from samovar.app import App
from samovar.background import beside, caller_here
from samovar.cli.asking import Person
from samovar.cli.keeping import kept_words
from samovar.cli.live import LiveLines, Show
from samovar.processes.process_groups import ProcessGroups
from samovar.python.figures import Figures, figures_of
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings

if TYPE_CHECKING:
    from samovar.testing.recording import Recording

TICK_S = 0.1
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\x1b[?25h"
"""What live lines have hidden."""


class Stoppable(Protocol):
    """What a signal stops."""

    def stop(self) -> None: ...


class RunOutcome:
    """The rest of a run when the app has closed."""

    def __init__(self, *, records: bool, journal: object = None) -> None:
        """`journal`: the one that somebody named."""
        self._journal = journal
        self.run: Run | None = None
        self.records = records
        self.is_kept = False
        """In a journal."""
        self.is_unkept = False
        """It should be, and could not be (any more)."""
        self.signal: int | None = None
        """The first that was heard."""
        self.recording: Recording | None = None
        """What the run got from outside, if it is to be recorded."""
        self._noted: Figures | None = None

    def note(self, app: App) -> None:
        """While everything is still open."""
        self._noted = figures_of(app)

    def continued(self, run: Run | None) -> str:
        """How a run continues that has not ended, in words."""
        if run is None or not self.is_kept or self.is_unkept:
            return "the run is not kept"
        return kept_words(run.id, self._journal)

    def figures(self) -> Figures:
        """When everything is closed."""
        assert self._noted is not None
        now = replace(self._noted.memory, closed_bytes=memory.resident_bytes())
        peaks = [size for size in (now.peak_bytes, memory.peak_bytes()) if size is not None]
        return replace(self._noted, memory=replace(now, peak_bytes=max(peaks, default=None)))


async def drive(
    app: App, prepared: Prepared, runner_settings: RunnerSettings, outcome: RunOutcome, show: Show
) -> None:
    """Runs what was prepared; `outcome` gets the record, and what it got from outside if that is
    requested."""
    paused = show.paused() if isinstance(show, LiveLines) else nullcontext()
    machine = ThisMachine(Person(paused).ask if sys.stdin.isatty() else None)
    recording = None
    if outcome.records:
        from samovar.testing.recording import Recording

        outcome.recording = recording = Recording(app.executor, show, machine)
    outcome.is_kept = runner_settings.keeping is not None
    settings = replace(runner_settings, outside=recording or machine)
    runner = Runner(app.library, recording or app.executor, on_event=recording or show, settings=settings)
    hear = Signals(runner, machine.groups, lambda: outcome.continued(runner.record))
    try:
        with hear.listen():
            try:
                async with beside(live_lines=lambda: _tick(show)):
                    outcome.run = await runner.run(prepared)
            finally:
                show.close()  # while signals are heard: lines that move have hidden the cursor
    finally:
        outcome.signal = hear.first


class Signals:
    """What is heard while a run is in progress: the first signal stops the run, the second ends the process.

    Signals are heard by the interpreter and not by the event loop, which a long step keeps from turning.
    """

    def __init__(
        self, runner: Stoppable, groups: ProcessGroups, continued: Callable[[], str] | None = None
    ) -> None:
        """`continued`: says what a person can do after the second; None: nothing is left."""
        self._continued = continued
        self.first: int | None = None
        """The number of the first that was heard."""
        self._runner, self._groups = runner, groups

    @contextmanager
    def listen(self) -> Iterator[None]:
        """While a run is in progress in the running event loop."""
        call = caller_here()

        def hear(number: int, frame: object) -> None:
            if self.first is None:
                self.first = number
                call(self._runner.stop)
            else:
                self._end(number)

        before = {number: signal.signal(number, hear) for number in HEARD}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int) -> NoReturn:
        """Ends all commands, and then the process, at once."""
        for each in HEARD:
            signal.signal(each, signal.SIG_IGN)  # an impatient third one must not come between
        with suppress(Exception):
            self._groups.kill()
        words = "stopped at once"
        with suppress(Exception):
            words += f"; {self._continued()}" if self._continued else ""
        with suppress(OSError):  # written past what `sys.stderr` may be in the midst of
            os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + f"\nsamovar: {words}\n".encode())
        os._exit(128 + number)


async def _tick(show: Show) -> None:
    while isinstance(show, LiveLines):
        await anyio.sleep(TICK_S)
        show.tick()
