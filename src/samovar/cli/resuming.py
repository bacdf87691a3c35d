"""`samovar resume`: a run that was interrupted continues, with what it was called with then.

Above: the commands of `__init__.py`. Below: the journal, and `run.py`, which drives it as any run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samovar.app import open_library
from samovar.cli.choosing import chosen_run
from samovar.cli.keeping import journal_option
from samovar.cli.run import run_workflow
from samovar.cli.run_arguments import KEPT, RunArguments
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.errors import NotFoundError, UsageError
from samovar.errors.durations import lasting
from samovar.folders import current_folder
from samovar.journal.base import Journal, KeptVisit, RunHead, RunStatus, RunSummary
from samovar.journal.leases import LEASE_S
from samovar.journal.opening import open_journal
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.keeping import digests
from samovar.running.uncertain import Decision, Decisions, undecided


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeArguments:
    """What `samovar resume` was called with."""

    run: str | None
    """An id, or the beginning of one; None: the newest run that can continue."""
    variables: tuple[str, ...]
    """Each `--var`: secrets, which are not kept."""
    settings: Mapping[str, Any]
    decision: Decision | None
    """Decision of visits that were interrupted and may not simply be done again."""
    yes: bool
    answers: tuple[str, ...]
    trust: bool
    as_json: bool
    as_events: bool
    quiet: bool
    verbose: int
    cancelled: bool = False
    """Also a run that somebody has cancelled."""
    changed_secrets: bool = False
    """Its secrets need not be those that it began with."""
    dry_run: bool = False
    """It is only shown what would be done."""


def resume_run(arguments: ResumeArguments) -> int:
    """Goes on with a run, and returns its exit status."""
    settings = settings_for(arguments.settings, trusts=arguments.trust)
    with open_journal(settings) as journal:
        is_quiet = arguments.quiet or arguments.as_json or arguments.as_events
        found = chosen_run(journal, arguments.run, arguments.decision, quiet=is_quiet)
        found = _free(journal, found, cancelled=arguments.cancelled)
        head, open_visits = journal.head(found.id), undecided(journal.visits(found.id))
    if head.is_outline:
        raise UsageError(
            f'Only the outline of run {found.id} was kept (`journal = "outline"`), so it cannot continue.'
        )
    decision = decided(found.id, open_visits, arguments.decision)
    kept = replace(
        arguments_of(head, arguments, settings.journal_file),
        goes_on=head,
        changed_secrets=arguments.changed_secrets,
        uncertain=Decisions(of_all=decision),
    )
    go_to(head)
    unchanged(head, open_library(current_folder()), settings.journal_file)
    return run_workflow(kept)


def arguments_of(head: RunHead, arguments: ResumeArguments, journal: Path | None) -> RunArguments:
    """What a run is called with that begins as another one did. `journal`: where `--journal` says."""
    return RunArguments(
        variables=arguments.variables,
        switches=(),
        options=frozenset(),
        settings=_settings(head, arguments, journal),
        yes=arguments.yes,
        answers=arguments.answers,
        trust=arguments.trust,
        dry_run=arguments.dry_run,
        as_json=arguments.as_json,
        as_events=arguments.as_events,
        print_variable=None,
        record=None,
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        **_arguments(head),
    )


def decision_of(*, redo: bool, skip: bool, fail: bool) -> Decision | None:
    """What the options say. Raises `UsageError` if it is more than one thing."""
    given: dict[Decision, bool] = {"redo": redo, "skip": skip, "fail": fail}
    said = [name for name, is_given in given.items() if is_given]
    if len(said) > 1:
        raise UsageError(f"--{said[0]} and --{said[1]} cannot be combined.")
    return said[0] if said else None


def _free(journal: Journal, found: RunSummary, *, cancelled: bool) -> RunSummary:
    """The run, once the lease of a process that may have been killed has run out. Raises `UsageError`."""
    if found.status is RunStatus.CANCELLED:
        if cancelled:
            return found
        raise UsageError(f"Run {found.id} was cancelled. Add --cancelled to continue it all the same.")
    if found.status.is_over:
        raise UsageError(f"Run {found.id} is over ({found.status}).")
    left_s = found.until_s - time.time()
    if found.status is RunStatus.RUNNING and left_s > 0:
        say(f"samovar: {found.owner} may still drive the run; waiting {lasting(left_s)}")
        time.sleep(min(left_s, LEASE_S))  # a clock that was set back makes it no longer
        found = journal.summary(found.id)
    if found.status is RunStatus.RUNNING:
        raise UsageError(f"Run {found.id} is driven by {found.owner}.")
    return found


def _arguments(head: RunHead) -> dict[str, Any]:
    return {name: head.options.get(name) for name in KEPT}


def _settings(head: RunHead, arguments: ResumeArguments, journal: Path | None) -> dict[str, Any]:
    """What was given as options then, and what is given now, which wins."""
    then = head.options.get("settings")
    given = dict(then) if isinstance(then, Mapping) else {}
    given |= {name: one for name, one in arguments.settings.items() if one is not None}
    if journal is not None:
        given["journal_file"] = current_folder() / journal
    return given


def decided(run: str, visits: Sequence[KeptVisit], decision: Decision | None) -> Decision | None:
    """What was decided. Raises `UsageError` if somebody must decide, and nobody has."""
    if visits and decision is None:
        names = ", ".join(str(one.intent.key) for one in visits[:5])
        raise UsageError(
            f"Run {run} was interrupted in {names}, and it is unknown whether that was done. Check "
            "it, then use --redo to do it again, --skip to continue as if it was done, or --fail to "
            "continue as if it "
            "failed."
        )
    return decision


def go_to(head: RunHead) -> None:
    """To the folder that the run was started in. Raises `UsageError` if that cannot be."""
    try:
        if not Path(head.folder).samefile(current_folder()):
            os.chdir(head.folder)
            say(f"samovar: the run continues in {head.folder}")
    except OSError as error:
        raise UsageError(
            f"The run was started in {head.folder}, which cannot be entered: {error.strerror}."
        ) from error


def workflow_now(head: RunHead, library: Library, journal: Path | None) -> Workflow:
    """The workflow that a run was begun with, as it is now. Raises `UsageError` if it is gone."""
    name = str(head.options.get("workflow"))
    try:
        return library.workflow(name, lenient=bool(head.options.get("lenient")))
    except NotFoundError as error:
        place = name if head.path is None else str(head.path)
        back = _put_back(head, place, journal)
        raise UsageError(f"The workflow of run {head.id} is gone: {error} {back}") from error


def unchanged(head: RunHead, library: Library, journal: Path | None) -> Workflow:
    """The same, which is as it was, with all that it runs: what is done was done for another one otherwise.

    Raises `UsageError`.
    """
    workflow = workflow_now(head, library, journal)
    now = digests(workflow, library)
    if gone := ", ".join(path for path in head.digests if path not in now):
        back = _put_back(head, gone, journal)
        raise UsageError(f"Run {head.id} needs {gone}, which is gone. {back}")
    changed = [path for path, digest in now.items() if head.digests.get(path) != digest]
    if changed:
        raise UsageError(
            f"{', '.join(changed)} has changed since the run began. Restore it, or use "
            f"`samovar rerun {head.id}{journal_option(journal)}`: it runs the workflow as it is now, and "
            "takes from this run what did not change."
        )
    return workflow


def _put_back(head: RunHead, place: str, journal: Path | None) -> str:
    command = f"samovar runs export {head.id}{journal_option(journal)}"
    return f"Put it back as {place}. If you have no copy: `{command}` has its text, under `sources`."
