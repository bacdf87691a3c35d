"""Typed inputs of workflows and prompts: what may be given, and what becomes of what is given.

Above: `workflow.py`, `prompt.py`, the command line, and the runner for sub-workflows. Below: `values.py`.
A parameter comes from front matter; a value from the command line is text and is read by its type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from samovar.errors import Fault, Place, UsageError, nearest

Kind = Literal["string", "boolean", "number", "choice", "multi_choice"]

KINDS: dict[str, Kind] = {
    "string": "string", "str": "string", "text": "string",
    "boolean": "boolean", "bool": "boolean",
    "number": "number", "numeric": "number", "int": "number", "integer": "number", "float": "number",
    "choice": "choice", "select": "choice",
    "multi_choice": "multi_choice", "multichoice": "multi_choice", "multiselect": "multi_choice",
}  # fmt: skip

KEYS = frozenset(
    [
        "name",
        "description",
        "required",
        "default",
        "type",
        "choices",
        "pattern",
        "min",
        "max",
        "step",
        "min_length",
        "max_length",
        "condition",
        "secret",
        "validation",
        "type_hint",
    ]
)
_WHOLE = ("int", "integer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One input."""

    name: str
    place: Place
    description: str = ""
    required: bool = False
    default: object = None
    """None means there is none."""
    type: Kind = "string"
    whole: bool = False
    """A number without a fraction."""
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression that the whole text must match."""
    min: float | None = None
    max: float | None = None
    step: float | None = None
    min_length: int | None = None
    """In characters."""
    max_length: int | None = None
    secret: bool = False
    """Not shown while it is typed."""

    def parse(self, text: str) -> object:
        """The value of a text as it is typed by a person. Raises `UsageError`."""
        stripped = text.strip()
        if self.type == "boolean":
            if stripped.lower() in ("true", "yes", "on", "1"):
                return self.check(True)
            if stripped.lower() in ("false", "no", "off", "0"):
                return self.check(False)
            raise self._wrong(text, "true or false")
        if self.type == "number":
            return self.check(self._number(stripped))
        if self.type == "multi_choice":
            return self.check([part.strip() for part in text.split(",") if part.strip()])
        return self.check(text)

    def _number(self, text: str) -> int | float:
        try:
            return int(text)
        except ValueError:
            pass
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._wrong(text, "a number")
        return number

    def check(self, value: object) -> object:
        """The value, which has a type already, if it may be given. Raises `UsageError`."""
        if self.type == "boolean":
            if not isinstance(value, bool):
                raise self._wrong(value, "true or false")
        elif self.type == "number":
            self._check_number(value)
        elif self.type == "multi_choice":
            if not isinstance(value, list | tuple):
                raise self._wrong(value, "a list")
            for one in value:
                self._check_choice(one)
            return list(value)
        elif self.type == "choice" or self.choices:
            self._check_choice(value)
        else:
            self._check_text(value)
        return value

    def _check_number(self, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(value, "a number")
        if self.whole and value != int(value):
            raise self._wrong(value, "a whole number")
        if self.min is not None and value < self.min:
            raise self._wrong(value, f"at least {self.min:g}")
        if self.max is not None and value > self.max:
            raise self._wrong(value, f"at most {self.max:g}")
        if self.step:
            steps = (value - (self.min or 0)) / self.step
            if abs(steps - round(steps)) > 1e-9:
                raise self._wrong(value, f"in steps of {self.step:g}")

    def _check_choice(self, value: object) -> None:
        if value not in self.choices:
            hint = nearest(str(value), self.choices)
            raise UsageError(
                f"The parameter {self.name!r} cannot be {value!r}: expected one of "
                f"{', '.join(self.choices)}.{hint}"
            )

    def _check_text(self, value: object) -> None:
        if not isinstance(value, str):
            return
        if self.min_length is not None and len(value) < self.min_length:
            raise self._wrong(value, f"at least {self.min_length} characters")
        if self.max_length is not None and len(value) > self.max_length:
            raise self._wrong(value, f"at most {self.max_length} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise self._wrong(value, f"a text that matches {self.pattern}")

    def _wrong(self, value: object, expected: str) -> UsageError:
        shown = "***" if self.secret else repr(value)
        return UsageError(f"The parameter {self.name!r} cannot be {shown}: expected {expected}.")


def bind(
    parameters: Sequence[Parameter],
    given: Mapping[str, object],
    *,
    ask: Callable[[Parameter], object] | None = None,
) -> dict[str, object]:
    """The variables to begin with: what is given, typed and checked, and the defaults of the rest.

    Text for a parameter of another type is read by that type. Names that no parameter has pass as they
    are. Missing required ones are asked for; without `ask`, `UsageError` names all of them.
    """
    variables = dict(given)
    missing = []
    for parameter in parameters:
        if parameter.name in given:
            value = given[parameter.name]
            is_text = isinstance(value, str) and parameter.type in ("boolean", "number", "multi_choice")
            variables[parameter.name] = parameter.parse(str(value)) if is_text else parameter.check(value)
        elif parameter.default is not None:
            variables[parameter.name] = parameter.default
        elif parameter.required and ask is not None:
            variables[parameter.name] = ask(parameter)
        elif parameter.required:
            missing.append(parameter)
    if missing:
        lines = [f"  {one.name}" + (f": {one.description}" if one.description else "") for one in missing]
        example = f"--var {missing[0].name}=…"
        raise UsageError(f"Required parameters are missing ({example}):\n" + "\n".join(lines))
    return variables


def read_parameters(value: Any, place: Place) -> tuple[tuple[Parameter, ...], list[Fault]]:
    """The parameters of a front matter's list, and what is wrong with it."""
    faults: list[Fault] = []
    if not isinstance(value, list):
        return (), [Fault(code="parameter", message="`parameters` must be a list of maps.", place=place)]
    found: dict[str, Parameter] = {}
    for number, entry in enumerate(value, start=1):
        try:
            parameter = _read_parameter(entry, number, place, faults)
            if parameter.name in found:
                raise ValueError(f"The parameter {parameter.name!r} is declared twice.")
            found[parameter.name] = parameter
        except ValueError as error:
            faults.append(Fault(code="parameter", message=str(error), place=place))
    return tuple(found.values()), faults


