"""The result of an expression, in types that a variable can have.

Above: `expression.py`. Below: `kinds.py`, `meter.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from samovar.expressions.chosen_paths import OwnPath
from samovar.expressions.evaluation import narrow
from samovar.expressions.kinds import TypeValue, WrongError, called
from samovar.expressions.meter import Meter
from samovar.expressions.moments import Duration, Moment
from samovar.values import ITEM_BYTES


def kept(value: object, meter: Meter) -> object:
    """A value as a variable holds it: a record is its text, a time its text, a duration its seconds.

    Raises `WrongError` for what no variable holds. It counts whole, what it has more than once each time.
    """
    if value is None or value is True or value is False or isinstance(value, float):
        return value
    if isinstance(value, str):
        meter.made(len(value))
        return value if isinstance(value, OwnPath) else str(value)
    if isinstance(value, int):
        return narrow(value, -1)
    if isinstance(value, list | tuple):
        meter.made(ITEM_BYTES * len(value))
        meter.spend(3 * len(value))
        return [kept(item, meter) for item in value]
    if isinstance(value, Mapping):
        meter.made(2 * ITEM_BYTES * len(value))
        meter.spend(4 * len(value))
        return {str(key): kept(item, meter) for key, item in value.items()}
    if isinstance(value, Duration):
        return value.seconds
    if isinstance(value, Moment | TypeValue):
        return str(value)
    raise WrongError(f"A variable cannot hold {called(value)}.")
