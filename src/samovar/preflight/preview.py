"""Previews a workflow as far as possible before the run: nothing is asked, executed or waited for.

Above: the command line. Below: `prompts.py`, `filling.py`, the library and the actions. A value that only a
run can know is shown as written (`${summary}`); all else is filled as in a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from samovar.actions.base import Action
from samovar.actions.conditional import Conditional
from samovar.actions.defaults import PromptDefaults
from samovar.actions.for_each import ForEach, items_of
from samovar.actions.given import as_taken
from samovar.actions.list_items import too_many
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.workflow import RunWorkflow
from samovar.errors import ActionError, Place, SamovarError
from samovar.errors.counting import counted
from samovar.language.names import first_variables
from samovar.language.parameters import bind
from samovar.language.workflow import Fork, State, Workflow
from samovar.library import Library
from samovar.preflight.filling import Later, fill, shown
from samovar.preflight.prompts import PromptPreview, preview_action, split_arguments
from samovar.preflight.unknowns import Unknowns
from samovar.running.runner import RunnerSettings
from samovar.values.secrecy import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePreview:
    """A state that acts, or a join that does not wait for all branches."""

    name: str
    verb: str
    place: Place
    """Place of its action."""
    what: str
    """What it does, filled as far as it is known."""
    is_repeatable: bool
    """It may be performed again if nobody knows whether it was done."""
    retries: str = ""
    """How often it is performed again after a failure, as written; empty: never."""
    prompt: PromptPreview | None = None
    error: SamovarError | None = None
    """Why the action would fail whatever the run brings."""
    each: str = ""
    """For the items of which list it is done: `for each file in files, 3 items`. Empty: for none."""


# Workflows ---------------------------------------------------------------------------------------------


MOST_STATES = 10_000
"""States of all workflows that are entered together; after this many a state that runs another is not
entered."""


def preview(
    workflow: Workflow,
    variables: Mapping[str, object],
    library: Library,
    defaults: PromptDefaults,
    run: RunnerSettings | None = None,
    hidden: Secrets | None = None,
) -> tuple[StatePreview, ...]:
    """Every state that acts, in the order of the diagram; behind one that runs a workflow, those of that.

    `variables`: those bound before the run; `run`: what is decided about it; None: nothing.
    `hidden`: learns what is given to secret parameters of the workflows that are run.
    """
    return tuple(
        _Walk(library, run or RunnerSettings(), hidden or Secrets(), workflow.limits.items).states(
            _Call(workflow, variables, {}, defaults)
        )
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """A workflow as it is run."""

    workflow: Workflow
    variables: Mapping[str, object]
    held: Later
    """What it is given that only the run knows."""
    defaults: PromptDefaults
    prefix: str = ""
    """Prefix of the paths of its states."""
    chain: tuple[object, ...] = ()
    """The workflows above it."""


class _Walk:
    """One way through a workflow and those it runs. Mutable: how many states were seen."""

    def __init__(self, library: Library, run: RunnerSettings, hidden: Secrets, most: int | None) -> None:
        """`most`: items of a list, as the run's own workflow says; None: as the setting does."""
        self._library, self._surroundings, self._hidden = library, run.surroundings, hidden
        self._most_items = run.settings.most_items if most is None else most
        self._states = 0

    def states(self, call: _Call) -> Iterator[StatePreview]:
        before = Unknowns(call.workflow)
        values = {**self._surroundings, **first_variables(call.variables)}
        joins = {fork.join: fork for fork in call.workflow.forks.values() if fork.needed is not None}
        for state in call.workflow.states.values():
            if state.name in joins:
                yield _join(joins[state.name], call)
            if not isinstance(state.action, Action):
                continue
            self._states += 1
            later = {**call.held, **before.later(state)} if call.held else before.later(state)
            inner, each = None, ""
            try:
                action, there = _decided(state.action, values, later)
                if isinstance(action, ForEach):
                    each = _each(action, call.workflow, there, later, self._most_items)
                    later = {**later, **{name: f"${{{name}}}" for name in action.item_names}}
                    action = action.action or action
                one = _state(state, action, call, there, later, self._library)
                if isinstance(action, RunWorkflow):
                    inner = self._enter(state, action, call, there, later)
            except SamovarError as error:
                one = _preview_of(state, state.action, call, state.action.what, error=error)
            yield replace(one, each=each)
            if inner is not None and self._states < MOST_STATES:
                yield from self.states(inner)

    def _enter(
        self, state: State, action: RunWorkflow, call: _Call, values: Mapping[str, object], later: Later
    ) -> _Call | None:
        """The workflow that a state runs; None if only the run knows it, or if it would be a circle."""
        if action.name.names & later.keys():
            return None
        child = self._library.child(call.workflow, action.name.text(values))
        chain = (*call.chain, call.workflow.identity)
        if child.identity in chain:
            return None
        given, held = split_arguments(action.given, values, later)
        known = [parameter for parameter in child.parameters if parameter.name not in held]
        variables = bind(known, as_taken(action.given, given, known))
        for parameter in known:
            if parameter.secret and parameter.name in variables:
                self._hidden.learn(variables[parameter.name])
        return _Call(
            workflow=child,
            variables=variables,
            held=held,
            defaults=call.defaults.below(child),
            prefix=f"{call.prefix}{state.name}/",
            chain=chain,
        )


