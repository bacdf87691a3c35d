"""The confidence of a model, in expressions: `confidence(path)` and `alternatives(path)`.

Above: `compiling.py`, `checking.py`. Below: `paths.py`, `types.py`, and what an answer knows of its choices.
The path is what counts, not the value at its end: only the answer knows how sure it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from samovar.expressions.evaluation import Evaluation, Run
from samovar.expressions.kinds import WrongError
from samovar.expressions.paths import item_of, key_of, part_of
from samovar.expressions.tree import Steps, Sureness, Term, until
from samovar.expressions.types import FRACTIONAL, Type
from samovar.values import Record
from samovar.values.certainty import Answered

_ASKED = (
    " It takes the `result` name of an answer with `choices`, or the path from there to a field of its "
    "`schema` that is boolean or one of some values. A copy does not keep it."
)


def type_of_sureness(node: Sureness) -> Type:
    return FRACTIONAL if node.name == "confidence" else Type(kinds=frozenset(("map",)))


def not_a_choice(node: Sureness, found: Type, shown: str, type_of: Callable[[Term], Type]) -> str | None:
    """What is said unless the path leads to a choice in an answer that is still the answer itself.

    `found`: the type at its end. `shown`: as written. `type_of`: of a part of it.
    """
    path = node.path
    ways = [until(path, count) for count in range(len(path.steps) + 1)] if isinstance(path, Steps) else [path]
    is_answer = any(type_of(way).is_answer for way in ways)
    if is_answer and found.is_choice:
        return None
    message = f"`{node.name}` takes a choice that a model made in an answer, and `{shown}` is not one."
    if is_answer and (fields := [name for name, part in found.parts.items() if part.is_choice]):
        return f"{message} Write `{node.name}({shown}.{fields[0]})`."
    return message + _ASKED


def sureness(name: str, base: Run, path: Sequence[str | Run], at: int) -> Run:
    """How sure a model was of the choice at the end of a path, or of what else it might have chosen."""

    def run(evaluation: Evaluation) -> object:
        value = base(evaluation)
        answer, behind = value, list[str | int]()
        for step in path:
            evaluation.meter.spend()
            before, key = value, step if isinstance(step, str) else step(evaluation)
            value = part_of(value, step, at) if isinstance(step, str) else item_of(value, key, at)
            if isinstance(value, Answered):
                answer, behind = value, []
            elif isinstance(key, int):
                behind.append(key + len(before) if key < 0 and isinstance(before, list) else key)
            else:
                parts = before.parts if isinstance(before, Record) else before
                behind.append(str(key_of(parts, str(key))))  # type: ignore[arg-type]
        return _sureness_of(name, answer, tuple(behind), at)

    return run


def _sureness_of(name: str, answer: object, path: tuple[str | int, ...], at: int) -> object:
    chosen = answer.chosen.get(path) if isinstance(answer, Answered) else None
    if chosen is None:
        raise WrongError(
            f"This value has no confidence: `{name}` works for a choice of a model among `choices`, or for "
            "a field of a schema that is boolean or one of some values.",
            at,
        )
    return chosen.confidence if name == "confidence" else dict(chosen.alternatives)
