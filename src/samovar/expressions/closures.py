"""The functions of a compiled expression: each takes the functions of its parts and evaluates them.

Above: `compiling.py`. Below: operators, functions, `paths.py`, `macros.py`. Each counts what it does; what is
wrong is a `WrongError` with the offset `at` of where. It knows no tree.
"""

from __future__ import annotations

from collections.abc import Sequence

from samovar.expressions.evaluation import (
    Evaluation,
    MissingError,
    NoVariableError,
    Run,
    StepRun,
    narrow,
    sentence,
    truth,
)
from samovar.expressions.functions import FUNCTIONS, Function
from samovar.expressions.kinds import NUMBERS, WrongError, called, either, kind_of
from samovar.expressions.operators import OPERATORS, negate
from samovar.expressions.paths import item_of, key_of, part_of
from samovar.values import ITEM_BYTES, Record


def constant(value: object) -> Run:
    return lambda evaluation: value


def item(name: str) -> Run:
    """What a macro has bound."""

    def run(evaluation: Evaluation) -> object:
        evaluation.meter.spend()
        return evaluation.items[name]

    return run


def variable(name: str, at: int) -> Run:
    def run(evaluation: Evaluation) -> object:
        evaluation.meter.spend()
        try:
            value = evaluation.variables[name]
        except KeyError:
            raise NoVariableError(name, at) from None
        return value if type(value) is not int else narrow(value, at)

    return run


def steps(base: Run, behind: Sequence[StepRun]) -> Run:
    """A value and what comes after it."""

    def run(evaluation: Evaluation) -> object:
        value = base(evaluation)
        for step in behind:
            value = step(evaluation, value)
        return value

    return run


def member(name: str, at: int) -> StepRun:
    def run(evaluation: Evaluation, value: object) -> object:
        evaluation.meter.spend()
        return part_of(value, name, at)

    return run


def index(key: Run, at: int) -> StepRun:
    def run(evaluation: Evaluation, value: object) -> object:
        evaluation.meter.spend()
        return item_of(value, key(evaluation), at)

    return run


def method(name: str, arguments: Sequence[Run], at: int) -> StepRun:
    function = FUNCTIONS[name]

    def run(evaluation: Evaluation, value: object) -> object:
        return _perform(evaluation, name, function, [value, *[one(evaluation) for one in arguments]], at)

    return run


def call(name: str, arguments: Sequence[Run], at: int) -> Run:
    function = FUNCTIONS[name]

    def run(evaluation: Evaluation) -> object:
        return _perform(evaluation, name, function, [one(evaluation) for one in arguments], at)

    return run


def _perform(
    evaluation: Evaluation, name: str, function: Function, values: Sequence[object], at: int
) -> object:
    evaluation.meter.spend()
    if not function.is_open:
        for value, takes in zip(values, function.takes, strict=False):
            if kind_of(value) not in takes:
                raise WrongError(f"The function {name!r} takes {either(takes)}, not {called(value)}.", at)
    try:
        return function.call(evaluation.meter, *values)
    except WrongError as error:
        raise error.placed(at) from None


def operation(first: Run, rest: Sequence[tuple[str, Run]], at: int) -> Run:
    """Values with operators between them, from the left."""
    following = [(sign in ("==", "!="), OPERATORS[sign], operand) for sign, operand in rest]

    def run(evaluation: Evaluation) -> object:
        left = first(evaluation)
        for is_equality, operator, operand in following:
            right = operand(evaluation)
            evaluation.meter.spend()
            if is_equality and type(left) is not type(right) and _is_doubtful(left, right):
                both = f"{sentence(called(left))} and {called(right)} are compared"
                evaluation.doubts[at] = f"{both}, and are never equal."
            try:
                left = operator(left, right, evaluation.meter)
            except WrongError as error:
                raise error.placed(at) from None
        return left

    return run


def _is_doubtful(left: object, right: object) -> bool:
    """Whether a text and a number or a truth are compared."""
    kinds = {kind_of(left), kind_of(right)}
    return "text" in kinds and bool(kinds & (NUMBERS | {"bool"}))


def logic(sign: str, parts: Sequence[tuple[int, Run]]) -> Run:
    """`&&` or `||`: an error in one part does not count if another decides. Parts have their offsets."""
    stop = sign == "||"
    what = f"The value beside `{sign}`"

    def run(evaluation: Evaluation) -> object:
        wrong: WrongError | None = None
        for at, one in parts:
            evaluation.meter.spend()
            try:
                found = truth(one(evaluation), at, what)
            except WrongError as error:
                wrong = wrong or error
                continue
            if found is stop:
                return stop
        if wrong is not None:
            raise wrong
        return not stop

    return run


def signs(written: Sequence[str], operand: Run, at: int) -> Run:
    """`!` and `-`, the innermost first."""

    def run(evaluation: Evaluation) -> object:
        value = operand(evaluation)
        for sign in written:
            evaluation.meter.spend()
            if sign == "!":
                value = not truth(value, at, "The value after `!`")
                continue
            try:
                value = negate(value)
            except WrongError as error:
                raise error.placed(at) from None
        return value

    return run


def choice(condition: Run, then: Run, otherwise: Run, at: int) -> Run:
    def run(evaluation: Evaluation) -> object:
        evaluation.meter.spend()
        is_true = truth(condition(evaluation), at, "The value before `?`")
        return then(evaluation) if is_true else otherwise(evaluation)

    return run


def has(base: Run, name: str, at: int) -> Run:
    """Whether a value has a part."""

    def run(evaluation: Evaluation) -> object:
        value = base(evaluation)
        evaluation.meter.spend()
        parts = value.parts if isinstance(value, Record) else value
        if kind_of(parts) != "map":
            raise WrongError(f"`has` looks for a part of a map, not of {called(value)}.", at)
        return key_of(parts, name) is not None  # type: ignore[arg-type]

    return run


def default(base: Run, path: Sequence[str | Run], otherwise: Run, at: int) -> Run:
    """What is at the end of a path, or another value if a step is not there."""

    def run(evaluation: Evaluation) -> object:
        keys = [step if isinstance(step, str) else step(evaluation) for step in path]
        try:
            value = base(evaluation)
            for step, key in zip(path, keys, strict=True):
                evaluation.meter.spend()
                value = part_of(value, step, at) if isinstance(step, str) else item_of(value, key, at)
        except MissingError:
            return otherwise(evaluation)
        return value

    return run


def list_of(items: Sequence[Run]) -> Run:
    def run(evaluation: Evaluation) -> object:
        evaluation.meter.made(len(items) * ITEM_BYTES)
        return [one(evaluation) for one in items]

    return run


def map_of(pairs: Sequence[tuple[int, Run, Run]]) -> Run:
    """Keys have their offsets."""

    def run(evaluation: Evaluation) -> object:
        evaluation.meter.made(2 * len(pairs) * ITEM_BYTES)
        found: dict[object, object] = {}
        for at, key, value in pairs:
            name = key(evaluation)
            if kind_of(name) not in ("text", "int"):
                raise WrongError(f"A key is a text or a whole number, not {called(name)}.", at)
            name = str(name) if isinstance(name, str) else name
            if name in found:
                raise WrongError(f"The key {str(name)[:40]!r} appears twice in the map.", at)
            found[name] = value(evaluation)
        return found

    return run
