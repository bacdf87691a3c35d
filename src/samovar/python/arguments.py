"""Arguments of calls, checked at once: a wrong kind of value is named, with what was expected.

Above: the other files of this folder. Below: the errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from samovar.errors import UsageError, nearest


def expect(call: str, name: str, value: object, kinds: tuple[type, ...], expected: str) -> None:
    """Raises `UsageError` for a value of another kind."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise UsageError(f"{name} of {call} cannot be {brief(value)}: expected {expected}.")


def brief(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def check_names(call: str, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raises `TypeError` for a name that is not known, with the nearest one that is."""
    for name in given:
        if name not in known:
            raise TypeError(f"{call} takes no option {name!r}.{nearest(name, known)}")