def _read_parameter(entry: Any, number: int, place: Place, faults: list[Fault]) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise ValueError(f"Parameter {number} has no name: write `- name: …`.")
    name = entry["name"].strip()
    for key in entry:
        if key not in KEYS and (hint := nearest(str(key), KEYS)).startswith(" Did"):
            message = f"The parameter {name!r} has {str(key)!r}, which means nothing.{hint}"
            faults.append(Fault(code="unknown-key", message=message, place=place, severity="warning"))
    written = str(entry.get("type") or "string").lower().strip()
    if written not in KINDS:
        raise ValueError(f"The parameter {name!r} has the type {written!r}.{nearest(written, KINDS)}")
    kind = KINDS[written]
    choices = tuple(str(choice) for choice in entry.get("choices") or ())
    if kind in ("choice", "multi_choice") and not choices:
        raise ValueError(f"The parameter {name!r} is a choice without `choices`.")
    pattern = entry.get("pattern")
    if pattern is not None:
        try:
            re.compile(str(pattern))
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"The pattern of {name!r} is not a regular expression: {error}.") from error
    parameter = Parameter(
        name=name,
        place=place,
        description=str(entry.get("description") or ""),
        required=bool(entry.get("required", False)),
        type=kind,
        whole=written in _WHOLE,
        choices=choices,
        pattern=None if pattern is None else str(pattern),
        min=_number(entry, "min", name),
        max=_number(entry, "max", name),
        step=_number(entry, "step", name),
        min_length=_length(entry, "min_length", name),
        max_length=_length(entry, "max_length", name),
        secret=bool(entry.get("secret", False)),
    )
    return _with_default(parameter, entry.get("default"))


def _with_default(parameter: Parameter, default: Any) -> Parameter:
    from dataclasses import replace

    if default is None:
        return parameter
    try:
        if parameter.type == "string" and not isinstance(default, str):
            default = str(default).lower() if isinstance(default, bool) else str(default)
        return replace(parameter, default=parameter.check(default))
    except UsageError as error:
        raise ValueError(f"Its default: {error}") from error


def _number(entry: dict[str, Any], key: str, name: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key!r} of the parameter {name!r} must be a number, not {value!r}.")
    return value


def _length(entry: dict[str, Any], key: str, name: str) -> int | None:
    value = _number(entry, key, name)
    if value is not None and (value < 0 or value != int(value)):
        raise ValueError(f"{key!r} of the parameter {name!r} must be a whole number, not {value!r}.")
    return None if value is None else int(value)
