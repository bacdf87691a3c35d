"""Reads the list of parameters in a file's front matter, and the groups that they are shown in.

Above: `front.py` for workflows, `prompt.py`. Below: `parameters.py`, whose own checks hold for defaults. It
knows no file: whoever calls says where each entry is. What is wrong is a fault, and the rest is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from samovar.errors import Fault, FaultsError, Place, Severity, UsageError, nearest
from samovar.expressions.expression import Expression
from samovar.expressions.names import normal
from samovar.language.parameters import KINDS, Parameter
from samovar.values import is_finite, to_text

MOST_OFFERS = 20
"""Faults of one file that name the nearest name; finding it takes time."""
KEYS = frozenset(
    (
        *("name", "description", "required", "default", "type", "choices", "pattern", "min", "max", "step"),
        *("min_length", "max_length", "condition", "secret", "from_env", "validation", "type_hint"),
    )
)
_WHOLE = ("int", "integer")

Where = Callable[..., Place]
"""Where an entry of the list stands, by its number from 0, and a key of it, by its name."""
Source = Callable[..., str | None]
"""How a number or a truth in the list is written, by the same steps; None for any other value."""


def _no_source(*steps: str | int) -> None:
    """Of values that were never written."""


def read_parameters(
    value: Any, where: Where, *, lenient: bool = False, source: Source = _no_source
) -> tuple[tuple[Parameter, ...], list[Fault]]:
    """The parameters of a front matter's list, and what is wrong with it.

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
                add(f"{wrong} It is taken for text.", at("type"))
            if isinstance(entry, dict):
                entry = _as_written(entry, partial(source, index))
            parameter = _read_parameter(entry, index + 1, at, faults, lenient=lenient)
            if parameter.name in found:
                raise _WrongError("name", f"The parameter {parameter.name!r} is declared twice.")
            found[parameter.name] = parameter
        except _WrongError as error:
            add(str(error), at(error.key))
    offers = 0
    for parameter in found.values():
        for name in sorted(parameter.condition.names - set(found) if parameter.condition else ()):
            message = f"The condition of {parameter.name!r} reads {name!r}, which is no parameter."
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
    what is wrong with them is a warning.
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
                message = f"The group {entry['name']!r} names {name!r}, which is no parameter."
                doubt(message + nearest(name[:100], found), where(index, "parameters"))
            elif found[name].group is None:
                found[name] = replace(found[name], group=title)
    return tuple(found.values()), faults


