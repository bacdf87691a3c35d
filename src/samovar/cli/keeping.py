"""Where runs of the command line are kept, and what of a command a later process needs.

Above: `run.py`, `resuming.py`, `runs.py`. Below: the journal, the settings. The file is opened with the first
run that is kept.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from samovar.cli.run_arguments import RunArguments
from samovar.cli.terminal import say
from samovar.config import Settings
from samovar.errors import NotFoundError, UsageError
from samovar.folders import current_folder
from samovar.journal.base import Journal, RunHead, RunSummary
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.projects.places import state_folder
from samovar.projects.trust import text_digest
from samovar.running.keeping import Keeping

if TYPE_CHECKING:
    from samovar.journal.sqlite import SqliteJournal


def journal_file(settings: Settings) -> Path:
    """Where runs are kept. Raises `UsageError` for a user without a place for it."""
    file = settings.journal_file
    if file is not None:
        if not file.name or file.is_dir():
            raise UsageError(f"--journal cannot be {str(file)!r}: expected the path of a file.")
        return file
    folder = state_folder()
    if folder is None:
        raise UsageError(
            "There is no home folder to store runs in. Set HOME or XDG_STATE_HOME, or name a file with "
            "--journal."
        )
    return folder / "journal.db"


def is_kept(settings: Settings) -> bool:
    """Whether runs are kept at all."""
    return settings.journal == "on" or settings.journal_file is not None


@contextmanager
def open_journal(settings: Settings) -> Iterator[SqliteJournal]:
    """The journal, until the body ends. Nothing is made yet."""
    from samovar.journal.sqlite import SqliteJournal

    journal = SqliteJournal(journal_file(settings))
    try:
        yield journal
    finally:
        journal.close()


def digests(workflow: Workflow, library: Library) -> Mapping[str, str]:
    """Digests of the files of a workflow and of all it runs, by their whole paths."""
    found: dict[str, str] = {}
    for one in library.tree(workflow):
        if one.path is not None:
            path = current_folder() / one.path
            found[str(path)] = text_digest(path.read_text(encoding="utf-8", errors="surrogateescape"))
    return found


@contextmanager
def keeping_for(
    arguments: RunArguments, settings: Settings, workflow: Workflow, library: Library
) -> Iterator[Keeping | None]:
    """How the run is kept, while its journal is open; None: it is not."""
    if (not is_kept(settings) and arguments.goes_on is None) or arguments.no_journal:
        yield None
        return
    with open_journal(settings) as journal:
        yield Keeping(
            journal=journal,
            goes_on=arguments.goes_on,
            options=arguments.kept,
            uncertain=arguments.uncertain,
            digests=digests(workflow, library),
            folder=current_folder(),
        )


def check_secrets(head: RunHead, variables: Mapping[str, object]) -> None:
    """Raises `UsageError` for a secret that the run had, and that was not given again."""
    missing = next((name for name in head.secrets if variables.get(name) is None), None)
    if missing is not None:
        raise UsageError(
            f"The secret {missing!r} is not kept with the run. Pass it again: --var {missing}=@FILE, "
            f"--var {missing}=- on standard input, or from the environment (`from_env` in the workflow)."
        )


def say_interrupted(run: str, journal: object) -> None:
    """How a run that was interrupted continues, on standard error. `journal`: what `--journal` named."""
    where = "" if journal is None else f" --journal {shlex.quote(str(journal))}"
    say(f"samovar: the run is kept; continue it with `samovar resume {run}{where}`")


def find_run(journal: Journal, run: str | None, *, can_go_on: bool = False) -> RunSummary:
    """The run that is meant; without a name the newest of all, or of those that can continue.

    Raises `NotFoundError`, and `UsageError` if it may be several.
    """
    runs = list(journal.runs())
    if run is None:
        found = next((one for one in runs if not (can_go_on and one.status.is_over)), None)
        if found is None:
            what = "unfinished run" if can_go_on else "run"
            raise UsageError(f"There is no {what} in the journal. `samovar runs` lists the kept runs.")
        return found
    exact = [one for one in runs if one.id == run] or [one for one in runs if run in one.id]
    if not exact:
        raise NotFoundError("run", run, (one.id for one in runs))
    if len(exact) > 1:
        raise UsageError(f"{run!r} may be {', '.join(one.id for one in exact[:5])}. Give more of the id.")
    return exact[0]
