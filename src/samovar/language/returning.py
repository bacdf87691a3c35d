"""`returns:` of a front matter: what a run of the workflow gives, by the names of variables.

Above: `front.py`; `reading.py`, which knows what is set; whatever hands a result on. Below: names. One name
alone is the value of that variable; names in a list, or with descriptions in a map, are a map of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from samovar.errors import Fault, Place, nearest
from samovar.expressions.names import normal

Where = Callable[..., Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One variable."""

    name: str
    place: Place
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedValues:
    """What a run gives."""

    names: tuple[Returned, ...]
    """At least one."""
    is_single: bool
    """The value of the only one, not a map."""

    def of(self, variables: Mapping[str, object]) -> object:
        """The result. What no state has set is None."""
        if self.is_single:
            return variables.get(self.names[0].name)
        return {one.name: variables.get(one.name) for one in self.names}

    def faults(self, known: frozenset[str], secrets: frozenset[str]) -> Iterator[Fault]:
        """Names that nothing in the workflow sets, and secrets, which nobody is shown."""
        for one in self.names:
            if one.name in secrets:
                message = f"`returns` names {one.name!r}, which is secret, and a result is shown."
                yield Fault(code="front-matter", message=message, place=one.place)
            elif one.name not in known:
                message = f"`returns` names {one.name!r}, which nothing sets.{nearest(one.name[:100], known)}"
                yield Fault(code="front-matter", message=message, place=one.place)


def read_returns(value: Any, where: Where) -> tuple[ReturnedValues | None, list[Fault]]:
    """What stands behind `returns:`, and what is wrong with it."""
    names: list[Returned] = []
    faults: list[Fault] = []

    def wrong(place: Place) -> None:
        said = "`returns` is a name, a list of names, or a map of names and what they are."
        faults.append(Fault(code="front-matter", message=said, place=place))

    def add(name: Any, place: Place, description: Any = "") -> None:
        if not isinstance(name, str) or not normal(name).isidentifier() or not isinstance(description, str):
            wrong(place)
        elif normal(name) in {one.name for one in names}:
            said = f"`returns` names {name!r} twice."
            faults.append(Fault(code="front-matter", message=said, place=place))
        else:
            names.append(Returned(name=normal(name), place=place, description=description))

    if isinstance(value, str):
        add(value, where())
    elif isinstance(value, list) and value:
        for index, one in enumerate(value):
            add(one, where(index))
    elif isinstance(value, dict) and value:
        for name, description in value.items():
            add(name, where(name), description or "")
    else:
        wrong(where())
    if not names or faults:
        return None, faults
    return ReturnedValues(names=tuple(names), is_single=isinstance(value, str)), faults
