"""`samovar branch` and `samovar rerun`: new runs that take from an earlier one what need not be done again.

Above: the commands of `kept_commands.py`. Below: the journal, `resuming.py`, and `run.py`, which drives them
as any run. The earlier run stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from samovar.app import open_library
from samovar.cli.keeping import find_run
from samovar.cli.resuming import ResumeArguments, arguments_of, decided, go_to, unchanged, workflow_now
from samovar.cli.run import run_workflow
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.cli.variables import read_assignments
from samovar.errors import NotFoundError, UsageError
from samovar.folders import current_folder
from samovar.journal.base import KeptVisit, RunHead, RunOrigin, RunStatus
from samovar.journal.opening import open_journal
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.variable_files import read_file
from samovar.running.uncertain import Decisions, undecided
from samovar.values import literal

_ROUND = re.compile(r"#\d+(?=[/\[]|$)")
"""What a path in a key says of the visits around it: `Build#2/Compile`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchPoint:
    """Where a run branches off, and with what."""

    state: str
    """The path of a state."""
    visit: int | None
    """Which of its visits, from 1; None: the last one."""
    prompts: tuple[str, ...]
    """Each `--prompt NAME=FILE`."""


def branch_run(arguments: ResumeArguments, point: BranchPoint) -> int:
    """A new run that goes on from a visit of another; its exit status."""
    journal, head, kept = _earlier(arguments)
    at, nth, visits = _visit_of(head, kept, point)
    before = [one for one in undecided(kept) if one.intent.number < at.intent.number]
    decision = arguments.decision if arguments.dry_run else decided(head.id, before, arguments.decision)
    prompts = _prompts(point.prompts)
    go_to(head)
    library = open_library(current_folder())
    workflow = unchanged(head, library, journal)
    secrets, changed = _changed(arguments.variables, workflow)
    there = _workflow_at(workflow, library, at.intent.key.path)
    origin = RunOrigin(
        run=head.id, at=at.intent.key, variables=_typed(changed, there, at.intent.key.path), prompts=prompts
    )
    own = replace(
        arguments_of(head, replace(arguments, variables=secrets), journal),
        earlier=head,
        origin=origin,
        uncertain=Decisions(of_all=decision),
    )
    if not (arguments.quiet or arguments.as_json or arguments.as_events):
        which = f" (visit {nth} of {visits})" if visits > 1 else ""
        say(f"samovar: run {head.id} is taken up to {at.intent.key.path}{which}")
    return run_workflow(own)


def rerun_run(arguments: ResumeArguments) -> int:
    """A new run of the workflow as it is now, which takes what has not changed; its exit status."""
    journal, head, kept = _earlier(arguments)
    begun = undecided(kept)
    if begun and arguments.decision != "redo" and not arguments.dry_run:
        names = ", ".join(str(one.intent.key) for one in begun[:5])
        raise UsageError(
            f"Run {head.id} was interrupted in {names}, and it is unknown whether that was done. Check it, "
            f"then use --redo to do it again; or let the run end first: `samovar resume {head.id}`."
        )
    go_to(head)
    workflow_now(head, open_library(current_folder()), journal)
    own = replace(
        arguments_of(head, arguments, journal),
        earlier=head,
        origin=RunOrigin(run=head.id),
        uncertain=Decisions(of_all="redo"),
    )
    return run_workflow(own)


def _earlier(arguments: ResumeArguments) -> tuple[Path | None, RunHead, Sequence[KeptVisit]]:
    """The journal that was named, what the run began with, and its visits. Raises `UsageError`."""
    assert arguments.run is not None
    settings = settings_for(arguments.settings, trusts=arguments.trust)
    with open_journal(settings) as journal:
        found = find_run(journal, arguments.run)
        head = journal.head(found.id)
        if head.is_outline:
            raise UsageError(
                f'Only the outline of run {found.id} was kept (`journal = "outline"`), so nothing can be '
                "taken from it."
            )
        if found.status is RunStatus.RUNNING:
            raise UsageError(f"Run {found.id} is driven by {found.owner}. Wait for its end, or stop it.")
        return settings.journal_file, head, list(journal.visits(found.id))


def _visit_of(head: RunHead, kept: Sequence[KeptVisit], point: BranchPoint) -> tuple[KeptVisit, int, int]:
    """The visit that is meant, which one it is, and of how many. Raises `NotFoundError`, `UsageError`."""
    paths = {one.intent.key.path: _ROUND.sub("", one.intent.key.path) for one in kept}
    wanted = [path for path, plain in paths.items() if point.state in (path, plain)]
    if not wanted:  # a name alone, where only one state has it
        ends = {plain for plain in paths.values() if plain.endswith(f"/{point.state}")}
        wanted = [path for path, plain in paths.items() if plain in ends] if len(ends) == 1 else []
    if not wanted:
        raise NotFoundError("state with an action in that run", point.state, dict.fromkeys(paths.values()))
    visits = [one for one in kept if one.intent.key.path in wanted]
    nth = len(visits) if point.visit is None else point.visit
    if not 1 <= nth <= len(visits):
        times = "once" if len(visits) == 1 else f"{len(visits)} times"
        raise UsageError(
            f"--visit {nth}: run {head.id} was in {point.state} {times}. Give a number from 1 to "
            f"{len(visits)}."
        )
    return visits[nth - 1], nth, len(visits)


def _prompts(given: Sequence[str]) -> Mapping[str, str]:
    """The texts of prompts by name. Raises `UsageError`."""
    texts: dict[str, str] = {}
    for one in given:
        name, equals, file = one.partition("=")
        if not equals or not name.strip() or not file:
            raise UsageError(f"--prompt takes NAME=FILE, not {one!r}.")
        texts[name.strip()] = read_file(Path(file), f"--prompt {one}")
    return texts


def _changed(given: Sequence[str], workflow: Workflow) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The assignments of secrets, which are given again, and the values of others, which are changed."""
    secrets = tuple(one for one in given if one.partition("=")[0].strip() in workflow.secret_names)
    return secrets, read_assignments([one for one in given if one not in secrets], workflow.parameters)


def _workflow_at(workflow: Workflow, library: Library, path: str) -> Workflow:
    """The workflow that a state is in, as far as that is known before the run."""
    from samovar.testing.paths import Tree

    owner = Tree(workflow, library).owner(_ROUND.sub("", path))
    return workflow if owner is None else owner[0]


def _typed(given: Mapping[str, str], workflow: Workflow, path: str) -> Mapping[str, object]:
    """The values of variables, by the types of parameters. Raises `NotFoundError` for a name."""
    parameters = {one.name: one for one in workflow.parameters}
    known = set(parameters).union(*(action.sets | action.item_names for _, action in workflow.actions()))
    values: dict[str, object] = {}
    for name, text in given.items():
        if name not in known:
            raise NotFoundError(f"variable in the workflow of {path}", name, sorted(known))
        if name in parameters and parameters[name].secret:
            raise UsageError(f"--var {name}: a secret cannot be changed in the middle of a run.")
        parameter = parameters.get(name)
        values[name] = literal(text) if parameter is None else parameter.parse(text)
    return values
