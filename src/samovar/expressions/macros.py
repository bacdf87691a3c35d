"""The macros `map`, `filter`, `all` and so on, over the items of a list or the keys of a map.

Above: `compiling.py`, which gives what is asked or made of an item. Below: `evaluation.py`. Each item counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from samovar.expressions.evaluation import Evaluation, Run, truth
from samovar.expressions.kinds import WrongError, called, kind_of
from samovar.expressions.tree import Macro
from samovar.values import ITEM_BYTES


def each(evaluation: Evaluation, values: Iterable[object], name: str) -> Iterable[object]:
    """Binds one item after the other."""
    items, meter = evaluation.items, evaluation.meter
    for value in values:
        meter.spend(2)
        items[name] = value
        yield value


Walk = Callable[[Evaluation, Iterable[object], list[Run], Macro], object]


def _map_items(evaluation: Evaluation, values: Iterable[object], bodies: list[Run], node: Macro) -> object:
    if len(bodies) == 2:
        values = _kept(evaluation, values, bodies[0], node)
    made = bodies[-1]
    found = []
    for _ in values:
        evaluation.meter.made(ITEM_BYTES)
        found.append(made(evaluation))
    return found


def _kept(evaluation: Evaluation, values: Iterable[object], condition: Run, node: Macro) -> Iterable[object]:
    for value in values:
        if truth(condition(evaluation), node.bodies[0].at, f"What {node.kind!r} asks of an item"):
            yield value


def _filter(evaluation: Evaluation, values: Iterable[object], bodies: list[Run], node: Macro) -> object:
    found = []
    for value in _kept(evaluation, values, bodies[0], node):
        evaluation.meter.made(ITEM_BYTES)
        found.append(value)
    return found


def _all(evaluation: Evaluation, values: Iterable[object], bodies: list[Run], node: Macro) -> object:
    return _until(evaluation, values, bodies[0], node, stop=False)


def _exists(evaluation: Evaluation, values: Iterable[object], bodies: list[Run], node: Macro) -> object:
    return _until(evaluation, values, bodies[0], node, stop=True)


def _until(
    evaluation: Evaluation, values: Iterable[object], condition: Run, node: Macro, *, stop: bool
) -> bool:
    """Whether the condition is `stop` for an item; an error counts only if no item decides."""
    wrong: WrongError | None = None
    for _ in values:
        try:
            found = truth(condition(evaluation), node.bodies[0].at, f"What {node.kind!r} asks of an item")
        except WrongError as error:
            wrong = wrong or error
            continue
        if found is stop:
            return stop
    if wrong is not None:
        raise wrong
    return not stop


def _exists_one(evaluation: Evaluation, values: Iterable[object], bodies: list[Run], node: Macro) -> object:
    return sum(1 for _ in _kept(evaluation, values, bodies[0], node)) == 1


WALKS: Mapping[str, Walk] = {
    "map": _map_items,
    "filter": _filter,
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "existsOne": _exists_one,
}


def items_of(value: object, kind: str, at: int) -> Iterable[object]:
    """What a macro goes through: a list, or a map's keys."""
    if kind_of(value) in ("list", "map"):
        return value  # type: ignore[return-value]
    raise WrongError(f"The macro {kind!r} goes through a list or a map, not {called(value)}.", at)
