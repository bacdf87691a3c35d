"""What a workflow means, apart from how it is written, so that two texts of it can be compared.

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

_NO_MEANING = frozenset(("diagram", "warnings"))
"""Of a workflow: how it is written, and what was said of it."""


def meaning_of(workflow: Workflow, passed_over: frozenset[str] = frozenset()) -> object:
    """What a workflow means, to be compared: its states, transitions, actions, prompts and settings.

    Not how that is written: places, the spelling of labels and actions, comments. `passed_over` are fields of
    `Workflow` that do not count.
    """
    names = [field.name for field in fields(workflow) if field.name not in _NO_MEANING | passed_over]
    return [(name, _meaning(getattr(workflow, name))) for name in names]


def _meaning(value: object) -> object:
    match value:
        case Place() | Fault():
            return None
        case Expression():
            return value.cel
        case Template():
            return _meaning(value.pieces) if value.rendering is None else value.rendering.source
        case Path():
            return value.steps
        case Transition():
            is_written = bool(value.label.strip())
            return value.source, value.target, value.when, is_written, _meaning(value.condition)
        case State():
            # The description of a state that acts may be its action.
            description = None if value.action else value.description
            acts = _meaning(value.action), _meaning(value.transitions)
            return value.name, value.kind, description, acts
        case list() | tuple():
            return [_meaning(item) for item in value]
        case Mapping():
            return [(name, _meaning(item)) for name, item in value.items()]
    if is_dataclass(value) and not isinstance(value, type):
        inside = (field.name for field in fields(value) if field.compare)
        return type(value), [(name, _meaning(getattr(value, name))) for name in inside]
    return value
