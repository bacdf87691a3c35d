"""What each variable of a workflow can hold, as far as that is known before a run.

Above: `checking.py`, and the checks that compare types. Below: the values of a workflow, the library, and
`expressions/types.py`. What a variable can hold is what its parameter and all the actions that set it say
together; if one says nothing, it is anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from samovar.actions.base import Action
from samovar.actions.failures import error_type
from samovar.actions.for_each import ForEach, lists_of
from samovar.actions.workflow import RunWorkflow
from samovar.errors import SamovarError
from samovar.expressions.types import ANYTHING, BOOL, NULL, Type, union
from samovar.language.names import BRANCHES, BUILT_IN, ERROR, OF_BRANCH
from samovar.language.schema_types import type_of_schema
from samovar.language.workflow import Workflow
from samovar.library import Library

_MAP = frozenset(("map",))
_ALWAYS = {"success": BOOL, "failure": BOOL, "is_error": BOOL}


def types_of(workflow: Workflow, library: Library | None = None) -> Mapping[str, Type]:
    """What each variable of a workflow can hold, as far as that is known.

    `library`: has the workflows that it runs; None: what they give may be anything.
    """
    found: dict[str, list[Type]] = {name: [type_] for name, type_ in _ALWAYS.items()}
    found[ERROR] = [error_type(), NULL]
    if workflow.forks:
        found[BRANCHES] = [_branches(workflow)]
    for parameter in workflow.parameters:
        found.setdefault(parameter.name, []).append(parameter.values)
    for state, action in workflow.actions():
        # What tags leave of an action is not known, only what it may set.
        if any(one.each is action for one in state.actions):
            continue  # what is done for each item sets nothing outside of it
        is_whole = state.action is action and isinstance(action, Action)
        types = _set_by(action, workflow, library) if is_whole and isinstance(action, Action) else {}
        for name in {*action.sets, *types}:
            found.setdefault(name, []).append(types.get(name, ANYTHING))
    for name in workflow.unread:
        found.setdefault(name, []).append(ANYTHING)
    return _with_items(workflow, {name: union(types) for name, types in found.items()})


def _branches(workflow: Workflow) -> Type:
    """What there is of each branch behind a join: what its states set, and how it ended."""
    own: dict[str, set[str]] = {}
    for state, action in workflow.actions():
        own.setdefault(state.name, set()).update(action.sets)
    for fork in sorted(workflow.forks.values(), key=lambda one: sum(len(it.states) for it in one.branches)):
        inner = (own.get(name, set()) for branch in fork.branches for name in branch.states)
        own.setdefault(fork.name, set()).update(*inner)  # what a fork within a branch sets, the branch does
    parts = {}
    for branch in (one for fork in workflow.forks.values() for one in fork.branches):
        names = workflow.unread.union(*(own.get(name, set()) for name in branch.states)) - BUILT_IN
        fields = {**dict.fromkeys(sorted(names), ANYTHING), **dict.fromkeys(OF_BRANCH, BOOL)}
        parts[branch.first] = Type(kinds=_MAP, parts=fields, is_closed=True)
    return Type(kinds=_MAP, parts=parts, is_closed=True)


def _with_items(workflow: Workflow, types: dict[str, Type]) -> Mapping[str, Type]:
    """With the known facts about the items of lists, and of the kept part of them."""
    loops = [action for _, action in lists_of(workflow)]
    for _ in range(2 if loops else 0):  # an item may be a list that another one goes through
        items: dict[str, list[Type]] = {}
        for one in loops:
            if one.action is None and one.collect is not None and one.result is not None:
                setters = sum(one.result in action.sets for _, action in workflow.actions())
                if setters == 1:
                    types |= one.types_of(types.get(one.collect, ANYTHING))
            for name, type_ in one.item_types(types).items():
                items.setdefault(name, []).append(type_)
        types |= {name: union(several) for name, several in items.items()}
    return types


def _set_by(action: Action, workflow: Workflow, library: Library | None) -> Mapping[str, Type]:
    """By name, what an action sets variables to."""
    runs = action.action if isinstance(action, ForEach) else action
    if library is None or not isinstance(runs, RunWorkflow):
        return action.types_in(workflow)
    given = _given_back(runs, workflow, library)
    if isinstance(action, ForEach):
        return action.types_of(given if action.collect is None else given.parts.get(action.collect, ANYTHING))
    return {runs.result: given} if runs.result else {}


def child_of(action: RunWorkflow, workflow: Workflow, library: Library) -> Workflow | None:
    """The workflow that an action runs; None if only the run knows, or it cannot be read."""
    try:
        return library.child(workflow, action.name.text({})) if action.name.is_literal else None
    except SamovarError:
        return None


def _given_back(action: RunWorkflow, workflow: Workflow, library: Library) -> Type:
    """What the value of a sub-workflow can be. What the workflows that it runs itself give is not known."""
    child = child_of(action, workflow, library)
    if child is None:
        return ANYTHING
    types = types_of(child)
    if child.returns is None:
        names = {*child.known_names, *(pair.key for pair in action.given)}
        parts = {name: types.get(name, ANYTHING) for name in sorted(names) if not name.startswith("_")}
        parts |= {pair.key: ANYTHING for pair in action.given if pair.key not in types}
    else:
        parts = {one.name: types.get(one.name, ANYTHING) for one in child.returns.names}
        for one in child.returns.names:
            if one.form is not None:
                formed = type_of_schema(one.form)
                parts[one.name] = union((formed, NULL)) if one.may_lack else formed
        if child.returns.is_single:
            return parts[child.returns.names[0].name]
    return Type(kinds=_MAP, parts=parts, is_closed=True)
