"""What is wrong or doubtful about a workflow beside the other files and its own variables.

Above: the runner refuses to start on errors; `samovar check` shows everything. Below: actions, which say
what they refer to, and the library, which knows what there is. What is wrong within one file was found
when it was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from samovar.actions.base import Action
from samovar.actions.conditional import Conditional
from samovar.actions.log import Log
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.scanner import Pair, Value
from samovar.actions.set import Set
from samovar.actions.workflow import RunWorkflow
from samovar.checks.exits import doubtful_exits
from samovar.checks.shared_prefix import broken_prefixes
from samovar.errors import Fault, FaultsError, NotFoundError, Place, SamovarError, nearest
from samovar.language.expression import Expression
from samovar.language.parameters import Parameter
from samovar.language.spelling import is_below_old_folder
from samovar.language.template import Template
from samovar.language.workflow import OLD_NAMES, Branch, State, When, Workflow
from samovar.library import Library, much_to_keep
from samovar.running.branches import BUILT_IN, Claims

ALWAYS_THERE = frozenset(("result", "success", "failure", "is_error", "error", "env")) | OLD_NAMES
"""Variables that a run has without anyone setting them by name."""
OF_SHELL = frozenset(("stdout", "stderr", "exit_code", "duration_s"))
LABELS = frozenset(("always", "default", "else"))
MOST_OFFERS = 20
"""Variables for which the nearest name is looked for; it takes time."""

_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""


def check_workflow(workflow: Workflow, library: Library) -> tuple[Fault, ...]:
    """Every fault and warning, in the order of the file: its own warnings, references, variables.

    Sub-workflows are followed for cycles, but their own faults are theirs.
    """
    is_old = is_below_old_folder(workflow.path)
    with much_to_keep():
        found = [*workflow.warnings, *_references(workflow, library), *_variables(workflow)]
        found += [*_sessions(workflow), *_set_twice(workflow), *_cycles(workflow, library)]
        found += [*doubtful_exits(workflow, is_old=is_old), *broken_prefixes(workflow, library)]
        return tuple(sorted(dict.fromkeys(found), key=lambda fault: (fault.place.line, fault.place.column)))


def check_tree(workflow: Workflow, library: Library) -> tuple[Fault, ...]:
    """`check_workflow` for a workflow and everything it runs, each file once."""
    faults: dict[Fault, None] = {}
    seen: set[object] = set()
    waiting = [workflow]
    while waiting:
        one = waiting.pop(0)
        if (key := _key(one)) in seen:
            continue
        seen.add(key)
        faults.update(dict.fromkeys(check_workflow(one, library)))
        waiting += [child for _, child in _children(one, library)]
    return tuple(faults)


def _actions(workflow: Workflow) -> Iterator[Action]:
    for state in workflow.states.values():
        yield from actions_of(state)


def actions_of(state: State) -> Iterator[Action]:
    """What a state can do."""
    action: object = state.action
    if isinstance(action, Conditional):
        yield from action.variants
    elif isinstance(action, Action):
        yield action


def _references(workflow: Workflow, library: Library) -> Iterator[Fault]:
    known = _known_names(workflow)
    for action in _actions(workflow):
        yield from action.faults(library, workflow)
        yield from _escapes(action)
        if isinstance(action, ExecutePrompt) and action.name is not None and action.name.is_literal:
            yield from _prompt(action, action.name, workflow, library, known)
        elif isinstance(action, ExecutePrompt) and action.inline is not None:
            yield from _arguments(action.arguments, (), "The text", action.inline.names, "result")
        elif isinstance(action, RunWorkflow) and action.name.is_literal:
            yield from _child(action, workflow, library)


def _escapes(action: Action) -> Iterator[Fault]:
    """Texts with `\\n` in them, which is no new line there."""
    if isinstance(action, ExecutePrompt):
        texts: object = (action.inline, *(pair.value for pair in action.arguments))
    else:
        texts = action if isinstance(action, Log | Set) else ()
    for part in _parts(texts):
        at = part.text.find("\\n") if isinstance(part, Template) else -1
        if at >= 0:
            message = (
                "`\\n` stays as it is written here. A prompt of several lines stands below `## Prompts`, and "
                '`Set x := "a\\nb"` has two lines.'
            )
            place = part.place.within(part.text, at)
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
    for parameter in prompt.parameters:
        if parameter.required and not parameter.condition and parameter.name not in given | known:
            message = f"The prompt {text!r} needs {parameter.name!r}: give it with {parameter.name}=…"
            yield Fault(code="missing-argument", message=message, place=name.place)
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
            message = f"{what} has no parameter {pair.key!r}.{nearest(pair.key, names.union(or_else))}"
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
        yield from _arguments(action.given, child.parameters, what, read_names(child))
    given = {pair.key for pair in action.given}
    for parameter in child.parameters:
        is_needed = parameter.required and parameter.default is None and not parameter.condition
        if is_needed and parameter.name not in given:
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


def _cycles(workflow: Workflow, library: Library) -> Iterator[Fault]:
    """The circles that can be reached from a workflow; each file is looked into once."""
    chain = {_key(workflow): workflow.name}
    done = set(chain)
    walks = [iter(_children(workflow, library))]
    while walks:
        action, child = next(walks[-1], (None, None))
        if action is None or child is None:
            walks.pop()
            chain.popitem()
        elif (key := _key(child)) in chain:
            names = list(chain.values())[list(chain).index(key) :]
            message = f"The workflows run each other in a circle: {' → '.join((*names, child.name))}."
            yield Fault(code="workflow-cycle", message=message, place=action.name.place)
        elif key not in done:
            done.add(key)
            chain[key] = child.name
            walks.append(iter(_children(child, library)))


def _key(workflow: Workflow) -> object:
    return workflow.path.resolve() if workflow.path else workflow.name


# Sessions and branches ---------------------------------------------------------------------------------


def _sessions(workflow: Workflow) -> Iterator[Fault]:
    """Copies of sessions that there never are, and sessions that two branches of a fork use."""
    prompts = [action for action in _actions(workflow) if isinstance(action, ExecutePrompt)]
    begun = [session for prompt in prompts if (session := prompt.using.of("session"))]
    known = {session.text({}) for session in begun if session.is_literal}
    for prompt in prompts:
        copied = prompt.using.of("fork")
        if copied is None or not copied.is_literal or not all(session.is_literal for session in begun):
            continue
        if (name := copied.text({})) not in known:
            message = f"No state has the session {name!r}, so it cannot be copied.{nearest(name, known)}"
            yield Fault(code="unknown-session", message=message, place=copied.place)
    order = _order(workflow)
    for fork in workflow.forks.values():
        claims = Claims()
        for branch in fork.branches:
            for state in _states_of(branch, workflow, order):
                yield from _claims(state, branch.first, claims)


def _claims(state: State, branch: str, claims: Claims) -> Iterator[Fault]:
    """The sessions that a state of a branch uses though another branch does."""
    for action in actions_of(state):
        if not isinstance(action, ExecutePrompt):
            continue
        for key in ("session", "fork"):
            session = action.using.of(key)
            if session is None or not session.is_literal:
                continue
            name = session.text({})
            other = claims.claim(name, branch, continues=key == "session")
            if other is not None:
                message = (
                    f"The branch {branch!r} uses the session {name!r}, as does the branch {other!r}: "
                    "give each branch a session of its own, as a copy with fork=…"
                )
                yield Fault(code="shared-session", message=message, place=session.place)


def _set_twice(workflow: Workflow) -> Iterator[Fault]:
    """Variables that several branches of a fork set, each where the last of them does so first."""
    order = _order(workflow)
    for fork in workflow.forks.values():
        setters: dict[str, dict[str, Place]] = {}
        for branch in fork.branches:
            for state in _states_of(branch, workflow, order):
                for action in actions_of(state):
                    for name in action.sets - BUILT_IN:
                        setters.setdefault(name, {}).setdefault(branch.first, action.place)
        for name, places in setters.items():
            if len(places) > 1:
                *others, last = places
                message = (
                    f"The branches {', '.join(map(repr, others))} and {last!r} of the fork {fork.name!r} set "
                    f"{name!r}: after the join it is that of the last one that changed it. "
                    "Give each a name of its own."
                )
                yield Fault(code="shared-variable", message=message, place=places[last], severity="warning")


def _order(workflow: Workflow) -> Mapping[str, int]:
    """Where each state stands among those of the file."""
    return {name: index for index, name in enumerate(workflow.states)}


def _states_of(branch: Branch, workflow: Workflow, order: Mapping[str, int]) -> Iterator[State]:
    """In the order of the file."""
    return (workflow.states[name] for name in sorted(branch.states, key=order.__getitem__))


# Variables ---------------------------------------------------------------------------------------------


def _known_names(workflow: Workflow) -> frozenset[str]:
    """Variables that something in the workflow may set."""
    actions = list(_actions(workflow))
    names = ALWAYS_THERE | {parameter.name for parameter in workflow.parameters} | workflow.unread
    names |= OF_SHELL if any(action.verb == "shell" for action in actions) else frozenset()
    names |= {"branches"} if workflow.forks else frozenset()
    return names.union(*(action.sets for action in actions))


def read_names(workflow: Workflow) -> frozenset[str]:
    """Variables that the workflow reads somewhere."""
    names: set[str] = set()
    for action in _actions(workflow):
        names |= action.names
    for prompt in workflow.prompts.values():
        names |= prompt.template.names
    for condition in _conditions(workflow):
        names |= condition.names
    return frozenset(names)


def _conditions(workflow: Workflow) -> Iterator[Expression]:
    for state in workflow.states.values():
        for transition in state.transitions:
            if transition.when is When.CONDITION and transition.condition is not None:
                yield transition.condition


def _variables(workflow: Workflow) -> Iterator[Fault]:
    known = _known_names(workflow)
    readers: list[Action | Expression] = [*_actions(workflow), *_conditions(workflow)]
    offers: dict[str, str] = {}
    for reader in readers:
        for name in sorted(reader.names - known):
            if name not in offers:
                # A condition of one name may be meant for one of the known labels.
                near = known | LABELS if isinstance(reader, Expression) and reader.text == name else known
                offers[name] = nearest(name, near) if len(offers) < MOST_OFFERS else ""
            message = f"Nothing sets the variable {name!r} (unless --var does).{offers[name]}"
            place = _place_of(name, reader)
            yield Fault(code="unset-variable", message=message, place=place, severity="warning")


def _place_of(name: str, reader: Action | Expression) -> Place:
    """Where a reader has the name first, as far as its parts tell."""
    for part in _parts(reader):
        text = part.text
        begins = [text.find(mark) for mark in ("{{", "{%", "${") if mark in text]
        begin = 0 if isinstance(part, Expression) else min(begins, default=0)
        if name not in part.names:
            continue
        pattern = re.compile(rf"{_STRING}|(?<![\w.])({re.escape(name)})(?!\w)")
        found = (match.start() for match in pattern.finditer(text, begin) if match[1])
        return part.place.within(text, next(found, begin))
    return reader.place


def _parts(value: object) -> Iterator[Template | Expression]:
    """The texts that an action is made of."""
    if isinstance(value, Template | Expression):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif is_dataclass(value) and not isinstance(value, Place):
        for field in fields(value):
            yield from _parts(getattr(value, field.name))
