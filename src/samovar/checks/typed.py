"""Mistakes in a workflow's expressions, as far as the types of its variables are known.

Above: `checking.py`. Below: `variable_types.py`, the values of a workflow, and `expressions/` to compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from samovar.actions.given import Value
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.set import Set
from samovar.checks.optional_fields import unguarded_fields
from samovar.checks.parts import parts_of
from samovar.checks.uncovered import values_without_edge
from samovar.errors import Fault, Fix, Severity, nearest
from samovar.expressions.expression import Expression
from samovar.expressions.types import ANYTHING, TEXT, Type, type_of_value, union
from samovar.language.workflow import State, Workflow
from samovar.values import literal, to_text

MISTYPED = "type-mismatch"
"""The code of values that do not go together."""


def mistyped(workflow: Workflow, types: Mapping[str, Type], *, is_old: bool) -> Iterator[Fault]:
    """Comparisons that are never true, texts that count as true, values that do not go together."""
    severity: Severity = "warning" if is_old else "error"
    found = tuple(_mistyped(workflow, types, severity))
    yield from found
    if not is_old and any(fault.code == MISTYPED for fault in found):
        yield from _numbers_in_quotes(workflow, types, frozenset(found))


def _numbers_in_quotes(
    workflow: Workflow, types: Mapping[str, Type], found: frozenset[Fault]
) -> Iterator[Fault]:
    """Hints at numbers that `Set` has in quotes, as in old files, if errors go once they are numbers."""
    for name, values in _set_in_quotes(workflow, types).items():
        numbers = union(map(type_of_value, values.values()))
        if frozenset(_mistyped(workflow, {**types, name: numbers}, "error")) < found:
            for value in values:
                text = value.template.text
                message = (
                    f"`{name}` is used as a number, but a value in quotes is a text: write {name}={text}."
                )
                fix = Fix(place=value.place, old=f'"{text}"', new=text)
                yield Fault(code=MISTYPED, message=message, place=value.place, severity="hint", fix=fix)


def _set_in_quotes(workflow: Workflow, types: Mapping[str, Type]) -> dict[str, dict[Value, object]]:
    """The variables that `Set` gives only numbers in quotes, with these and the numbers that they are."""
    texts = {name for name, one in types.items() if one.kinds == TEXT.kinds}
    texts -= {parameter.name for parameter in workflow.parameters}
    found: dict[str, dict[Value, object]] = {}
    for _, action in workflow.actions():
        given = {one.name: one.value for one in action.assignments} if isinstance(action, Set) else {}
        for name in action.sets & texts:
            value = given.get(name)
            number = literal(str(value.given)) if isinstance(value, Value) and value.quoted else None
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            if isinstance(value, Value) and is_number and to_text(number) == value.given:
                found.setdefault(name, {})[value] = number
            else:
                texts -= {name}
    return {name: values for name, values in found.items() if name in texts}


def _mistyped(workflow: Workflow, types: Mapping[str, Type], severity: Severity) -> Iterator[Fault]:
    texts = _texts_given(workflow)
    for use in _uses(workflow):
        if use.is_condition and not use.expression.names:
            yield _constant(use.expression, severity)
        known = types if not use.given else {**types, **dict.fromkeys(use.given, ANYTHING)}
        if use.is_condition and (name := use.expression.name) is not None:
            alone = texts | ({"result": use.result} if use.result else {})
            known = {name: alone[name]} if name in alone else known
        yield from use.expression.check(known, is_condition=use.is_condition, severity=severity)
    yield from values_without_edge(workflow, types, severity)
    yield from unguarded_fields(workflow, types, severity)
    given = {parameter.name: parameter.values for parameter in workflow.parameters}
    for parameter in workflow.parameters:
        if parameter.condition is not None:
            yield from parameter.condition.check(given, is_condition=True, severity=severity)


def _texts_given(workflow: Workflow) -> dict[str, Type]:
    """Parameters that nothing says the type of: what a command line gives for one is a text."""
    loose = {one.name for one in workflow.parameters if one.values == ANYTHING}
    return dict.fromkeys(loose - workflow.sets, TEXT)


def _result_of(state: State) -> Type | None:
    """What `result` is behind a state, if it is a text whatever happens."""
    action = state.action
    if isinstance(action, ExecutePrompt):
        return replace(TEXT, values=action.using.choices)
    return TEXT if action is not None and action.runs_command and len(action.variants) == 1 else None


def _constant(condition: Expression, severity: Severity) -> Fault:
    if (inside := condition.quoted) is not None:
        advice = f"Write it without quotes: `{inside}`."
    else:
        advice = "Write what it depends on, or remove the label."
    message = f"The condition {condition.text[:60]} reads no variable, so it never changes. {advice}"
    return Fault(code="constant-condition", message=message, place=condition.place, severity=severity)


def unknown_defaults(workflow: Workflow, known: frozenset[str], *, is_old: bool) -> Iterator[Fault]:
    """`default(…)` of variables that nothing sets: those would never be there."""
    severity: Severity = "warning" if is_old else "error"
    for use in _uses(workflow):
        expression = use.expression
        for name in sorted(expression.defaulted - known - use.given):
            message = (
                f"`default` is for a variable that may not be set yet, but nothing sets {name!r} at all."
                f"{nearest(name, known)}"
            )
            yield Fault(
                code="unset-variable", message=message, place=expression.where(name), severity=severity
            )


class _Use(NamedTuple):
    """An expression at its place."""

    expression: Expression
    is_condition: bool = False
    result: Type | None = None
    """What `result` is there, as far as the state of a condition shows."""
    given: frozenset[str] = frozenset()
    """Names that mean there what is not a variable of the workflow."""


def _uses(workflow: Workflow) -> Iterator[_Use]:
    """Each expression, in the order of the file."""
    for state, condition in workflow.conditions():
        yield _Use(condition, is_condition=True, result=_result_of(state))
    for _, action in workflow.actions():
        asks = action if isinstance(action, ExecutePrompt) else None
        for part in parts_of(action):
            if isinstance(part, Expression):
                yield _Use(part)
                continue
            is_inline = asks is not None and asks.inline is not None and part is asks.inline.template
            given = {pair.key for pair in asks.arguments} if asks and is_inline else set[str]()
            if asks is not None and asks.verify is not None and part is asks.verify.text:
                given = {"result"}  # it is the answer there
            for expression in part.expressions:
                # What a template does not read of its surroundings, its own tags have set.
                yield _Use(expression, given=frozenset(given | expression.names - part.names))
