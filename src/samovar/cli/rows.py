"""`samovar run NAME --each FILE`: the workflow for each row of a file, on models that are loaded once.

Above: `run.py`. Below: `preflight/rows.py`, which reads and prepares the rows; `running/rows.py`, which runs
them. Rows are kept in the journal unless that is refused, so that the same command continues.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import anyio

from samovar.actions.outside import ThisMachine
from samovar.app import App, open_app, open_library
from samovar.checks.unset import Readers
from samovar.cli.drawing import room_bytes
from samovar.cli.driving import Signals
from samovar.cli.keeping import journal_option, keeping_for
from samovar.cli.row_output import check_output, open_output
from samovar.cli.row_progress import RowProgress
from samovar.cli.run_arguments import RunArguments
from samovar.cli.run_setup import given_variables, route_log, run_settings
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.cli.trusting import allower, settings_for
from samovar.config import Settings
from samovar.errors import JournalError, SamovarError, UsageError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.events import Event, Warned
from samovar.folders import current_folder
from samovar.generation import TokenCounts
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.preflight.row_files import open_row_file
from samovar.preflight.row_keys import RowKeys
from samovar.preflight.rows import Rows, of_files, texts_of
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.rows import OnRow, RowDone, RowsRunner
from samovar.running.runner import Runner
from samovar.values import limited

AT_ONCE = 8
"""Rows worked on together if nothing is said, and none has an effect outside of its run."""
NAMED = 20
"""Failed rows that are named at the end."""
MOST_WARNINGS = 50
"""Different warnings of all rows that are shown."""


@dataclass(slots=True, kw_only=True)
class _Outcome:
    """What came of all rows. Mutable: it counts."""

    failures: list[str] = field(default_factory=list)
    """The first of them, for people."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    """Of the rows that were run now."""
    undecided: int = 0
    """Rows that cannot go on before a person says what becomes of them."""
    signal: int | None = None
    warned: set[str] = field(default_factory=set)

    def count(self, done: RowDone) -> None:
        self.undecided += done.is_undecided
        if done.error is not None and len(self.failures) < NAMED:
            self.failures.append(f"{done.task.where}: {done.error.message}")
        if done.run is not None:
            self.tokens += done.run.tokens


def run_rows(arguments: RunArguments) -> int:
    """Runs the workflow for each row, and returns the exit status."""
    _check(arguments)
    route_log(arguments.verbose)
    settings = settings_for(arguments.settings, trusts=arguments.trust)
    library = open_library(current_folder())
    workflow = library.workflow(arguments.workflow, lenient=arguments.lenient)
    run = run_settings(arguments, settings, workflow, library)
    with limited(settings.value_bytes):
        given = given_variables(arguments, workflow)
        check_output(arguments.rows.out, rows=Path(str(arguments.rows.each)))
        file = open_row_file(
            str(arguments.rows.each),
            texts=texts_of(workflow),
            of_files=of_files(workflow, given),
            results=arguments.rows.out,
        )
        readers = Readers(workflow, library)
        rows = Rows(file=file, workflow=workflow, given=given, readers=readers, settings=settings, run=run)
        total, first = rows.count(), rows.first()
        if first is None:
            say(f"samovar: {arguments.rows.each} has no rows: nothing is done")
            return 0
        values, budget = rows.values(first), room_bytes(settings)
        prepared = prepare(arguments.workflow, values, library, settings, run, budget=budget, allow=allower())
        at_once = arguments.rows.at_once or _at_once(workflow, library, is_quiet=arguments.quiet)
        with _explained(), keeping_for(arguments, settings, workflow, library, _refuse) as keeping:
            is_found = keeping is not None and not keeping.is_outline
            if arguments.rows.retry_failed and not is_found:
                how = "kept in outline only" if keeping else "not kept"
                raise UsageError(f"--retry-failed needs the journal, and rows are {how} here.")
            keys = RowKeys(workflow, library, settings, run) if is_found else None
            many = _Many(rows, prepared, keys, keeping and replace(keeping, lose=None), at_once)
            return many.run(arguments, settings, library, total)


def _refuse(error: SamovarError) -> NoReturn:
    """Rows that cannot be kept are not begun: the same command could not continue."""
    raise JournalError(str(error)) from error


@contextmanager
def _explained() -> Iterator[None]:
    """Says what else can be done if rows cannot be kept, at the beginning or in the midst of them."""
    try:
        yield
    except JournalError as error:
        error.message += (
            " Rows that cannot be kept are not run, since the same command could not continue. With "
            "--no-journal they are: a second start then does all of them again."
        )
        raise


def _check(arguments: RunArguments) -> None:
    """Raises `UsageError` for options that are about one run."""
    asked = arguments.outputs
    asked += ["--record"] if arguments.record is not None else []
    asked += ["--dry-run"] if arguments.dry_run else []
    if asked:
        raise UsageError(
            f"{asked[0]} is about one run and cannot be combined with --each, which writes a line of JSON "
            "for each row."
        )


def _at_once(workflow: Workflow, library: Library, *, is_quiet: bool) -> int:
    """How many rows are worked on together if nobody has said so."""
    for one in library.tree(workflow):
        for state, action in one.actions():
            if action.effect is not None:
                if not is_quiet:
                    say(
                        f"samovar: one row at a time, since {state.name} {action.effect}; --at-once N if "
                        "rows may do that side by side"
                    )
                return 1
    return AT_ONCE


class _Many:
    """The rows of one file while they are run. Mutable: what came of them."""

    def __init__(
        self, rows: Rows, prepared: Prepared, keys: RowKeys | None, keeping: Keeping | None, at_once: int
    ) -> None:
        self._rows, self._prepared, self._keys = rows, prepared, keys
        self._keeping, self._at_once = keeping, at_once
        self._outcome = _Outcome()

    def run(self, arguments: RunArguments, settings: Settings, library: Library, total: int) -> int:
        """To the end of all rows, or until a signal; gives the exit status."""
        with open_output(arguments.rows.out) as output, self._progress(arguments, total) as progress:

            def on_done(done: RowDone) -> None:
                output.write(done)
                self._outcome.count(done)
                progress.count(done)

            async def main() -> None:
                async with open_app(settings, library) as app:
                    await self._drive(app, on_done, arguments)

            anyio.run(main)
        return self._finish(arguments, progress)

    @contextmanager
    def _progress(self, arguments: RunArguments, total: int) -> Iterator[RowProgress]:
        has_bar = arguments.rows.out is not None or not sys.stdout.isatty()
        progress = RowProgress(total, is_quiet=arguments.quiet, has_bar=has_bar)
        try:
            yield progress
        finally:
            progress.close()

    async def _drive(self, app: App, on_done: OnRow, arguments: RunArguments) -> None:
        machine = ThisMachine(None)
        settings = replace(self._rows.run, outside=machine)

        def make_runner(keeping: Keeping | None) -> Runner:
            return Runner(
                app.library,
                app.executor,
                on_event=self._hear,
                settings=replace(settings, keeping=keeping),
            )

        runner = RowsRunner(
            make_runner=make_runner,
            on_done=on_done,
            at_once=self._at_once,
            keeping=self._keeping,
            retries_failed=arguments.rows.retry_failed,
            behind_resume=journal_option(arguments.settings.get("journal_file")),
        )
        signals = Signals(runner, machine.groups, self._continued)
        try:
            with signals.listen():
                await runner.run(self._rows.tasks(self._prepared, self._keys))
        finally:
            self._outcome.signal = signals.first

    def _hear(self, event: Event) -> None:
        """Warnings are said once, whichever row they are about."""
        known = self._outcome.warned
        if isinstance(event, Warned) and event.message not in known and len(known) < MOST_WARNINGS:
            known.add(event.message)
            say(f"samovar: warning: {shown(event.message)}")

    def _finish(self, arguments: RunArguments, progress: RowProgress) -> int:
        outcome = self._outcome
        if not arguments.quiet:
            self._say_counts(progress)
        for failure in outcome.failures:
            say(f"  {shown(failure)}")
        if progress.failed > len(outcome.failures):
            say(f"  and {progress.failed - len(outcome.failures):,} more")
        if self._keys is not None and not arguments.quiet:
            if progress.failed > outcome.undecided:
                say("samovar: the same command with --retry-failed does the failed rows again")
            if outcome.undecided:
                say("samovar: answer or decide the rows that wait for you, then start the same command again")
        if outcome.signal is not None:
            rows = counted(progress.total, "row", grouped=True)
            say(f"samovar: stopped after {progress.done:,} of {rows}; {self._continued()}")
            return 128 + outcome.signal
        return 1 if progress.failed else 0

    def _continued(self) -> str:
        return "the same command continues" if self._keys else "the same command begins again"

    def _say_counts(self, progress: RowProgress) -> None:
        before, tokens, waiting = progress.done - progress.ran, self._outcome.tokens, self._outcome.undecided
        failed, rows = progress.failed - waiting, counted(progress.total, "row", grouped=True)
        parts = [f"{progress.done - progress.failed:,} of {rows} completed"]
        parts += [f"{failed:,} failed"] if failed else []
        parts += [f"{waiting:,} waiting for you"] if waiting else []
        parts += [f"{before:,} done before"] if before else []
        if tokens.evaluated or tokens.reused:
            parts.append(
                f"{tokens.evaluated:,} tokens evaluated, {tokens.reused:,} reused, "
                f"{tokens.generated:,} generated"
            )
        say(f"samovar: {'; '.join(parts)}; {lasting(progress.elapsed_s())}")
