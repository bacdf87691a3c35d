"""Compiles an expression's tree into a function that evaluates it.

Above: `expression.py`. Below: the tree, and `closures.py`, where what each node does is. Nothing is looked up
by name while it runs but the variables.
"""

from __future__ import annotations

from collections.abc import Iterable

from samovar.expressions import closures
from samovar.expressions.evaluation import Evaluation, Run, StepRun
from samovar.expressions.kinds import TypeValue
from samovar.expressions.macros import WALKS, each, items_of
from samovar.expressions.sureness import sureness
from samovar.expressions.tree import (
    Call,
    Default,
    Has,
    ItemOf,
    ListOf,
    Literal,
    Logic,
    Macro,
    MapOf,
    Method,
    Name,
    Operation,
    PartOf,
    Signs,
    Steps,
    Sureness,
    Term,
    Ternary,
    TypeName,
    until,
)

Bound = frozenset[str]
"""The names that macros around bind."""


def compiled(tree: Term) -> Run:
    """The function of a whole expression."""
    return _run(tree, frozenset())


def _all(nodes: Iterable[Term], bound: Bound) -> list[Run]:
    return [_run(node, bound) for node in nodes]


def _run(node: Term, bound: Bound) -> Run:
    match node:
        case Literal(value=value):
            return closures.constant(value)
        case TypeName(name=name):
            return closures.constant(TypeValue(name))
        case Name(name=name, at=at):
            return closures.item(name) if name in bound else closures.variable(name, at)
        case Steps(base=base, steps=steps):
            return closures.steps(_run(base, bound), [_step(step, node.at, bound) for step in steps])
        case Call(name=name, arguments=arguments):
            return closures.call(name, _all(arguments, bound), node.at)
        case Operation(first=first, rest=rest):
            following = [(sign, _run(operand, bound)) for sign, operand in rest]
            return closures.operation(_run(first, bound), following, node.at)
        case Logic(sign=sign, parts=parts):
            return closures.logic(sign, [(part.at, _run(part, bound)) for part in parts])
        case Signs(signs=signs, operand=operand):
            return closures.signs(signs, _run(operand, bound), node.at)
        case Ternary(condition=condition, then=then, otherwise=otherwise):
            asked = _run(condition, bound)
            return closures.choice(asked, _run(then, bound), _run(otherwise, bound), condition.at)
        case Has():
            return _has(node, bound)
        case Default():
            return _default(node, bound)
        case Sureness(name=name, path=path):
            return sureness(name, *_path(path, bound), node.at)
        case ListOf(items=items):
            return closures.list_of(_all(items, bound))
        case MapOf(pairs=pairs):
            return closures.map_of([(key.at, _run(key, bound), _run(one, bound)) for key, one in pairs])
    raise AssertionError(node)


def _step(step: PartOf | ItemOf | Macro | Method, at: int, bound: Bound) -> StepRun:
    match step:
        case PartOf(name=name):
            return closures.member(name, at)
        case ItemOf(key=key):
            return closures.index(_run(key, bound), at)
        case Method(name=name, arguments=arguments):
            return closures.method(name, _all(arguments, bound), at)
        case Macro():
            return _macro(step, at, bound)


def _macro(node: Macro, at: int, bound: Bound) -> StepRun:
    bodies = _all(node.bodies, bound | {node.variable})
    walk, kind, name = WALKS[node.kind], node.kind, node.variable

    def run(evaluation: Evaluation, value: object) -> object:
        items, had = evaluation.items, name in evaluation.items
        before = items.get(name)
        try:
            return walk(evaluation, each(evaluation, items_of(value, kind, at), name), bodies, node)
        finally:
            if had:
                items[name] = before
            else:
                items.pop(name, None)

    return run


def _has(node: Has, bound: Bound) -> Run:
    *before, last = node.path.steps
    assert isinstance(last, PartOf)
    return closures.has(_run(until(node.path, len(before)), bound), last.name, node.at)


def _default(node: Default, bound: Bound) -> Run:
    base, path = _path(node.path, bound)
    return closures.default(base, path, _run(node.otherwise, bound), node.at)


def _path(path: Name | Steps, bound: Bound) -> tuple[Run, list[str | Run]]:
    """What a path begins with, and the names and keys behind that."""
    base = path.base if isinstance(path, Steps) else path
    found: list[str | Run] = []
    for step in path.steps if isinstance(path, Steps) else ():
        if isinstance(step, PartOf):
            found.append(step.name)
        elif isinstance(step, ItemOf):
            found.append(_run(step.key, bound))
    return _run(base, bound), found
