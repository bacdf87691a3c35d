"""Asks once before a run if a project may do what it would do, and shows all of it.

Above: `prepare.py`. Below: `running/gate.py`, which follows the answer while the run is in progress; the
library; what the user trusts. A workflow that was named by its file is the user's own choice, with all that
its project has for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from samovar.actions.base import refused
from samovar.config import settings_known
from samovar.errors import UntrustedError
from samovar.language.parsed_action import ParsedAction
from samovar.language.workflow import State, Workflow
from samovar.library import Library
from samovar.projects.opening import opening_of
from samovar.projects.trust import is_trusted_by_environment, kept_of
from samovar.running.gate import Doing, Gate, said, ways
from samovar.running.routing import states_that_only_choose

Allow = Callable[[str], bool]
"""Shows a person what would be done, and gives whether it may be done this once."""


def open_gate(
    workflow: Workflow,
    library: Library,
    *,
    is_named: bool,
    trusts: bool,
    allows_effects: bool,
    allow: Allow | None,
) -> Gate:
    """What the run of a workflow may do for projects that are not trusted.

    `is_named`: the user gave a name and no file. `trusts`: every project is trusted. `allow`: None if there
    is nobody to ask. Raises `UntrustedError` if there is something to ask about, and no yes to it;
    `RefusedError` if the run is to have no effects and is sure to reach one.
    """
    if not allows_effects and (action := sure_effect(workflow, library)) is not None:
        error = refused(action)
        error.exit_status = 2  # nothing was run
        raise error
    if trusts or is_trusted_by_environment():
        return Gate(allows_effects=allows_effects)
    closed = tuple(_closed(workflow, library, is_named))
    gate = Gate(closed=closed, kept=dict(_kept(closed)), allows_effects=allows_effects)
    found = list(dict.fromkeys(_doings(gate, workflow, library)))
    if not found:
        return gate
    if allow is None:
        raise UntrustedError(f"{said(found)}\n{ways(found)}")
    if not allow(said(found)):
        raise UntrustedError(ways(found))
    return replace(gate, allowed=frozenset(found))


def _closed(workflow: Workflow, library: Library, is_named: bool) -> Iterator[Path]:
    """The folders of projects, but for what the user chose by naming its file."""
    chosen = None if is_named or workflow.path is None else workflow.path.resolve()
    projects = (folder.parent for source, folder in library.folders if source == "project")
    for folder in dict.fromkeys(projects):
        if chosen is not None and chosen.is_relative_to(folder.resolve()):
            continue
        yield folder


def _kept(folders: Iterable[Path]) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """The folders among these that the user trusts, with the workflows that they had then."""
    for folder in folders:
        kept = kept_of(folder)
        if kept is not None and opening_of(folder, settings_known()).standing == "trusted":
            yield folder, kept.workflows


def _doings(gate: Gate, workflow: Workflow, library: Library) -> Iterator[Doing]:
    """What there is to ask about a workflow and all that it runs, as far as that is written."""
    runs: dict[object, list[Workflow]] = {}
    """By the identity of a workflow, what it runs."""
    ways: list[tuple[Workflow, Workflow | None]] = [(workflow, None)]
    """Each workflow with one that runs it, the nearest first."""
    for one, _ in ways:
        if one.identity not in runs:
            runs[one.identity] = [child for _, _, child in library.children(one)]
            ways += [(child, one) for child in runs[one.identity]]
    acting = {one.identity for one, _ in ways if any(action.effect for _, action in one.actions())}
    leading = _above(acting, runs)
    for one, above in ways:
        doing = gate.doing(library, one, above, leads=gate.allows_effects and one.identity in leading)
        if doing is not None:
            yield doing


def _above(found: set[object], runs: Mapping[object, Sequence[Workflow]]) -> set[object]:
    """The identities of all workflows that reach one of those that were found."""
    above: dict[object, list[object]] = {}
    for one, children in runs.items():
        for child in children:
            above.setdefault(child.identity, []).append(one)
    leading: set[object] = set()
    waiting = list(found)
    while waiting:
        for one in above.get(waiting.pop(), ()):
            if one not in leading:
                leading.add(one)
                waiting.append(one)
    return leading


def sure_effect(workflow: Workflow, library: Library) -> ParsedAction | None:
    """The first action with an effect that every run of the workflow reaches, with any values."""
    chain: set[object] = set()
    while workflow.identity not in chain:
        chain.add(workflow.identity)
        child = None
        passive = frozenset() if workflow.choice_states_act else states_that_only_choose(workflow.states)
        for state in _sure_states(workflow):
            action = None if state.name in passive else state.action
            if action is None:
                continue
            if all(one.effect is not None for one in action.variants):
                return action
            if action.runs is not None and len(action.variants) == 1:
                child = next((one for _, ran, one in library.children(workflow) if ran is action), None)
                break
        if child is None:
            return None
        workflow = child
    return None


def _sure_states(workflow: Workflow) -> Iterator[State]:
    """The states from the first on to the one from which there are several ways."""
    seen: set[str] = set()
    name: str | None = workflow.initial
    while name is not None and name not in seen:
        seen.add(name)
        state = workflow.states[name]
        yield state
        (name,) = {one.target for one in state.transitions} if len(state.transitions) == 1 else (None,)
