"""Optional fields of answers that are read without checking that they exist.

Above: `checking.py`. Below: `expressions/optional.py`, and the types of a workflow's variables. A field that
any other condition asks for with `has(…)` is left alone: which way a run came is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from samovar.checks.parts import parts_of
from samovar.errors import Fault, Severity
from samovar.expressions.expression import Expression
from samovar.expressions.optional import asked, unguarded
from samovar.expressions.types import Type
from samovar.language.workflow import Workflow


def unguarded_fields(workflow: Workflow, types: Mapping[str, Type], severity: Severity) -> Iterator[Fault]:
    """Each expression that fails if a field of an answer is left out."""
    if not any(_has_optional(one) for one in types.values()):
        return
    conditions = [condition for _, condition in workflow.conditions()]
    asked_by = {id(one): frozenset(asked(one.tree)) for one in conditions}
    texts = [
        expression
        for _, action in workflow.actions()
        for part in parts_of(action)
        for expression in ([part] if isinstance(part, Expression) else part.expressions)
    ]
    askers = Counter(path for paths in asked_by.values() for path in paths)
    everywhere = frozenset(askers)
    for expression in (*conditions, *texts):
        safe = everywhere - {path for path in asked_by.get(id(expression), ()) if askers[path] == 1}
        for path, at in unguarded(expression.tree, expression.text, types, safe):
            message = (
                f"`{path}` may be missing from the answer, and then this fails. Check first, as in "
                f"`has({path}) && …`, or use `default({path}, …)`."
            )
            place = expression.place.within(expression.text, at)
            yield Fault(code="optional-field", message=message, place=place, severity=severity)


def _has_optional(type_: Type | None) -> bool:
    """Whether a part of it may be left out, however deep."""
    if type_ is None:
        return False
    return any(one.is_optional or _has_optional(one) for one in type_.parts.values()) or _has_optional(
        type_.item
    )
