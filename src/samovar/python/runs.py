"""A run as a program sees it: its record with its cost, and a handle while it is in progress.

Above: `api.py`, `blocking.py`. Below: the record, the runner, the figures. Nothing here drives a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from samovar.background import Call, caller_here
from samovar.errors import UsageError
from samovar.python.figures import Figures, report_object
from samovar.running.run import Run as Record
from samovar.running.runner import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport(Record):
    """One run of a workflow: how it ended, what it was for, each visit of a state, and what that took."""

    figures: Figures | None = field(default=None, repr=False, compare=False)
    """Figures of models, sessions and memory, for all uses of the app so far. None while the run is
    in progress."""

    @classmethod
    def of(cls, record: Record, figures: Figures | None = None) -> RunReport:
        """The record of a runner, with what it took."""
        known = {one.name: getattr(record, one.name) for one in fields(Record)}
        return cls(**known, figures=figures)

    def to_json(self, *, with_values: bool = True) -> dict[str, Any]:
        """The object of `samovar run --json`, without secrets: of plain values, as `json.dumps` takes them.

        `with_values`: False leaves out variables, records and what models thought, which can be large.
        """
        return report_object(self, self.figures, with_values=with_values)


Run = RunReport
"""As programs know it."""


class RunHandle:
    """How a run is watched and stopped while it is in progress: `run(…, handle=handle)`. For one run.

    Mutable: the run it is for. It may be used from any thread.
    """

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._call: Call | None = None
        self._figures: Figures | None = None
        self._is_stopped = False

    @property
    def run(self) -> RunReport | None:
        """The record as far as the run has come, also of one that was cancelled; None before it began."""
        record = self._runner.record if self._runner else None
        return None if record is None else RunReport.of(record, self._figures)

    def stop(self) -> None:
        """Cancels the run, which gives back all it holds and returns with the ending `cancelled`."""
        self._is_stopped = True
        if self._call is not None:
            self._call(self._stop)

    def _stop(self) -> None:
        if self._runner is not None:
            self._runner.stop()

    # Of the app.

    def attach(self, runner: Runner) -> None:
        """The run begins. Raises `UsageError` if there was one before."""
        if self._runner is not None:
            raise UsageError(
                "The handle was already used for a run. Make a new one for each run: samovar.RunHandle()."
            )
        self._runner, self._call = runner, caller_here()
        if self._is_stopped:
            self._call(self._stop)

    def end(self, figures: Figures) -> None:
        """The run has ended, however."""
        self._figures = figures
