"""Functions for times and durations.

Above: `functions.py`, whose table says what each takes. Below: `moments.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

from samovar.expressions.kinds import WrongError
from samovar.expressions.meter import Meter
from samovar.expressions.moments import SECOND_NS, Duration, Moment


def timestamp(meter: Meter, value: str | Moment) -> Moment:
    if isinstance(value, Moment):
        return value
    try:
        return Moment.parse(value)
    except ValueError as error:
        raise WrongError(f"The function 'timestamp': {error}.") from None


def duration(meter: Meter, value: str | Duration) -> Duration:
    if isinstance(value, Duration):
        return value
    meter.read(len(value))
    try:
        return Duration.parse(value)
    except ValueError as error:
        raise WrongError(f"The function 'duration': {error}.") from None


def _of(part: Callable[[datetime.datetime], int]) -> Callable[[Meter, Moment], int]:
    return lambda meter, moment: part(moment.local)


OF_TIMES: Mapping[str, Callable[[Meter, Moment], int]] = {
    "getFullYear": _of(lambda local: local.year),
    "getMonth": _of(lambda local: local.month - 1),
    "getDate": _of(lambda local: local.day),
    "getDayOfMonth": _of(lambda local: local.day - 1),
    "getDayOfWeek": _of(lambda local: local.isoweekday() % 7),
    "getDayOfYear": _of(lambda local: local.timetuple().tm_yday - 1),
}
"""Months, days of the month but for `getDate`, of the week (from Sunday) and of the year count from 0."""


def _part(unit: str, of: Callable[[Moment], int]) -> Callable[[Meter, Moment | Duration], int]:
    def call(meter: Meter, value: Moment | Duration) -> int:
        return value.whole(unit) if isinstance(value, Duration) else of(value)

    return call


OF_BOTH: Mapping[str, Callable[[Meter, Moment | Duration], int]] = {
    "getHours": _part("h", lambda moment: moment.local.hour),
    "getMinutes": _part("m", lambda moment: moment.local.minute),
    "getSeconds": _part("s", lambda moment: moment.local.second),
    "getMilliseconds": _part("ms", lambda moment: moment.ns % SECOND_NS // 1_000_000),
}
"""For a time, the part of that name; for a duration, how often the unit fits."""
