"""What is wrong or doubtful about a workflow beside the other files and its own variables.

Above: the runner refuses to start on errors; `samovar check` shows everything. Below: actions, which say
what they refer to, and the library, which knows what there is. What is wrong within one file was found
when it was read.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.base import Action
from samovar.actions.conditional import Conditional
from samovar.actions.prompt import Prompt
from samovar.actions.scanner import Pair, Value
from samovar.actions.workflow import RunWorkflow
from samovar.errors import Fault, FaultsError, NotFoundError, Place, SamovarError, nearest
from samovar.library import Library
from samovar.parameters import Parameter
from samovar.workflow import When, Workflow

ALWAYS_THERE = frozenset(
    [
        "result",
        "success",
        "failure",
        "is_error",
        "error",
        "env",
        "branches",
        "exit_code",
        "stdout",
        "stderr",
        "duration_s",
        "duration_ms",
        "last_action_result",
        "claude_response",
        "default",
    ]
)
"""Variables that a run has without anyone setting them by name."""


def check_workflow(workflow: Workflow, library: Library) -> tuple[Fault, ...]:
    """Every fault and warning, in the order of the file: its own warnings, references, variables.

    Sub-workflows are followed for cycles, but their own faults are theirs.
    """
    found = [*workflow.warnings, *_references(workflow, library), *_variables(workflow)]
    found += _cycles(workflow, library, (workflow.name,), set())
    return tuple(sorted(dict.fromkeys(found), key=lambda fault: (fault.place.line, fault.place.column)))


def check_tree(workflow: Workflow, library: Library) -> tuple[Fault, ...]:
    """`check_workflow` for a workflow and everything it runs, each file once."""
    faults: dict[Fault, None] = {}
    seen: set[object] = set()
    waiting = [workflow]
    while waiting:
        one = waiting.pop(0)
        if (key := one.path or one.name) in seen:
            continue
        seen.add(key)
        faults.update(dict.fromkeys(check_workflow(one, library)))
        waiting += [child for _, child in _children(one, library)]
    return tuple(faults)


def _actions(workflow: Workflow) -> Iterator[Action]:
    for state in workflow.states.values():
        action: object = state.action
        if isinstance(action, Conditional):
            yield from action.variants
        elif isinstance(action, Action):
            yield action


def _references(workflow: Workflow, library: Library) -> Iterator[Fault]:
    for action in _actions(workflow):
        yield from action.faults(library, workflow)
        if isinstance(action, Prompt) and action.name is not None and action.name.is_literal:
            yield from _prompt(action, action.name, workflow, library)
        elif isinstance(action, RunWorkflow) and action.name.is_literal:
            yield from _child(action, workflow, library)


def _prompt(action: Prompt, name: Value, workflow: Workflow, library: Library) -> Iterator[Fault]:
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
    known = _known_names(workflow)
    yield from _arguments(action.arguments, prompt.parameters, f"The prompt {text!r}", prompt.template.names)
    given = {pair.key for pair in action.arguments} | {
        p.name for p in prompt.parameters if p.default is not None
    }
    for parameter in prompt.parameters:
        if parameter.required and parameter.name not in given | known:
            message = f"The prompt {text!r} needs {parameter.name!r}: give it with {parameter.name}=…"
            yield Fault(code="missing-argument", message=message, place=name.place)
    for variable in sorted(prompt.template.names - given - known - {p.name for p in prompt.parameters}):
        message = (
            f"The prompt {text!r} reads {variable!r}, which nothing sets.{nearest(variable, known | given)}"
        )
        yield Fault(code="unset-variable", message=message, place=name.place, severity="warning")


def _arguments(
    pairs: tuple[Pair, ...], parameters: tuple[Parameter, ...], what: str, read: frozenset[str]
) -> Iterator[Fault]:
    """Arguments that nothing takes. Without declared parameters, what a text reads counts."""
    names = {parameter.name for parameter in parameters} | read
    for pair in pairs:
        if pair.key not in names:
            message = f"{what} has no parameter {pair.key!r}.{nearest(pair.key, names)}"
            yield Fault(code="unknown-parameter", message=message, place=pair.place, severity="warning")


def _child(action: RunWorkflow, workflow: Workflow, library: Library) -> Iterator[Fault]:
    try:
        child = _find_child(action, workflow, library)
    except FaultsError as error:
        yield from (fault for fault in error.faults if fault.severity == "error")
        return
    except SamovarError as error:
        yield Fault(code="unknown-workflow", message=error.message, place=action.name.place)
        return
    what = f"The workflow {child.name!r}"
    if child.parameters:
        yield from _arguments(action.given, child.parameters, what, _read_names(child))
    given = {pair.key for pair in action.given}
    for parameter in child.parameters:
        if parameter.required and parameter.default is None and parameter.name not in given:
            message = f"{what} needs {parameter.name!r}: give it with {parameter.name}=…"
            yield Fault(code="missing-argument", message=message, place=action.name.place)


def _find_child(action: RunWorkflow, workflow: Workflow, library: Library) -> Workflow:
    beside = workflow.path.parent if workflow.path else None
    return library.workflow(action.name.text({}), beside=beside)


def _children(workflow: Workflow, library: Library) -> Iterator[tuple[RunWorkflow, Workflow]]:
    for action in _actions(workflow):
        if isinstance(action, RunWorkflow) and action.name.is_literal:
            try:
                yield action, _find_child(action, workflow, library)
            except SamovarError:
                continue


def _cycles(workflow: Workflow, library: Library, chain: tuple[str, ...], done: set[str]) -> Iterator[Fault]:
    for action, child in _children(workflow, library):
        if child.name in chain:
            path = " → ".join((*chain[chain.index(child.name) :], child.name))
            message = f"The workflows run each other in a circle: {path}."
            yield Fault(code="workflow-cycle", message=message, place=action.name.place)
        elif child.name not in done:
            done.add(child.name)
            yield from _cycles(child, library, (*chain, child.name), done)


# Variables ---------------------------------------------------------------------------------------------


def _known_names(workflow: Workflow) -> frozenset[str]:
    """Variables that something in the workflow may set."""
    names = ALWAYS_THERE | {parameter.name for parameter in workflow.parameters}
    return names.union(*(action.sets for action in _actions(workflow)))


def _read_names(workflow: Workflow) -> frozenset[str]:
    """Variables that the workflow reads somewhere."""
    names: set[str] = set()
    for action in _actions(workflow):
        names |= action.names
    for prompt in workflow.prompts.values():
        names |= prompt.template.names
    for place, read in _conditions(workflow):
        del place
        names |= read
    return frozenset(names)


def _conditions(workflow: Workflow) -> Iterator[tuple[Place, frozenset[str]]]:
    for state in workflow.states.values():
        for transition in state.transitions:
            if transition.when is When.CONDITION and transition.condition is not None:
                yield transition.place, transition.condition.names


def _variables(workflow: Workflow) -> Iterator[Fault]:
    known = _known_names(workflow)
    reads: list[tuple[Place, frozenset[str]]] = [
        (action.place, action.names) for action in _actions(workflow)
    ]
    for place, names in [*reads, *_conditions(workflow)]:
        for name in sorted(names - known):
            message = f"Nothing sets the variable {name!r} (unless --var does).{nearest(name, known)}"
            yield Fault(code="unset-variable", message=message, place=place, severity="warning")