def _each(
    action: ForEach, workflow: Workflow, values: Mapping[str, object], later: Later, most_items: int
) -> str:
    """Which list an action goes through, with as much of it as is known. Raises as the action would.

    `most_items`: of a list, if the workflow sets no limit.
    """
    clause = action.clause
    said = f"for each {clause.name} in {clause.items.text}"
    if clause.items.names & later.keys():
        return said
    count = len(items_of(clause.items.evaluate(values), clause.items.text, action.place))
    if wrong := too_many(count, workflow.limits.items, most_items):
        raise ActionError(wrong, place=action.place)
    return f"{said}, {counted(count, 'item')}"


def _decided(
    action: Action, values: Mapping[str, object], later: Later
) -> tuple[Action, Mapping[str, object]]:
    """What an action with tags around its parts is, if that is known, and the values it is filled with."""
    if isinstance(action, Conditional) and not action.names & later.keys():
        return action.become(values) or (action, values)
    return action, values


def _state(
    state: State, action: Action, call: _Call, values: Mapping[str, object], later: Later, library: Library
) -> StatePreview:
    if isinstance(action, ExecutePrompt):
        defaults = call.defaults.at(call.prefix + state.name, 1)
        prompt = preview_action(action, call.workflow, values, later, library, defaults)
        return _preview_of(state, action, call, action.what, prompt=prompt)
    return _preview_of(state, action, call, _what(action, values, later))


def _join(fork: Fork, call: _Call) -> StatePreview:
    """A join that does not wait for all branches."""
    assert fork.needed is not None
    return StatePreview(
        name=call.prefix + fork.join,
        verb="join",
        place=fork.needed.place,
        what=f"waits for {fork.needed.count} of {len(fork.branches)} branches and cancels the others",
        is_repeatable=True,
    )


def _preview_of(
    state: State,
    action: Action,
    call: _Call,
    what: str,
    *,
    prompt: PromptPreview | None = None,
    error: SamovarError | None = None,
) -> StatePreview:
    return StatePreview(
        name=call.prefix + state.name,
        verb=action.verb,
        place=action.place,
        what=what,
        is_repeatable=action.is_repeatable,
        retries=action.retries.text if action.retries else "",
        prompt=prompt,
        error=error,
    )


def _what(action: Action, values: Mapping[str, object], later: Later) -> str:
    """What an action does; if it shows a text, the text filled as far as it is known."""
    return action.what if action.shown is None else shown(fill(action.shown, values, later))
