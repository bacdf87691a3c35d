"""Reads the list of parameters in a file's front matter, and their groups.

Above: `front.py` for workflows, `prompt.py`. Below: `parameters.py`, whose own checks hold for defaults. It
knows no file: anyone who calls says where each entry is. What is wrong is a fault, and the rest is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from samovar.errors import Fault, Place, Severity, UsageError, nearest
from samovar.expressions.names import normal
from samovar.language.parameter_keys import (
    Where,
    WrongKeyError,
    choices,
    condition,
    flag,
    form,
    from_env,
    length,
    number,
    pattern,
    step,
)
from samovar.language.parameters import KINDS, Parameter
from samovar.values import to_text

MOST_OFFERS = 20
"""Faults of one file that name the nearest name; finding it takes time."""
KEYS = frozenset(
    (
        *("name", "description", "required", "default", "type", "choices", "pattern", "min", "max", "step"),
        *("min_length", "max_length", "condition", "secret", "from_env", "items", "fields"),
        *("validation", "type_hint"),
    )
)
_WHOLE = ("int", "integer")

Source = Callable[..., str | None]
"""How a number or a truth in the list is written, by the same steps; None for any other value."""


def _no_source(*steps: str | int) -> None:
    """No source, for values that were never written."""


def read_parameters(
    value: Any, where: Where, *, lenient: bool = False, source: Source = _no_source
) -> tuple[tuple[Parameter, ...], list[Fault]]:
    """The parameters of a front matter's list, and mistakes in it.

    `lenient`: they are of an old file, in which one that cannot be read is left out with a warning, and an
    unknown type is text. `source`: what is written, as `1.10`.
    """
    faults: list[Fault] = []

    def add(message: str, place: Place) -> None:
        severity: Severity = "warning" if lenient else "error"
        faults.append(Fault(code="parameter", message=message, place=place, severity=severity))

    if not isinstance(value, list):
        add("`parameters` must be a list of maps.", where())
        return (), faults
    found: dict[str, Parameter] = {}
    for index, entry in enumerate(value):
        at = partial(where, index)
        try:
            wrong = _wrong_type(entry) if lenient and isinstance(entry, dict) else None
            if wrong:
                entry = {**entry, "type": "string"}
                add(f"{wrong} It is read as text.", at("type"))
            if isinstance(entry, dict):
                entry = _as_written(entry, partial(source, index))
            parameter = _read_parameter(entry, index + 1, at, faults, lenient=lenient)
            if parameter.name in found:
                raise WrongKeyError("name", f"The parameter {parameter.name!r} is declared twice.")
            found[parameter.name] = parameter
        except WrongKeyError as error:
            add(str(error), at(error.key))
    offers = 0
    for parameter in found.values():
        for name in sorted(parameter.condition.names - set(found) if parameter.condition else ()):
            message = f"The condition of {parameter.name!r} reads {name!r}, which is not a parameter."
            offers += 1
            message += nearest(name, found) if offers <= MOST_OFFERS else ""
            assert parameter.condition is not None
            place = parameter.condition.place
            faults.append(Fault(code="parameter", message=message, place=place, severity="warning"))
    return tuple(found.values()), faults


def read_groups(
    value: Any, parameters: Sequence[Parameter], where: Where
) -> tuple[tuple[Parameter, ...], list[Fault]]:
    """The parameters with the groups that a front matter's `parameter_groups` puts them in.

    A group is `{name: …, description: …, parameters: [names]}`. They only order what a person is shown, so
    mistakes in them are a warning.
    """
    faults: list[Fault] = []
    found = {parameter.name: parameter for parameter in parameters}

    def doubt(message: str, place: Place) -> None:
        faults.append(Fault(code="parameter-group", message=message, place=place, severity="warning"))

    if not isinstance(value, list):
        doubt("`parameter_groups` must be a list of maps.", where())
        return tuple(parameters), faults
    for index, entry in enumerate(value):
        names = entry.get("parameters") if isinstance(entry, dict) else None
        if not isinstance(names, list) or not entry.get("name"):
            doubt(f"Group {index + 1} must be {{name: …, parameters: [names]}}.", where(index))
            continue
        title = str(entry.get("description") or entry["name"])
        for name in map(str, names):
            if name not in found:
                message = f"The group {entry['name']!r} names {name!r}, which is not a parameter."
                doubt(message + nearest(name[:100], found), where(index, "parameters"))
            elif found[name].group is None:
                found[name] = replace(found[name], group=title)
    return tuple(found.values()), faults


def _read_parameter(entry: Any, nth: int, where: Where, faults: list[Fault], *, lenient: bool) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise WrongKeyError("name", f"Parameter {nth} has no name: write `- name: …`.")
    name = normal(entry["name"].strip())
    _hints(entry, name, where, faults, lenient=lenient)
    if wrong := _wrong_type(entry):
        raise WrongKeyError("type", wrong)
    written = _type(entry)
    kind = KINDS[written]
    found = choices(entry, name)
    if kind in ("choice", "multi_choice") and not found:
        raise WrongKeyError("type", f"The parameter {name!r} is a choice without `choices`.")
    parameter = Parameter(
        name=name,
        place=where(),
        description=str(entry.get("description") or ""),
        required=flag(entry, "required", name),
        type=kind,
        whole=written in _WHOLE,
        fractional=written == "float",
        is_typed=bool(entry.get("type")),
        choices=found,
        pattern=pattern(entry, name),
        min=number(entry, "min", name),
        max=number(entry, "max", name),
        step=step(entry, name),
        min_length=length(entry, "min_length", name),
        max_length=length(entry, "max_length", name),
        secret=flag(entry, "secret", name),
        from_env=from_env(entry, name),
        form=form(entry, name, kind),
        condition=condition(entry, name, where),
    )
    return _with_default(parameter, entry.get("default"))


def _as_written(entry: dict[str, Any], source: Source) -> dict[str, Any]:
    """The entry with the source of each value that is meant as a text, and is a number or a truth in YAML."""
    kind = KINDS.get(_type(entry))
    texts = ["description", "pattern"]
    lists = ["choices"]
    if kind in ("string", "choice"):
        texts.append("default")
    elif kind == "multi_choice" or (kind == "list" and entry.get("items") == "text"):
        lists.append("default")
    found = dict(entry)
    for key in texts:
        if (written := source(key)) is not None:
            found[key] = written
    for key in lists:
        if isinstance(entry.get(key), list):
            found[key] = [source(key, index) or item for index, item in enumerate(entry[key])]
    return found


def _type(entry: dict[str, Any]) -> str:
    return str(entry.get("type") or "string").lower().strip()


def _wrong_type(entry: dict[str, Any]) -> str | None:
    """The mistake in the type that an entry names."""
    written = _type(entry)
    if written in KINDS:
        return None
    return (
        f"The parameter {str(entry.get('name'))!r} has the type {written!r}.{nearest(written[:100], KINDS)}"
    )


def _hints(entry: dict[str, Any], name: str, where: Where, faults: list[Fault], *, lenient: bool) -> None:
    """Warns of keys that mean nothing; `lenient`: of those that look like a misspelling."""
    for key in map(str, entry):
        hint = "" if key in KEYS else nearest(key[:100], KEYS)
        if key not in KEYS and (hint.startswith(" Did") or not lenient):
            message = f"The parameter {name!r} has the unknown key {key!r}.{hint}"
            faults.append(Fault(code="unknown-key", message=message, place=where(key), severity="warning"))


def _with_default(parameter: Parameter, default: Any) -> Parameter:
    if default is None:
        return parameter
    try:
        if parameter.type in ("string", "choice"):
            value = parameter.check(to_text(default))
        elif isinstance(default, str):
            value = parameter.parse(default)
        else:
            value = parameter.check(default)
    except UsageError as error:
        raise WrongKeyError("default", f"Its default: {error}") from error
    return replace(parameter, default=value)
