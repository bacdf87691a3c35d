"""Variables that a workflow reads but nothing sets, and labels and defaults that read them.

Above: `checking.py`. Below: `labels.py`, `typed.py`, and the parts of actions that have names in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from samovar.actions.prompt import ExecutePrompt
from samovar.checks.labels import declared_here, doubtful_labels
from samovar.checks.parts import fix_for_the_shell, parts_of
from samovar.checks.typed import unknown_defaults
from samovar.errors import Fault, Place, SamovarError, Severity, nearest
from samovar.expressions.expression import Expression
from samovar.expressions.types import ANYTHING, Type
from samovar.language.names import BUILT_IN
from samovar.language.parsed_action import ParsedAction
from samovar.language.template import Template
from samovar.language.workflow import Workflow, items_of
from samovar.library import Library

MOST_OFFERS = 20
"""Variables for which the nearest name is looked for; it takes time."""


def read_names(workflow: Workflow) -> frozenset[str]:
    """Variables that the workflow reads somewhere."""
    names: set[str] = set()
    for _, action in workflow.actions():
        names |= action.names
    for prompt in workflow.prompts.values():
        names |= prompt.template.names
    for _, condition in workflow.conditions():
        names |= condition.names
    return frozenset(names)


def read_everywhere(workflow: Workflow, library: Library) -> frozenset[str]:
    """What the workflow reads, with the prompts of the library that it names and the system prompt."""
    names = set(read_names(workflow))
    for _, action in workflow.actions():
        names = names.union(*(part.names for part in parts_of(action)))  # what it sets itself, too
        if isinstance(action, ExecutePrompt) and action.name is not None and action.name.is_literal:
            with suppress(SamovarError):
                names |= library.prompt(action.name.text({}), workflow=workflow).template.names
    with suppress(SamovarError):
        system = library.system_prompt(workflow)
        names |= system.template.names if system else frozenset()
    return frozenset(names | (workflow.system.names if workflow.system else frozenset()))


class Readers:
    """What may be passed to a workflow, so that something in it reads it."""

    def __init__(self, workflow: Workflow, library: Library) -> None:
        read = read_everywhere(workflow, library)
        declared = {parameter.name for parameter in workflow.parameters}
        returned = {one.name for one in workflow.returns.names} if workflow.returns else set()
        self._likely = declared | (read - workflow.sets - BUILT_IN)
        self._taken = declared | read | workflow.sets | workflow.unread | returned | {"result"}
        # The prompts that only the run knows may read anything.
        self._is_open = any(
            isinstance(action, ExecutePrompt) and action.name is not None and not action.name.is_literal
            for _, action in workflow.actions()
        )

    def unread(self, name: str) -> str | None:
        """What is wrong with a name that is passed, with the nearest; None: something may read it."""
        if name in self._taken:
            return None
        hint = nearest(name, self._likely)
        if self._is_open and not hint.startswith(" Did"):
            return None
        return f"The workflow has no parameter {name!r}, and nothing reads a variable of that name.{hint}"


def unset_variables(workflow: Workflow, types: Mapping[str, Type], given: frozenset[str]) -> Iterator[Fault]:
    """Names that are read, and that nothing sets. `given`: names that anyone who runs it gives."""
    known = workflow.known_names | given
    own = [(name, types.get(name, ANYTHING)) for name in sorted(declared_here(workflow))]
    everywhere = known.union(*(action.item_names for _, action in workflow.actions()))
    in_vain = [
        *unknown_defaults(workflow, everywhere, is_old=workflow.is_old),
        *doubtful_labels(workflow, everywhere, own),
    ]
    yield from in_vain
    told = {fault.place for fault in in_vain}
    around = workflow.items_around()
    readers: list[tuple[ParsedAction | Expression, frozenset[str]]] = [
        (action, items_of(state, action, around)) for state, action in workflow.actions()
    ]
    readers += [(one, around.get(state.name, frozenset())) for state, one in workflow.conditions()]
    offers: dict[str, str] = {}
    for reader, items in readers:
        missing = reader.names - known - items
        homes = {name: part for part in reversed(tuple(parts_of(reader))) for name in part.names & missing}
        for name in sorted(missing):
            if name not in offers:
                offers[name] = nearest(name, known) if len(offers) < MOST_OFFERS else ""
            part = homes.get(name)
            place = part.where(name) if part else reader.place
            if place not in told:
                yield _unset(name, offers[name], place, part, is_error=_is_needed(name, part, reader))


def _is_needed(name: str, part: Template | Expression | None, reader: ParsedAction | Expression) -> bool:
    """Whether an action cannot do without the variable: it is in a `${…}` or behind `:=`."""
    if isinstance(part, Template):
        return isinstance(part.uses.get(name), Expression) and not part.rules.is_old
    return part is not None and part is not reader


def _unset(
    name: str, offer: str, place: Place, part: Template | Expression | None, *, is_error: bool
) -> Fault:
    is_shell = isinstance(part, Template) and part.rules.shell
    message = f"Nothing sets the variable {name!r}"
    if is_shell and not is_error:
        message += f", so `${{{name}}}` is left to the shell: write $${{{name}}} if that is meant.{offer}"
    elif not is_error:
        message += f" (unless --var does).{offer}"
    elif offer.startswith(" Did") or not is_shell:
        message += f".{offer or ' Set it before, or declare a parameter.'}"
    else:
        message += f". The shell's own variable is written ${name} or $${{{name}}}.{offer}"
    severity: Severity = "error" if is_error else "warning"
    fix = fix_for_the_shell(name, part) if isinstance(part, Template) and is_shell and not is_error else None
    return Fault(code="unset-variable", message=message, place=place, severity=severity, fix=fix)
