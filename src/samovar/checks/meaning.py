"""The meaning of a workflow independent of its spelling, to compare two texts of it.

Above: `mending.py`. Below: the values of `language/`. It does not know why they are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from samovar.errors import Fault, Place
from samovar.expressions.expression import Expression
from samovar.language.paths import Path
from samovar.language.template import Template
from samovar.language.workflow import State, Transition, Workflow

_NO_MEANING = frozenset(("diagram", "warnings", "digest"))
"""Fields of a workflow without a meaning: how it is written, and messages about it."""


def meaning_of(workflow: Workflow) -> object:
    """What a workflow means, to be compared: its states, transitions, actions, prompts and settings.

    Not how that is written: places, the spelling of labels and actions, comments.
    """
    names = [field.name for field in fields(workflow) if field.name not in _NO_MEANING]
    known = workflow.known_names
    return [(name, _meaning(getattr(workflow, name), known)) for name in names]


def _meaning(value: object, known: frozenset[str]) -> object:
    """`known`: the variables of the workflow."""
    match value:
        case Place() | Fault():
            return None
        case Expression():
            return value.cel
        case Template():
            return _text(value, known) if value.rendering is None else value.rendering.source
        case Path():
            return value.steps
        case Transition():
            is_written = bool(value.label.strip())
            return value.source, value.target, value.when, is_written, _meaning(value.condition, known)
        case State():
            # The description of a state that acts may be its action.
            description = None if value.action else value.description
            acts = _meaning(value.action, known), _meaning(value.transitions, known)
            return value.name, value.kind, description, acts
        case list() | tuple():
            return [_meaning(item, known) for item in value if not isinstance(item, Fault)]
        case Mapping():
            return [(name, _meaning(item, known)) for name, item in value.items()]
    if is_dataclass(value) and not isinstance(value, type):
        inside = (field.name for field in fields(value) if field.compare)
        return type(value), [(name, _meaning(getattr(value, name), known)) for name in inside]
    return value


def _text(template: Template, known: frozenset[str]) -> list[object]:
    """The parts of a text without Liquid: the literal ones, however they are written, and the values."""
    found: list[object] = []
    for piece in template.pieces:
        is_left = isinstance(piece, Path) and piece.dollar and template.rules.shell
        if isinstance(piece, Path) and is_left and len(piece.steps) == 1 and piece.steps[0] not in known:
            piece = piece.source  # the shell's
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece if isinstance(piece, str) else [_meaning(piece, known)])
    return found
