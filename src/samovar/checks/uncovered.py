"""Possible values of a variable for which a state has no edge.

Above: `typed.py`, which knows what variables can be. Below: the values of a workflow. Conditions are not
taken apart: each is evaluated for each value that can come, so it does not matter how it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from samovar.errors import ExpressionError, Fault, Severity
from samovar.expressions.expression import Expression
from samovar.expressions.tree import parts_read
from samovar.expressions.types import Type
from samovar.language.names import ERROR
from samovar.language.workflow import Kind, State, When, Workflow
from samovar.values import to_text


def values_without_edge(workflow: Workflow, types: Mapping[str, Type], severity: Severity) -> Iterator[Fault]:
    """For each state whose edges depend on one variable alone: the values that none of them takes."""
    for state in workflow.states.values():
        conditions = _conditions(state)
        names = frozenset().union(*(condition.names for condition in conditions))
        if len(names) != 1:
            continue
        (name,) = names
        read = frozenset().union(*(parts_read(condition.tree, name) for condition in conditions))
        for path, values in _known(name, types.get(name)):
            part = path[1] if len(path) > 1 else None
            missing = _untaken(conditions, path, values) if read == {part} else []
            if missing and not any(_is_wrong(condition, types) for condition in conditions):
                shown = ", ".join(f"`{'null' if one is None else to_text(one)}`" for one in missing)
                has = "has" if len(missing) == 1 else "have"
                message = (
                    f"`{'.'.join(path)}` may be {shown}, which {has} no edge out of {state.name!r}: "
                    "the run would be stuck there. Draw one, or one with the label `default`."
                )
                yield Fault(code="value-without-edge", message=message, place=state.place, severity=severity)


def _conditions(state: State) -> tuple[Expression, ...]:
    """The conditions of its edges, if one of them must be true after a success; else none."""
    ways = [way for way in state.transitions if way.when is not When.FAILURE and not way.is_inherited]
    conditions = tuple(way.condition for way in ways if way.condition is not None)
    is_plain = state.kind is not Kind.JOIN and all(way.when is When.CONDITION for way in ways)
    return conditions if is_plain and len(conditions) == len(ways) else ()


def _is_wrong(condition: Expression, types: Mapping[str, Type]) -> bool:
    """Whether something else is said of it, which explains what it does not take."""
    return any(True for _ in condition.check(types, is_condition=True, severity="error"))


def _known(name: str, type_: Type | None) -> Iterator[tuple[tuple[str, ...], tuple[object, ...]]]:
    """The paths of which all values are known; of a failure nobody has to take each kind."""
    if type_ is None or name == ERROR:
        return
    if type_.values:
        yield (name,), type_.values
    for part, one in type_.parts.items():
        if one.kinds == {"bool"}:
            yield (name, part), (True, False)
        elif one.values:
            yield (name, part), one.values


def _untaken(
    conditions: tuple[Expression, ...], path: tuple[str, ...], values: tuple[object, ...]
) -> list[object]:
    """The values for which no condition is true; none if the conditions read something else too."""
    missing = []
    for value in values:
        variables = {path[0]: {path[1]: value} if len(path) > 1 else value}
        try:
            if not any(tuple(condition.evaluate(variables) for condition in conditions)):
                missing.append(value)
        except ExpressionError:
            return []
    return missing
