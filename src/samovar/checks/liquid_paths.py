"""What Liquid reads in vain, as far as types are known: parts that are never there, texts that never come.

Above: `checking.py`. Below: templates, and the types of a workflow's variables. Expressions are checked by
`typed.py`. A filter such as `default` makes no difference: it would be taken each time.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping

from samovar.actions.prompt import ExecutePrompt
from samovar.checks.parts import parts_of
from samovar.errors import Fault, Severity, nearest
from samovar.expressions.types import TEXT, WITH_PARTS, Type
from samovar.expressions.typing_rules import right_form
from samovar.language.paths import PATH, Path, path_of
from samovar.language.pieces import tokenize
from samovar.language.prompt import Prompt
from samovar.language.template import Template
from samovar.language.workflow import Workflow

_OF_ALL = ("size", "first", "last")
"""What Liquid takes of values that have no such part."""


def read_in_vain(workflow: Workflow, types: Mapping[str, Type], severity: Severity) -> Iterator[Fault]:
    """For each text of the workflow, and of its own prompts: what it reads in vain."""
    for _, action in workflow.actions():
        for part in parts_of(action):
            if isinstance(part, Template):
                yield from _in_vain(part, types, _own_names(action, part), severity)
        name = action.name if isinstance(action, ExecutePrompt) else None
        prompt = workflow.prompts.get(name.text({})) if name is not None and name.is_literal else None
        if isinstance(action, ExecutePrompt) and prompt is not None:
            given = {pair.key for pair in action.arguments} | {one.name for one in prompt.parameters}
            yield from _in_vain(prompt.template, types, given, severity)


def prompt_in_vain(prompt: Prompt) -> Iterator[Fault]:
    """What the text of a prompt reads of its parameters in vain."""
    yield from _in_vain(prompt.template, {one.name: one.values for one in prompt.parameters}, (), "error")


def _own_names(action: object, part: Template) -> set[str]:
    """Names that mean in a text of an action what is not a variable of the workflow."""
    if not isinstance(action, ExecutePrompt):
        return set()
    if action.verify is not None and part is action.verify.text:
        return {"result"}  # it is the answer there
    return {pair.key for pair in action.arguments}


def _in_vain(
    template: Template, types: Mapping[str, Type], own: Container[str], severity: Severity
) -> Iterator[Fault]:
    if template.paths or template.rendering is not None:
        yield from _missing(template, types, own, severity)
        yield from _never_equal(template, types, own, severity)


_COMPARED = re.compile(rf"(?<![\w.\"'])({PATH})\s*(==|!=)\s*(?:\"([^\"]*)\"|'([^']*)')")


def _never_equal(
    template: Template, types: Mapping[str, Type], own: Container[str], severity: Severity
) -> Iterator[Fault]:
    """Comparisons in tags with a text that a variable is never."""
    for token in tokenize(template.text, template.place, template.rules):
        for match in _COMPARED.finditer(token.text) if token.kind == "tag" else ():
            path, text = path_of(match, dollar=False), match[3] if match[3] is not None else match[4]
            known = None if path.steps[0] in own or path.steps[0] not in template.names else _at(path, types)
            if known is None or known.values is None or known.kinds != TEXT.kinds or text in known.values:
                continue
            what = "never" if match[2] == "==" else "always"
            offer = right_form(match[1], match[2], known, text)
            message = f"`{match[0]}` is {what} true: `{match[1]}` is {known}.{offer}"
            place = template.place.within(template.text, token.offset + match.start())
            yield Fault(code="type-mismatch", message=message, place=place, severity=severity)


def _at(path: Path, types: Mapping[str, Type]) -> Type | None:
    """What is at the end of a path of names; None if that is not known."""
    found = types.get(str(path.steps[0]))
    for step in path.steps[1:]:
        found = found.parts.get(step) if found is not None and isinstance(step, str) else None
    return found


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
