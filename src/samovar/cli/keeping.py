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
        _check_wait(arguments, "are not kept")
        yield None
        return
    if settings.journal == "outline" and arguments.begun_as is None:
        _check_wait(arguments, "are kept in outline only")
    must = arguments.begun_as is not None or is_named(settings) or settings.wait
    with ExitStack() as stack:
        try:
            journal = stack.enter_context(open_journal(settings))
            if arguments.shows and arguments.begun_as is None:
                _greet(journal, settings, workflow)
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


def _check_wait(arguments: RunArguments, how: str) -> None:
    """Raises `UsageError` if the run is to be left waiting, and could not continue."""
    if arguments.settings.get("wait"):
        raise UsageError(f"--wait needs a run that is kept, and runs {how} here (the setting `journal`).")


def _greet(journal: SqliteJournal, settings: Settings, workflow: Workflow) -> None:
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
    if last is not None and last.status in (RunStatus.INTERRUPTED, RunStatus.WAITING):
        where = journal_option(settings.journal_file)
        is_waiting = last.status is RunStatus.WAITING
        state = "waits for an answer" if is_waiting else "was interrupted"
        verb = "answer" if is_waiting else "resume"
        say(f"samovar: the last run of this workflow {state}: `samovar {verb} {last.id}{where}` continues it")


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


def say_kept(run: str, journal: object, *, waits: bool) -> None:
    """How a run that is kept continues, on standard error. `journal`: what `--journal` named."""
    where = journal_option(journal)
    if waits:
        say(f"samovar: the run waits; answer with `samovar answer {run}{where} VALUE`")
    else:
        say(f"samovar: the run is kept; continue it with `samovar resume {run}{where}`")


def find_run(journal: Journal, run: str | None, *, can_go_on: bool = False) -> RunSummary:
    """The run that is meant; without a name the newest of all, or of those that can continue.

    Raises `NotFoundError`, and `UsageError` if it may be several.
    """
    if run is not None:
        with suppress(NotFoundError):  # it may be a part of an id
            return journal.summary(run)
    runs = list(journal.runs(most=None if run is not None or can_go_on else 1))
    if run is None:
        newest = next((one for one in runs if not (can_go_on and one.status.is_over)), None)
        if newest is None:
            what = "unfinished run" if can_go_on else "run"
            raise UsageError(f"There is no {what} in the journal. `samovar runs` lists the kept runs.")
        return newest
    found = [one for one in runs if run in one.id]
    if not found:
        raise NotFoundError("run", run, (one.id for one in runs))
    if len(found) > 1:
        raise UsageError(f"{run!r} may be {', '.join(one.id for one in found[:5])}. Give more of the id.")
    return found[0]


def looks(journal: Journal, run: str) -> Iterator[RunSummary]:
    """A run as it is now, and again every `LOOK_S`, for as long as it is asked for. Raises `NotFoundError`.

    Only that run is read, however many are kept.
    """
    while True:
        yield journal.summary(run)
        time.sleep(LOOK_S)
