"""Runs of one workflow for many rows: every row is looked at before any is run, then several run at once.

Above: `api.py`. Below: `preflight/`, which binds the variables of each; `running/rows.py`, which runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from samovar.checks.unset import Readers
from samovar.config import Settings
from samovar.errors import UsageError
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.prepare import bound, with_environment
from samovar.python.arguments import expect
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.rows import RowDone, RowsRunner, RowTask
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings

Row = Mapping[str, object]
"""The variables of one run, by name."""


def rows_of(rows: object, at_once: object, options: Mapping[str, object]) -> list[Row]:
    """All rows. Raises `UsageError` for what are none, and for what many runs cannot have."""
    call = "run_rows()"
    if about_one := next((name for name in ("ask", "handle") if name in options), None):
        raise UsageError(f"{about_one} is for one run, and {call} cannot take it.")
    expect(call, "rows", rows, (Iterable,), "a list of mappings of names to values")
    expect(call, "at_once", at_once, (int,), "a whole number from 1")
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise UsageError(f"at_once of {call} cannot be {at_once!r}: expected a whole number from 1.")
    found: list[Any] = list(rows) if isinstance(rows, Iterable) and not isinstance(rows, Mapping) else [rows]
    for index, row in enumerate(found):
        expect(call, f"rows[{index}]", row, (Mapping,), "a mapping of names to values")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRows:
    """The rows of one call."""

    rows: Sequence[Row] = field(repr=False)
    workflow: Workflow
    given: Mapping[str, object] = field(repr=False)
    """What is the same for all."""
    library: Library
    settings: Settings
    run: RunnerSettings

    def bound(self) -> list[Mapping[str, object]]:
        """The variables of each. Raises `UsageError` for the first row that the workflow does not take."""
        readers = Readers(self.workflow, self.library)
        return [self._bound(f"rows[{index}]", row, readers) for index, row in enumerate(self.rows)]

    def _bound(self, where: str, row: Row, readers: Readers) -> Mapping[str, object]:
        for name in row:
            if (message := readers.unread(name)) is not None:
                raise UsageError(f"{where}: {message}")
        try:
            given = with_environment(self.workflow, {**self.given, **row}, self.run)
            return bound(self.workflow, given, self.settings)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error


async def run_bound(
    variables: Sequence[Mapping[str, object]],
    prepared: Prepared,
    make_runner: Callable[[Keeping | None], Runner],
    at_once: int,
) -> list[Run]:
    """A run with each; their records in the same order."""
    found: dict[int, Run] = {}

    def note(done: RowDone) -> None:
        assert done.run is not None, "a row that is not kept is run"
        found[done.task.index] = done.run

    tasks = (
        RowTask(index=index, where=f"rows[{index}]", prepared=replace(prepared, variables=one))
        for index, one in enumerate(variables)
    )
    await RowsRunner(make_runner=make_runner, on_done=note, at_once=at_once).run(tasks)
    return [found[index] for index in range(len(variables))]
