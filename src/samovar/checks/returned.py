"""Returned values that cannot have the type in `returns`, as far as types are known.

Above: `checking.py`. Below: the types of a workflow's variables. What only a run knows is looked at when the
run ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from samovar.actions.prompt import PARTS
from samovar.errors import Fault
from samovar.expressions.types import Type
from samovar.language.schema_types import type_of_schema
from samovar.language.workflow import Workflow


def mistyped_returns(workflow: Workflow, types: Mapping[str, Type]) -> Iterator[Fault]:
    """Errors."""
    if workflow.returns is None:
        return
    for one in workflow.returns.names:
        found = types.get(one.name)
        if one.form is None or found is None:
            continue
        if wrong := _never(found, type_of_schema(one.form), one.name):
            yield Fault(code="type-mismatch", message=f"{wrong} by `returns`.", place=one.place)


def _never(found: Type, wanted: Type, name: str) -> str | None:
    """Why a value of one type can never be one of another, as the beginning of a sentence."""
    said = f"`{name}` is {found}, but must be {wanted}"
    if found.kinds == {"text"} and found.parts and wanted.kinds <= {"map", "list"}:
        # It may be JSON, which counts then: of that, only the fields of a schema are known.
        fields = {part: one for part, one in found.parts.items() if PARTS.get(part) != one}
        return _never_fields(fields, wanted, name) if found.is_answer else None
    if not found.kinds & wanted.kinds:
        return said
    if found.values is not None and wanted.values is not None and not {*found.values} & {*wanted.values}:
        return said
    if found.kinds == {"map"} == wanted.kinds:
        return _never_fields(found.parts, wanted, name)
    return None


def _never_fields(found: Mapping[str, Type], wanted: Type, name: str) -> str | None:
    both = (part for part in found if part in wanted.parts)
    found_never = (_never(found[part], wanted.parts[part], f"{name}.{part}") for part in both)
    return next((why for why in found_never if why), None)
