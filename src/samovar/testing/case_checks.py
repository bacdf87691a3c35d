"""Checks cases against their workflow, before any of them is run.

Above: the command line. Below: cases, and the states of a workflow and of those it runs, by path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from samovar.actions.prompt import ExecutePrompt
from samovar.actions.workflow import RunWorkflow
from samovar.checks.unset import read_names
from samovar.errors import Fault, NotFoundError, Place, SamovarError, nearest
from samovar.language.names import BUILT_IN
from samovar.language.parsed_action import ParsedAction
from samovar.testing.cases import ANSWER_KEYS, SHELL_KEYS, Case, CaseFile
from samovar.testing.expectations import Expected, Told
from samovar.testing.expected_values import COMMAND_KEYS, PROMPT_KEYS
from samovar.testing.paths import Tree


def check_cases(file: CaseFile, tree: Tree) -> tuple[Fault, ...]:
    """The message about states that are not there, or do no such thing, and variables that mean nothing."""
    found: list[Fault] = []
    known = known_variables(tree)
    for case in file.cases:
        for path, told in case.answers.items():
            found += _misplaced(tree, path, told, _asks, "asks no prompt")
        for path, result in case.shell.items():
            found += _misplaced(tree, path, result, _runs, "runs no command")
        for path, wait in case.waits.items():
            found += _misplaced(tree, path, wait, _waits, "does not wait")
        for path, reply in case.replies.items():
            found += _misplaced(tree, path, reply, _asks_person, "asks nobody")
        found += _expected(tree, case.expected)
        found += _variables(case, known)
    return tuple(found)


def _expected(tree: Tree, expected: Expected) -> Iterator[Fault]:
    for path, wanted in expected.prompts.items():
        yield from _misplaced(tree, path, wanted, _asks, "asks no prompt")
    for path, wanted in expected.commands.items():
        yield from _misplaced(tree, path, wanted, _runs, "runs no command")
    for path, place in zip(expected.path or (), expected.path_places, strict=False):
        yield from _unknown(tree, path, place)
    if expected.error is not None and expected.error.state is not None:
        yield from _unknown(tree, expected.error.state, expected.error.place)


def _variables(case: Case, known: frozenset[str] | None) -> Iterator[Fault]:
    for name in case.variables if known is not None else ():
        if name not in (known or ()):
            hint = nearest(name[:100], known or ())
            message = (
                f"The workflow has no parameter {name!r}, and nothing in it reads a variable of that "
                f"name.{hint}"
            )
            yield Fault(code="unknown-variable", message=message, place=case.places.get(name, case.place))


def known_variables(tree: Tree) -> frozenset[str] | None:
    """Variables that can be given to the workflow to some purpose; None if only a run knows which."""
    workflow = tree.workflow
    names = {*(one.name for one in workflow.parameters), *read_names(workflow), *workflow.unread, *BUILT_IN}
    for _, action in workflow.actions():
        names |= action.sets
        if isinstance(action, ExecutePrompt) and action.name is not None:
            if not action.name.is_literal:
                return None
            with suppress(SamovarError):
                names |= tree.library.prompt(action.name.text({}), workflow=workflow).template.names
    if workflow.system is not None:
        names |= workflow.system.names
    with suppress(SamovarError):
        if prompt := tree.library.system_prompt(workflow):
            names |= prompt.template.names
    return frozenset(names)


def _unknown(tree: Tree, path: str, place: Place) -> Iterator[Fault]:
    try:
        tree.find(path)
    except NotFoundError as error:
        above, _, key = path.rpartition("/")
        if key and above and not _runs_workflows(tree, above):
            hint = nearest(key[:100], {*ANSWER_KEYS, *SHELL_KEYS, *PROMPT_KEYS, *COMMAND_KEYS})
            message = f"There is no {key!r} in what the case gives for {above!r}.{hint}"
            yield Fault(code="unknown-key", message=message, place=place)
        else:
            yield Fault(code="unknown-state", message=error.message, place=place)


def _runs_workflows(tree: Tree, path: str) -> bool:
    """Whether it is a state that runs a workflow, or none at all."""
    try:
        state = tree.find(path)
    except NotFoundError:
        return True
    return state is None or any(isinstance(action, RunWorkflow) for action in state.actions)


def _asks(action: ParsedAction) -> bool:
    return action.asks_prompt


def _runs(action: ParsedAction) -> bool:
    return action.runs_command


def _waits(action: ParsedAction) -> bool:
    return action.verb == "wait"


def _asks_person(action: ParsedAction) -> bool:
    return action.verb in ("ask", "approve")


def _misplaced(
    tree: Tree, path: str, told: Told[object], does: Callable[[ParsedAction], bool], otherwise: str
) -> Iterator[Fault]:
    yield from _unknown(tree, path, told.place)
    try:
        state = tree.find(path)
    except NotFoundError:
        return
    if state is not None and not any(map(does, state.actions)):
        yield Fault(code="misplaced", message=f"The state {path!r} {otherwise}.", place=told.place)
