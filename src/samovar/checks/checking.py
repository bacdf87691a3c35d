"""Checks a workflow against the other files and its own variables.

Above: `preflight/prepare.py` refuses to run on errors; `samovar check` shows everything. Below: actions,
which say what they refer to, and the library, which knows what there is. What is wrong within one file was
found when it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from samovar.actions.base import Action
from samovar.actions.given import Pair, Value
from samovar.actions.options import OF_VERIFY, OPTIONS
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.workflow import RunWorkflow
from samovar.checks.exits import doubtful_exits
from samovar.checks.exposed import doubtful_exposure
from samovar.checks.for_each import doubtful_items
from samovar.checks.gone_errors import errors_read_too_late
from samovar.checks.labels import declared_here
from samovar.checks.liquid_paths import prompt_in_vain, read_in_vain
from samovar.checks.parts import parts_of
from samovar.checks.plain_texts import misspelt_results, unfilled, unread_parameters
from samovar.checks.reserved import names_set_twice
from samovar.checks.retried import doubtful_retries
from samovar.checks.returned import mistyped_returns
from samovar.checks.shared_prefix import broken_prefixes
from samovar.checks.side_by_side import doubtful_sessions, set_by_several
from samovar.checks.tool_names import unknown_tools
from samovar.checks.typed import mistyped
from samovar.checks.unset import read_names, unset_variables
from samovar.checks.variable_types import types_of
from samovar.errors import Fault, FaultsError, NotFoundError, Place, SamovarError, nearest
from samovar.language.parameters import Parameter
from samovar.language.pieces import tokenize
from samovar.language.reading import much_to_keep
from samovar.language.template import Template
from samovar.language.workflow import Workflow, items_of
from samovar.library import Library


def check_workflow(
    workflow: Workflow, library: Library, *, given: frozenset[str] = frozenset()
) -> tuple[Fault, ...]:
    """Every fault and warning, in the order of the file: its own warnings, references, variables.

    Sub-workflows are followed for cycles, but their own faults are theirs. `given`: variables that it is run
    with, besides its parameters.
    """
    is_old = workflow.is_old
    with much_to_keep():
        types = types_of(workflow, library)
        found = [*workflow.warnings, *_references(workflow, library)]
        found += unset_variables(workflow, types, given)
        found += [*doubtful_sessions(workflow), *set_by_several(workflow), *_cycles(workflow, library)]
        found += [*doubtful_exits(workflow, is_old=is_old), *broken_prefixes(workflow, library)]
        found += [*errors_read_too_late(workflow), *misspelt_results(workflow, library)]
        found += [*doubtful_items(workflow, library, types, given), *doubtful_retries(workflow, library)]
        found += [*mistyped(workflow, types, is_old=is_old), *names_set_twice(workflow, is_old=is_old)]
        found += [*mistyped_returns(workflow, types), *doubtful_exposure(workflow)]
        found += read_in_vain(workflow, types, "warning" if is_old else "error")
        return tuple(sorted(dict.fromkeys(found), key=lambda fault: (fault.place.line, fault.place.column)))


def check_tree(
    workflow: Workflow, library: Library, *, given: frozenset[str] = frozenset()
) -> tuple[Fault, ...]:
    """`check_workflow` for a workflow, which may be `given` variables, and all it runs, each file once."""
    faults: dict[Fault, None] = {}
    tree = tuple(library.tree(workflow))
    by_caller = _given(tree, library)
    for one in tree:
        names = by_caller.get(one.identity, frozenset()) | (given if one is workflow else frozenset())
        faults.update(dict.fromkeys(check_workflow(one, library, given=names)))
    return tuple(faults)


def _given(tree: Sequence[Workflow], library: Library) -> Mapping[object, frozenset[str]]:
    """By workflow, the variables that those which run it give it."""
    found: dict[object, frozenset[str]] = {}
    for one in tree:
        for _, action, child in library.children(one):
            if isinstance(action, RunWorkflow):
                keys = {pair.key for pair in action.given}
                found[child.identity] = found.get(child.identity, frozenset()) | keys
    return found


def _references(workflow: Workflow, library: Library) -> Iterator[Fault]:
    known, own, around = workflow.known_names, declared_here(workflow), workflow.items_around()
    for state, action in workflow.actions():
        if not isinstance(action, Action):
            continue
        yield from action.faults(library, workflow)
        items = items_of(state, action, around)
        for part in parts_of(action):
            yield from (*part.faults, *unfilled(part, own | items)) if isinstance(part, Template) else ()
        if isinstance(action, ExecutePrompt):
            yield from unknown_tools(action, workflow, library)
        yield from _escapes(action)
        if isinstance(action, ExecutePrompt) and action.name is not None and action.name.is_literal:
            yield from _prompt(action, action.name, workflow, library, known | items)
        elif isinstance(action, ExecutePrompt) and action.inline is not None:
            yield from _arguments(action.arguments, (), "The text", action.inline.names, "result")
        elif isinstance(action, RunWorkflow) and action.name.is_literal:
            yield from _child(action, workflow, library)


def _escapes(action: Action) -> Iterator[Fault]:
    """Texts with `\\n` in them, which is not a new line there."""
    for text in action.texts:
        if "\\n" not in text.text:
            continue
        tokens = tokenize(text.text, text.place, text.rules)
        fixed = ((one.offset, one.text.find("\\n")) for one in tokens if one.kind == "text")
        at = next((begin + found for begin, found in fixed if found >= 0), None)
        if at is not None:
            message = (
                "`\\n` is not a line break here. Put a prompt of several lines below `## Prompts`, and "
                '`Set x := "a\\nb"` has two lines.'
            )
            place = text.place.within(text.text, at)
            yield Fault(code="escape", message=message, place=place, severity="warning")


def _prompt(
    action: ExecutePrompt, name: Value, workflow: Workflow, library: Library, known: frozenset[str]
) -> Iterator[Fault]:
    text = name.text({})
    try:
        prompt = library.prompt(text, workflow=workflow)
    except NotFoundError as error:
        yield Fault(code="unknown-prompt", message=error.message, place=name.place)
        return
    except FaultsError as error:
        yield from error.faults
        return
    except SamovarError as error:
        yield Fault(code="unknown-prompt", message=error.message, place=name.place)
        return
    if text not in workflow.prompts:
        yield from prompt.warnings
    yield from _arguments(action.arguments, prompt.parameters, f"The prompt {text!r}", prompt.template.names)
    given = {pair.key for pair in action.arguments} | {
        p.name for p in prompt.parameters if p.default is not None
    }
    yield from unread_parameters(prompt)
    yield from prompt_in_vain(prompt)
    names = declared_here(workflow) | given | {parameter.name for parameter in prompt.parameters}
    yield from unfilled(prompt.template, names)
    for parameter in prompt.parameters:
        if parameter.required and not parameter.condition and parameter.name not in given | known:
            message = f"The prompt {text!r} needs {parameter.name!r}: pass it with {parameter.name}=…"
            yield Fault(code="missing-argument", message=message, place=name.place)
        elif _of_action(action).get(parameter.name):
            whole, keeps = f"The prompt {text!r}", "the value of that variable"
            yield _hidden(whole, parameter.name, "Execute prompt", keeps, name.place)
    for variable in sorted(prompt.template.names - given - known - {p.name for p in prompt.parameters}):
        message = (
            f"The prompt {text!r} reads {variable!r}, which nothing sets.{nearest(variable, known | given)}"
        )
        yield Fault(code="unset-variable", message=message, place=name.place, severity="warning")


def _arguments(
    pairs: tuple[Pair, ...],
    parameters: tuple[Parameter, ...],
    what: str,
    read: frozenset[str],
    *or_else: str,
) -> Iterator[Fault]:
    """Arguments that nothing takes. Without declared parameters, what a text reads counts.

    `or_else`: what may have been meant instead.
    """
    names = {parameter.name for parameter in parameters} | read
    for pair in pairs:
        if pair.key not in names:
            is_option = not what.startswith("The workflow") and pair.key in (*OPTIONS, *OF_VERIFY)
            way = " As an option it goes after `using`." if is_option else ""
            hint = way or nearest(pair.key, names.union(or_else))
            message = f"{what} has no parameter {pair.key!r}.{hint}"
            yield Fault(code="unknown-parameter", message=message, place=pair.place, severity="warning")


def _child(action: RunWorkflow, workflow: Workflow, library: Library) -> Iterator[Fault]:
    try:
        child = library.child(workflow, action.name.text({}))
    except FaultsError as error:
        yield from (fault for fault in error.faults if fault.severity == "error")
        return
    except SamovarError as error:
        yield Fault(code="unknown-workflow", message=error.message, place=action.name.place)
        return
    what = f"The workflow {child.name!r}"
    if child.parameters:
        yield from _arguments(action.given, child.parameters, what, read_names(child))
    given = {pair.key for pair in action.given}
    taken = _of_action(action)
    for parameter in child.parameters:
        is_needed = parameter.required and parameter.default is None and not parameter.condition
        if is_needed and parameter.name not in given:
            message = f"{what} needs {parameter.name!r}: pass it with {parameter.name}=…"
            if parameter.name in taken:
                message = (
                    f"{what} needs {parameter.name!r}, which `Run workflow` reads as its own "
                    "option: rename that parameter."
                )
            yield Fault(code="missing-argument", message=message, place=action.name.place)
        elif not is_needed and taken.get(parameter.name):
            yield _hidden(what, parameter.name, "Run workflow", "its default", action.name.place)


def _of_action(action: ExecutePrompt | RunWorkflow) -> dict[str, bool]:
    """The options that hide a parameter of the same name, and whether the action has each."""
    retries = action.retries
    return {
        "result": action.result is not None,
        "timeout": action.timeout is not None,
        "retries": retries is not None,
        "backoff": retries is not None and retries.backoff is not None,
    }


def _hidden(what: str, name: str, verb: str, keeps: str, place: Place) -> Fault:
    """A parameter cannot be given, since an option of the action has its name."""
    message = (
        f"{what} has a parameter {name!r}, which keeps {keeps}: `{name}=` is an option of "
        f"`{verb}`. Rename that parameter."
    )
    return Fault(code="missing-argument", message=message, place=place, severity="warning")


def _cycles(workflow: Workflow, library: Library) -> Iterator[Fault]:
    """The circles that can be reached from a workflow; each file is looked into once."""
    chain = {workflow.identity: workflow.name}
    done = set(chain)
    walks = [iter(library.children(workflow))]
    while walks:
        found = next(walks[-1], None)
        if found is None:
            walks.pop()
            chain.popitem()
            continue
        _, action, child = found
        if (key := child.identity) in chain:
            names = list(chain.values())[list(chain).index(key) :]
            message = f"The workflows run each other in a circle: {' → '.join((*names, child.name))}."
            yield Fault(
                code="workflow-cycle",
                message=message,
                place=action.name.place if isinstance(action, RunWorkflow) else action.place,
            )
        elif key not in done:
            done.add(key)
            chain[key] = child.name
            walks.append(iter(library.children(child)))
