"""`returns:` in the front matter: the result of a run, by names of variables.

Above: `front.py`; `reading.py`, which knows what is set; whatever hands a result on. Below: parameters, whose
types these are too. One name alone is the value of that variable; names in a list, or in a map with types and
descriptions, are a map of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from samovar.errors import Fault, Place, nearest
from samovar.expressions.names import normal
from samovar.language.parameter_list import read_parameters
from samovar.language.parameter_schemas import schema_of
from samovar.language.schema_values import mismatch
from samovar.language.schemas import Schema
from samovar.values import Record

Where = Callable[..., Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One variable."""

    name: str
    place: Place
    description: str = ""
    form: Schema | None = None
    """What its value has to be when the workflow completes; None: anything."""
    may_lack: bool = True
    """It may be null, since no state has set it."""

    def of(self, variables: Mapping[str, object]) -> object:
        """Its value; of an answer that is to be a map or a list, what its JSON says."""
        value = variables.get(self.name)
        if isinstance(value, Record) and self.form and self.form.get("type") in ("object", "array"):
            read = value.part("json")
            return read if isinstance(read, Mapping | list) else value
        return value


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
            return self.names[0].of(variables)
        return {one.name: one.of(variables) for one in self.names}

    def wrong(self, variables: Mapping[str, object]) -> tuple[str, Place] | None:
        """The first value that has not its type, as a sentence, and where that type is stated."""
        for one in self.names:
            value = one.of(variables)
            if one.form is None or (value is None and one.may_lack):
                continue
            if found := mismatch(value, one.form, one.name):
                return f"The workflow returns a value of another type: {found}", one.place
        return None

    def faults(self, known: frozenset[str], secrets: frozenset[str]) -> Iterator[Fault]:
        """Names that nothing in the workflow sets, and secrets, which nobody is shown."""
        for one in self.names:
            if one.name in secrets:
                message = f"`returns` names {one.name!r}, which is secret, but a result is shown."
                yield Fault(code="front-matter", message=message, place=one.place)
            elif one.name not in known:
                message = f"`returns` names {one.name!r}, which nothing sets.{nearest(one.name[:100], known)}"
                yield Fault(code="front-matter", message=message, place=one.place)


_NOT_TAKEN = ("name", "default", "secret", "from_env", "condition", "step")
"""Keys of parameters that say nothing of a result."""


def _typed(name: str, said: dict[str, Any], where: Where) -> tuple[Returned | None, list[Fault]]:
    """A name with a type, as a parameter has one."""
    if wrong := next((key for key in said if key in _NOT_TAKEN), None):
        message = f"`{wrong}` is for parameters, and has no meaning for a returned value."
        return None, [Fault(code="front-matter", message=message, place=where(name, wrong))]
    entry = {"type": "string", **said, "name": name}
    found, faults = read_parameters([entry], lambda index, *keys: where(name, *keys))
    if not found:
        return None, faults
    (parameter,) = found
    return Returned(
        name=parameter.name,
        place=parameter.place,
        description=parameter.description,
        form=schema_of(parameter) if "type" in said or parameter.choices else None,
        may_lack="required" in said and not parameter.required,
    ), faults


def read_returns(value: Any, where: Where) -> tuple[ReturnedValues | None, list[Fault]]:
    """What comes after `returns:`, and mistakes in it."""
    names: list[Returned] = []
    faults: list[Fault] = []

    def wrong(place: Place) -> None:
        said = (
            "`returns` must be a name, a list of names, or a map of names and descriptions: a text, or a map "
            "such as {type: number, description: How many}."
        )
        faults.append(Fault(code="front-matter", message=said, place=place))

    def add(name: Any, place: Place, description: Any = "") -> None:
        if (
            not isinstance(name, str)
            or not normal(name).isidentifier()
            or not isinstance(description, str | dict)
        ):
            wrong(place)
        elif normal(name) in {one.name for one in names}:
            said = f"`returns` names {name!r} twice."
            faults.append(Fault(code="front-matter", message=said, place=place))
        elif isinstance(description, dict):
            typed, wrong_type = _typed(name, description, where)
            names.extend([typed] if typed else [])
            faults.extend(wrong_type)
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