class _WrongError(Exception):
    """`key` of a parameter's map is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _read_parameter(
    entry: Any, number: int, where: Where, faults: list[Fault], *, lenient: bool
) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise _WrongError("name", f"Parameter {number} has no name: write `- name: …`.")
    name = normal(entry["name"].strip())
    _hints(entry, name, where, faults, lenient=lenient)
    if wrong := _wrong_type(entry):
        raise _WrongError("type", wrong)
    written = _type(entry)
    kind = KINDS[written]
    choices = _choices(entry, name)
    if kind in ("choice", "multi_choice") and not choices:
        raise _WrongError("type", f"The parameter {name!r} is a choice without `choices`.")
    parameter = Parameter(
        name=name,
        place=where(),
        description=str(entry.get("description") or ""),
        required=_flag(entry, "required", name),
        type=kind,
        whole=written in _WHOLE,
        fractional=written == "float",
        is_typed=bool(entry.get("type")),
        choices=choices,
        pattern=_pattern(entry, name),
        min=_number(entry, "min", name),
        max=_number(entry, "max", name),
        step=_step(entry, name),
        min_length=_length(entry, "min_length", name),
        max_length=_length(entry, "max_length", name),
        secret=_flag(entry, "secret", name),
        from_env=_from_env(entry, name),
        condition=_condition(entry, name, where),
    )
    return _with_default(parameter, entry.get("default"))


def _from_env(entry: dict[str, Any], name: str) -> str | None:
    value = entry.get("from_env")
    if value is None or (str(value).isidentifier() and str(value).isascii() and _flag(entry, "secret", name)):
        return value
    message = f"`from_env` of {name!r} is the name of an environment variable, and for secrets only."
    raise _WrongError("from_env", message)


def _as_written(entry: dict[str, Any], source: Source) -> dict[str, Any]:
    """The entry with the source of each value that is meant as a text, and is a number or a truth in YAML."""
    kind = KINDS.get(_type(entry))
    texts = ["description", "pattern"]
    lists = ["choices"]
    if kind in ("string", "choice"):
        texts.append("default")
    elif kind == "multi_choice":
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
    """What is wrong with the type that an entry names."""
    written = _type(entry)
    if written in KINDS:
        return None
    return (
        f"The parameter {str(entry.get('name'))!r} has the type {written!r}.{nearest(written[:100], KINDS)}"
    )


def _hints(entry: dict[str, Any], name: str, where: Where, faults: list[Fault], *, lenient: bool) -> None:
    """Warns of keys that mean nothing; `lenient`: of those that look like a misspelling."""
    for key in map(str, entry):
        hint = nearest(key[:100], KEYS)
        if key not in KEYS and (hint.startswith(" Did") or not lenient):
            message = f"The parameter {name!r} has {key!r}, which means nothing.{hint}"
            faults.append(Fault(code="unknown-key", message=message, place=where(key), severity="warning"))


def _choices(entry: dict[str, Any], name: str) -> tuple[str, ...]:
    value = entry.get("choices")
    if value is None:
        return ()
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        raise _WrongError("choices", f"`choices` of the parameter {name!r} must be a list of texts.")
    return tuple(map(to_text, value))


def _pattern(entry: dict[str, Any], name: str) -> str | None:
    pattern = entry.get("pattern")
    if pattern is None:
        return None
    if isinstance(pattern, list | dict):
        raise _WrongError("pattern", f"The pattern of {name!r} must be a text.")
    from samovar.expressions.patterns import Pattern, PatternError

    try:
        Pattern.parse(str(pattern))
    except PatternError as error:
        raise _WrongError("pattern", f"{name!r} has no regular expression: {error}.") from error
    return str(pattern)


def _condition(entry: dict[str, Any], name: str, where: Where) -> Expression | None:
    text = entry.get("condition")
    if text is None:
        return None
    if isinstance(text, list | dict):
        raise _WrongError("condition", f"The condition of {name!r} must be an expression.")
    try:
        return Expression.parse(to_text(text), where("condition"))
    except FaultsError as error:
        message = f"The condition of {name!r}: {error.faults[0].message}"
        raise _WrongError("condition", message) from error


def _flag(entry: dict[str, Any], key: str, name: str) -> bool:
    """A boolean; also the words that YAML 1.1 took for one."""
    value = entry.get(key)
    word = str(value).lower() if isinstance(value, bool | str) else ""
    if value is None or word in ("false", "no", "off"):
        return False
    if word in ("true", "yes", "on"):
        return True
    raise _WrongError(key, f"{key!r} of the parameter {name!r} must be true or false, not {value!r}.")


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
        raise _WrongError("default", f"Its default: {error}") from error
    return replace(parameter, default=value)


def _number(entry: dict[str, Any], key: str, name: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        raise _WrongError(key, f"{key!r} of the parameter {name!r} must be a number, not {value!r}.")
    return value


def _step(entry: dict[str, Any], name: str) -> float | None:
    value = _number(entry, "step", name)
    if value is not None and value <= 0:
        raise _WrongError("step", f"'step' of the parameter {name!r} must be above 0, not {value!r}.")
    return value


def _length(entry: dict[str, Any], key: str, name: str) -> int | None:
    value = _number(entry, key, name)
    if value is not None and (value < 0 or value != int(value)):
        raise _WrongError(key, f"{key!r} of the parameter {name!r} must be a whole number, not {value!r}.")
    return None if value is None else int(value)
