"""Drives one run from a terminal: Ctrl-C is heard, lines move, and the user is waited for.

Above: `run.py`. Below: the app and the runner. The first interrupt stops the run, which gives everything back
and is reported; the second ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import anyio

from samovar import memory
from samovar.app import App
from samovar.background import beside
from samovar.cli.live import Answers, LiveLines, Show
from samovar.cli.report import Figures, Memory
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.testing.recording import Recording

TICK_S = 0.1


class RunOutcome:
    """What is left of a run when the app has closed."""

    def __init__(self, *, records: bool) -> None:
        self.run: Run | None = None
        self.records = records
        self.recording: Recording | None = None
        """What the run was told, where it is to be recorded."""
        self._noted: dict[str, Any] = {}

    def note(self, app: App) -> None:
        """While everything is still open."""
        statistics = app.pool.statistics()
        self._noted = {
            "models": statistics.models,
            "sessions": app.sessions.statistics(),
            "ready_bytes": statistics.ready_bytes,
            "end_bytes": memory.resident_bytes(),
        }

    def figures(self) -> Figures:
        """When everything is closed."""
        # The kernel counts the peak and the present with different care; the peak is at least what was seen.
        seen = (memory.peak_bytes(), self._noted["ready_bytes"], self._noted["end_bytes"])
        return Figures(
            models=self._noted["models"],
            sessions=self._noted["sessions"],
            memory=Memory(
                ready_bytes=self._noted["ready_bytes"],
                end_bytes=self._noted["end_bytes"],
                peak_bytes=max(size for size in seen if size is not None),
                closed_bytes=memory.resident_bytes(),
            ),
        )


async def drive(
    app: App, prepared: Prepared, runner_settings: RunnerSettings, outcome: RunOutcome, show: Show
) -> None:
    """Runs what was prepared; `outcome` gets the record, and what the run was told if that is asked for."""
    runner = Runner(app.library, app.executor, on_event=show, settings=runner_settings)
    if outcome.records:
        outcome.recording = recording = Recording(app.executor, show)
        settings = replace(runner_settings, outside=recording)
        runner = Runner(app.library, recording, on_event=recording, settings=settings)
    async with beside(hear_signals=lambda: _hear_signals(runner), live_lines=lambda: _tick(show)):
        outcome.run = await runner.run(prepared)


async def _hear_signals(runner: Runner) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        heard = 0
        async for _ in signals:
            heard += 1
            if heard > 1:
                sys.stderr.write("\nsamovar: stopped at once\n")
                sys.stderr.flush()
                os._exit(130)
            runner.stop()


async def _tick(show: Show) -> None:
    shown = show.show if isinstance(show, Answers) else show
    while isinstance(shown, LiveLines):
        await anyio.sleep(TICK_S)
        shown.tick()


async def wait_for_user(message: str) -> None:
    """Shows the message and returns when a line was read."""
    sys.stderr.write(f"{message} [Enter] ")
    sys.stderr.flush()
    # No thread reads: one that waits for a line cannot be stopped, and would keep the program from ending.
    await anyio.wait_readable(sys.stdin.fileno())
    sys.stdin.readline()
