"""Parts of variables that Liquid names and that can never be there, as far as types are known.

Above: `checking.py`. Below: templates, and the types of a workflow's variables. Expressions are checked by
`typed.py`. A filter such as `default` makes no difference: it would be taken each time.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from samovar.actions.prompt import ExecutePrompt
from samovar.checks.parts import parts_of
from samovar.errors import Fault, Severity, nearest
from samovar.expressions.types import WITH_PARTS, Type
from samovar.language.paths import Path
from samovar.language.template import Template
from samovar.language.workflow import Workflow

_OF_ALL = ("size", "first", "last")
"""What Liquid takes of values that have no such part."""


def missing_parts(workflow: Workflow, types: Mapping[str, Type], severity: Severity) -> Iterator[Fault]:
    """For each text of the workflow, and of its own prompts: the paths that lead nowhere."""
    for _, action in workflow.actions():
        for part in parts_of(action):
            if isinstance(part, Template) and part.paths:
                yield from _missing(part, types, _own_names(action, part), severity)
        name = action.name if isinstance(action, ExecutePrompt) else None
        prompt = workflow.prompts.get(name.text({})) if name is not None and name.is_literal else None
        if isinstance(action, ExecutePrompt) and prompt is not None and prompt.template.paths:
            given = {pair.key for pair in action.arguments} | {one.name for one in prompt.parameters}
            yield from _missing(prompt.template, types, given, severity)


def _own_names(action: object, part: Template) -> set[str]:
    """Names that mean in a text of an action what is not a variable of the workflow."""
    if not isinstance(action, ExecutePrompt):
        return set()
    if action.verify is not None and part is action.verify.text:
        return {"result"}  # it is the answer there
    return {pair.key for pair in action.arguments}


def _missing(
    template: Template, types: Mapping[str, Type], own: Container[str], severity: Severity
) -> Iterator[Fault]:
    for path in template.paths:
        if path.steps[0] in own or (wrong := _first_missing(path, types)) is None:
            continue
        behind, name, parts = wrong
        message = f"`{behind}` has no part {name!r}.{nearest(name[:100], parts)}"
        place = template.place.within(template.text, path.offset)
        yield Fault(code="type-mismatch", message=message, place=place, severity=severity)


def _first_missing(path: Path, types: Mapping[str, Type]) -> tuple[str, str, Mapping[str, Type]] | None:
    """The first step that can never be taken: what it is behind, its name, and the parts that there are."""
    found = types.get(str(path.steps[0]))
    for count, step in enumerate(path.steps[1:], start=1):
        if found is None:
            return None
        if isinstance(step, int) or (step in ("first", "last") and "list" in found.kinds):
            found = found.item if found.kinds == {"list"} else None
        elif step in found.parts:
            found = found.parts[step]
        elif found.is_closed and found.kinds & WITH_PARTS and step not in _OF_ALL:
            return ".".join(map(str, path.steps[:count])), step, found.parts
        else:
            return None
    return None
