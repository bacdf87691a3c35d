"""Where runs of the command line are kept, and what of a command a later process needs.

Above: `run.py`, `resuming.py`, `runs.py`. Below: the journal, the settings. The file is opened with the first
run that is kept.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from samovar.cli.run_arguments import RunArguments
from samovar.cli.terminal import say
from samovar.config import Settings
from samovar.errors import JournalError, NotFoundError, SamovarError, UsageError
from samovar.errors.counting import counted
from samovar.folders import current_folder
from samovar.journal.base import Journal, RunHead, RunStatus, RunSummary
from samovar.journal.opening import is_named, open_journal
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.memory import resident_bytes
from samovar.running.keeping import Keeping, digests, sources

if TYPE_CHECKING:
    from samovar.journal.sqlite import SqliteJournal

LOOK_S = 0.2
"""How often it is looked what another process has done."""


@contextmanager
def keeping_for(
    arguments: RunArguments,
    settings: Settings,
    workflow: Workflow,
    library: Library,
    lose: Callable[[SamovarError], None],
) -> Iterator[Keeping | None]:
    """How the run is kept, while its journal is open; None: it is not.

    `lose` is told why, if it should be and cannot, unless its journal was named: that is an error.
    """
    if arguments.begun_as is None and (arguments.no_journal or settings.journal == "off"):
        _check_wait(arguments, settings)
        yield None
        return
    if settings.journal == "outline" and arguments.begun_as is None:
        _check_wait(arguments, settings)
    must = arguments.begun_as is not None or is_named(settings) or settings.wait
    with ExitStack() as stack:
        try:
            journal = stack.enter_context(open_journal(settings))
            if arguments.shows and arguments.begun_as is None:
                _greet(journal, settings, workflow, is_for_rows=arguments.rows.each is not None)
        except (JournalError, UsageError) as error:
            if must:
                raise
            lose(error)
            yield None
            return
        yield Keeping(
            journal=journal,
            goes_on=arguments.goes_on,
            options=arguments.kept,
            uncertain=arguments.uncertain,
            digests=digests(workflow, library),
            sources=sources(workflow, library),
            folder=current_folder(),
            is_outline=settings.journal == "outline" and arguments.begun_as is None,
            origin=arguments.origin,
            lose=None if must else lose,
            resident_bytes=resident_bytes,
        )


def _check_wait(arguments: RunArguments, settings: Settings) -> None:
    """Raises `UsageError` if the run is to be left waiting, and could not continue."""
    if not arguments.settings.get("wait"):
        return
    if arguments.no_journal:
        raise UsageError(
            "--wait and --no-journal cannot be combined: a run that waits continues from the journal."
        )
    raise UsageError(
        f'--wait needs runs that are kept whole, and the setting `journal` is "{settings.journal}" here. Set '
        'it to "full", as with SAMOVAR_JOURNAL=full before the command.'
    )


def _greet(journal: SqliteJournal, settings: Settings, workflow: Workflow, *, is_for_rows: bool) -> None:
    """Says where runs are kept, before the first one; and that the last run of the workflow can continue."""
    if not journal.is_there:
        if not is_named(settings):
            texts = ", with prompts and answers" if settings.journal == "full" else ""
            say(
                f"samovar: runs are kept for {counted(settings.journal_days, 'day')}{texts}, in "
                f"{journal.file} (the setting `journal`, or --no-journal)"
            )
        return
    if workflow.path is None:
        return
    last = journal.newest(current_folder() / workflow.path)
    if last is None or last.status not in (RunStatus.INTERRUPTED, RunStatus.WAITING):
        return
    where = journal_option(settings.journal_file)
    if last.status is RunStatus.WAITING:
        how = f"waits for an answer: `samovar answer {last.id}{where}` continues it"
    elif journal.head(last.id).row is None:
        how = f"was interrupted: `samovar resume {last.id}{where}` continues it"
    elif is_for_rows:  # which it is about to do, if they are the same
        return
    else:
        how = "was one of many rows, which were interrupted: the same command with --each continues them"
    say(f"samovar: the last run of this workflow {how}")


def check_secrets(head: RunHead, variables: Mapping[str, object]) -> None:
    """Raises `UsageError` for a secret that the run had, and that was not given again."""
    missing = next((name for name in head.secrets if variables.get(name) is None), None)
    if missing is not None:
        raise UsageError(
            f"The secret {missing!r} is not kept with the run. Pass it again: --var {missing}=@FILE, "
            f"--var {missing}=- on standard input, or from the environment (`from_env` in the workflow)."
        )


def check_same_secrets(journal: Journal, head: RunHead, variables: Mapping[str, object]) -> None:
    """Raises `UsageError` for a secret that is not the one that the run began with."""
    for name, proof in head.proofs.items():
        try:
            is_same = journal.is_proved(proof, name, variables.get(name))
        except JournalError as error:
            raise UsageError(
                f"The secret {name!r} cannot be compared with the one that the run began with. {error} "
                "If it is the same, or another one will do, add --changed-secrets."
            ) from error
        if not is_same:
            raise UsageError(
                f"The secret {name!r} is not the one that the run began with. Pass that one, or add "
                "--changed-secrets if another one will do."
            )


def journal_option(file: object) -> str:
    """What a command that is suggested has behind its run, for the journal that `--journal` named."""
    return "" if file is None else f" --journal {shlex.quote(str(file))}"


def kept_words(run: str, journal: object) -> str:
    """How a run that is kept continues. `journal`: what `--journal` named."""
    return f"the run is kept; continue it with `samovar resume {run}{journal_option(journal)}`"


def find_run(journal: Journal, run: str) -> RunSummary:
    """The run that is meant. Raises `NotFoundError`, and `UsageError` if it may be several."""
    with suppress(NotFoundError):  # it may be a part of an id
        return journal.summary(run)
    runs = list(journal.runs())
    found = [one for one in runs if run in one.id]
    if not found:
        raise NotFoundError("run", run, (one.id for one in runs))
    if len(found) > 1:
        several = ", ".join(one.id for one in found[:5])
        raise UsageError(f"{run!r} is part of several ids: {several}. Give more of it.")
    return found[0]


def looks(journal: Journal, run: str) -> Iterator[RunSummary]:
    """A run as it is now, and again every `LOOK_S`, for as long as it is asked for. Raises `NotFoundError`.

    Only that run is read, however many are kept.
    """
    while True:
        yield journal.summary(run)
        time.sleep(LOOK_S)
