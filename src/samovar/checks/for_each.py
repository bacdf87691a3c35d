"""Checks `for each`: the lists, and the results kept from the items.

Above: `checking.py`. Below: the values of a workflow, types, and the library. Mistakes in the shape of a
composite whose inside is repeated were found when its file was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from samovar.actions.for_each import ForEach, lists_of
from samovar.actions.given import whole_number
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.workflow import RunWorkflow
from samovar.checks.variable_types import child_of
from samovar.errors import Fault, Place, nearest
from samovar.expressions.types import Type
from samovar.language.names import BUILT_IN, LIQUID_WORDS, SURROUNDINGS
from samovar.language.workflow import State, Workflow
from samovar.library import Library

TAKEN = BUILT_IN | SURROUNDINGS | LIQUID_WORDS
"""Names that mean something already in every workflow."""


def doubtful_items(
    workflow: Workflow, library: Library, types: Mapping[str, Type], given: frozenset[str]
) -> Iterator[Fault]:
    """Errors. `given`: variables that the workflow is run with, besides its parameters."""
    lists = list(lists_of(workflow))
    around = workflow.items_around() if lists else {}
    taken = dict.fromkeys(given, "is a parameter of the workflow")
    taken |= {parameter.name: "is a parameter of the workflow" for parameter in workflow.parameters}
    taken |= dict.fromkeys(workflow.sets if lists else (), "is set by the workflow itself")
    for state, action in lists:
        yield from _names(action, around.get(state.name, frozenset()), taken)
        yield from _list(action, types)
        if action.collect is not None:
            yield from _collected(workflow, library, state, action, action.collect)
    if lists:
        yield from _sessions(workflow, {state.name: action for state, action in lists})


def _names(action: ForEach, around: frozenset[str], taken: Mapping[str, str]) -> Iterator[Fault]:
    """The variables of an item are new ones. `taken`: why a name is not, by that name."""
    for name in (action.clause.name, action.clause.index_name):
        why = taken.get(name, "means something already" if name in TAKEN else None)
        why = "is the item of the list around this one" if name in around else why
        if why is None:
            continue
        message = f"An item cannot be called {action.clause.name!r}: {name!r} {why}. Use another name."
        yield Fault(code="item-name", message=message, place=action.place)
        break


def _list(action: ForEach, types: Mapping[str, Type]) -> Iterator[Fault]:
    """What is gone through is a list, or a map."""
    items = action.clause.items
    whole = items.type(types)
    if whole.kinds & {"list", "map"}:
        return
    parts = sorted(name for name, part in whole.parts.items() if part.kinds == {"list"})
    if parts:
        advice = (
            "Its "
            + ", ".join(f"`{items.text}.{name}`" for name in parts)
            + (" is a list." if len(parts) == 1 else " are lists.")
        )
    elif "text" in whole.kinds:
        advice = f"Write lines({items.text}) for its lines."
    else:
        advice = "Write it in brackets, as in [a, b]."
    message = f"`for each` takes a list, but `{items.text[:60]}` is {whole}. {advice}"
    yield Fault(code="item-list", message=message, place=items.place)


def _collected(
    workflow: Workflow, library: Library, state: State, action: ForEach, name: str
) -> Iterator[Fault]:
    """The kept part of an item is there."""
    known = None
    if action.repeats_inside and state.name in workflow.bodies:
        inside = workflow.bodies[state.name].states
        known = {one for inner, did in workflow.actions() if inner.name in inside for one in did.sets}
        where = f"Nothing within {state.name!r} sets"
    elif isinstance(action.action, RunWorkflow):
        known = _given_back(action.action, workflow, library)
        where = "That workflow does not return"
    if known is not None and name not in known:
        message = f"{where} {name!r}, so there is nothing to collect.{nearest(name, known)}"
        yield Fault(code="item-collect", message=message, place=action.place)


def _given_back(action: RunWorkflow, workflow: Workflow, library: Library) -> set[str] | None:
    """The names of what a sub-workflow gives; None if only the run knows."""
    child = child_of(action, workflow, library)
    if child is None:
        return None
    if child.returns is not None:
        return set() if child.returns.is_single else {one.name for one in child.returns.names}
    return set(child.known_names) | {pair.key for pair in action.given}


def _sessions(workflow: Workflow, lists: Mapping[str, ForEach]) -> Iterator[Fault]:
    """Prompts of several items that would continue one conversation at the same time."""
    around: dict[str, list[ForEach]] = {}
    for name, body in workflow.bodies.items():
        for inner in body.states:
            around.setdefault(inner, []).append(lists[name])
    for state, action in workflow.actions():
        session = action.using.of("session") if isinstance(action, ExecutePrompt) else None
        if session is None or not session.is_literal:
            continue
        own = [lists[state.name]] if state.name in lists and state.action is not action else []
        each = next((one for one in (*own, *around.get(state.name, ())) if not _is_one_by_one(one)), None)
        if each is not None:
            yield _shared(session.text({}), each, session.place)


def _is_one_by_one(each: ForEach) -> bool:
    if each.at_once is None:
        return each.action is not None and not each.action.asks_prompt
    return each.at_once.is_literal and whole_number(each.at_once.given) == 1


def _shared(session: str, each: ForEach, place: Place) -> Fault:
    message = (
        f"Each item would continue the session {session!r} at the same time as others. Use a session for "
        f"each item, as "
        f'in session="{session}-${{{each.clause.index_name}}}" or as a copy with fork=…, or go through the '
        "list with at_once=1."
    )
    return Fault(code="shared-session", message=message, place=place)
