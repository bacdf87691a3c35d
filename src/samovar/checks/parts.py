"""The texts and expressions of an action or a condition.

Above: `checking.py`, `typed.py`. Below: templates and expressions. It looks into the fields of any action, so
that none can have a text that is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from samovar.actions.base import Action
from samovar.errors import Fix, Place
from samovar.expressions.expression import Expression
from samovar.language.paths import Path
from samovar.language.template import Template


def parts_of(value: object) -> Iterator[Template | Expression]:
    """All of them, in the order of the fields; an action within another is looked at by itself."""
    if isinstance(value, Template | Expression):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from parts_of(item)
    else:
        kind: Any = type(value)
        for name in _fields(kind):
            inner = getattr(value, name)
            if not isinstance(inner, Action):
                yield from parts_of(inner)


@cache
def _fields(kind: type) -> tuple[str, ...]:
    """Names of the fields of a kind that may have parts: all of some thousand actions are of a few kinds."""
    if not is_dataclass(kind) or issubclass(kind, Place):
        return ()
    return tuple(field.name for field in fields(kind))


def fix_for_the_shell(name: str, template: Template) -> Fix | None:
    """The fix that writes the first `${name}` of an old file as the shell's own."""
    for piece in template.pieces:
        if isinstance(piece, Path) and piece.dollar and piece.steps == (name,):
            return Fix(place=template.place.within(template.text, piece.offset), old="${", new="$${")
    return None
