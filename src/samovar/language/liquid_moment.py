"""The time in Liquid: the moment of the run, in `now`, `today`, and the filter `date`.

Above: `liquid_dialect.py`. Below: `moment.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from samovar.language.moment import moment

_NOW: Mapping[str, Callable[[], object]] = {"now": moment, "today": lambda: moment().date()}
"""What Liquid knows by itself, by name, at the moment of the run."""


def dated(date: Callable[..., Any]) -> Callable[..., Any]:
    """The filter `date`, for which the texts `now` and `today` are the moment of the run."""

    @wraps(date)
    def at_moment(value: object, *values: object, **named: object) -> Any:
        is_now = isinstance(value, str) and value in _NOW
        return date(moment() if is_now else value, *values, **named)

    return at_moment


class _BuiltIn(Mapping[str, object]):
    def __getitem__(self, name: str) -> object:
        return _NOW[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(_NOW)

    def __len__(self) -> int:
        return len(_NOW)


BUILT_IN = _BuiltIn()
