"""Typed inputs of workflows and prompts: the allowed values, and their conversion.

Above: `parameter_list.py`, which reads them from front matter; the values of workflows and prompts, the
command line, and the runner for sub-workflows. Below: `expression.py`, `patterns.py`, `values.py`. It does
not know how a parameter is declared. A value from the command line is text and is read by its type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from samovar.errors import ExpressionError, Place, TooLargeError, UsageError, nearest
from samovar.errors.counting import counted
from samovar.expressions.chosen_paths import OwnPath
from samovar.expressions.expression import Expression
from samovar.expressions.formats import json_of
from samovar.expressions.names import normal
from samovar.expressions.operators import LEAST, MOST
from samovar.expressions.types import ANYTHING, BOOL, FRACTIONAL, NUMBER, TEXT, WHOLE, Type, list_of, text_of
from samovar.language.schema_types import type_of_schema
from samovar.language.schema_values import mismatch
from samovar.language.schemas import Schema
from samovar.values import is_finite, to_text, truth

Kind = Literal["string", "boolean", "number", "choice", "multi_choice", "file", "folder", "list", "map"]
KINDS: dict[str, Kind] = {
    "string": "string", "str": "string", "text": "string",
    "boolean": "boolean", "bool": "boolean",
    "number": "number", "numeric": "number", "int": "number", "integer": "number", "float": "number",
    "choice": "choice", "select": "choice",
    "list": "list", "array": "list", "map": "map", "object": "map",
    "file": "file", "folder": "folder", "directory": "folder",
    "multi_choice": "multi_choice", "multichoice": "multi_choice", "multiselect": "multi_choice",
}  # fmt: skip

LARGEST_EXACT_FLOAT = 2.0**53 - 1
"""Up to here, a fractional number stands for one whole number only."""


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
    fractional: bool = False
    """A number that always has one, be it `.0`."""
    is_typed: bool = True
    """Its type was stated; else it is whatever is given, and a text from the command line."""
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression that the whole text must match."""
    min: float | None = None
    max: float | None = None
    step: float | None = None
    min_length: int | None = None
    """In characters, or of a list the items."""
    max_length: int | None = None
    form: Schema | None = None
    """Form of a list or a map, if its items or fields are stated."""
    secret: bool = False
    """Not shown while it is typed, nor anywhere else."""
    from_env: str | None = None
    """The environment variable that has the value of a secret that is not given."""
    condition: Expression | None = None
    """Condition on the other parameters: it is required only if this is true."""
    group: str | None = None
    """What it is shown under."""

    @property
    def values(self) -> Type:
        """What its variable can hold, as far as that is known before the run."""
        if self.type == "boolean":
            return BOOL
        if self.type == "number":
            return WHOLE if self.whole else FRACTIONAL if self.fractional else NUMBER
        if self.type == "multi_choice":
            return list_of(text_of(self.choices))
        if self.choices:
            return text_of(self.choices)
        if self.type in ("list", "map"):
            kind = "array" if self.type == "list" else "object"
            return type_of_schema(self.form or {"type": kind})
        return TEXT if self.is_typed else ANYTHING

    @property
    def bounded_form(self) -> Schema:
        """The schema of a list or a map."""
        form = {**(self.form or {}), "type": "array" if self.type == "list" else "object"}
        lengths = {"minItems": self.min_length, "maxItems": self.max_length} if self.type == "list" else {}
        return form | {key: count for key, count in lengths.items() if count is not None}

    @property
    def has_texts(self) -> bool:
        """It is a list whose items are texts."""
        return self.type == "list" and (self.form or {}).get("items", {}).get("type") == "string"

    @property
    def reads_text(self) -> bool:
        """A text that is given for it is read by its type; else the text is the value."""
        return self.type in ("boolean", "number", "multi_choice", "list", "map")

    def is_needed(self, variables: Mapping[str, object]) -> bool:
        """Whether it must be given, beside these other values. A condition without its values is false."""
        if not self.required or self.condition is None:
            return self.required
        try:
            return truth(self.condition.evaluate(variables))
        except (ExpressionError, TooLargeError):
            return False

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
        if self.type in ("list", "map"):
            return self.check(self._json(stripped))
        return self.check(text)

    def _json(self, text: str) -> object:
        try:
            return json_of(text)
        except TooLargeError as error:
            raise UsageError(f"The parameter {self.name!r}: {error.message}") from error
        except ValueError as error:
            expected = "a list, as in [1, 2]" if self.type == "list" else 'a map, as in {"a": 1}'
            why = "" if self.secret else f": {error}"
            raise UsageError(f"The parameter {self.name!r} takes {expected}, in JSON{why}.") from error

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
            return self._check_number(value)
        elif self.type == "multi_choice":
            if not isinstance(value, list | tuple):
                raise self._wrong(value, "a list")
            return [self._check_choice(one) for one in value]
        elif self.type in ("list", "map"):
            return self._check_form(value)
        elif self.type == "choice" or self.choices:
            return self._check_choice(value)
        else:
            if self.is_typed and isinstance(value, bool | int | float):
                value = to_text(value)
            is_bound = self.is_typed or self.pattern is not None or self.min_length or self.max_length
            if is_bound and isinstance(value, list | tuple | Mapping):
                raise self._wrong(value, "a text, not a list or a map")
            self._check_text(value)
        return value

    def chosen(self, value: object) -> object:
        """A value as somebody chose it who may name any file: the user, or the author of a default."""
        return OwnPath(value) if self.type in ("file", "folder") and isinstance(value, str) else value

    def _check_number(self, value: object) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(value, "a number")
        if not is_finite(value):
            raise self._wrong(value, "a finite number")
        if self.whole and value != int(value):
            raise self._wrong(value, "a whole number")
        is_exact = not self.whole or isinstance(value, int) or abs(value) <= LARGEST_EXACT_FLOAT
        if not is_exact or (isinstance(value, int) and not LEAST <= value <= MOST):
            raise self._wrong(
                value, "a whole number of at most 64 bits, written without a dot or an exponent"
            )
        if self.min is not None and value < self.min:
            raise self._wrong(value, f"at least {self.min:g}")
        if self.max is not None and value > self.max:
            raise self._wrong(value, f"at most {self.max:g}")
        if self.step:
            steps = (value - (self.min or 0)) / self.step
            if abs(steps - round(steps)) > 1e-9:
                raise self._wrong(value, f"in steps of {self.step:g}")
        return float(value) if self.fractional else int(value) if self.whole else value

    def _check_form(self, value: object) -> object:
        if wrong := mismatch(value, self.bounded_form, self.name):
            said = "it does not have the declared form." if self.secret else wrong
            raise UsageError(f"The parameter {self.name!r} cannot be taken: {said}")
        return list(value) if self.type == "list" else dict(value)  # type: ignore[call-overload]

    def _check_choice(self, value: object) -> str:
        text = to_text(value)
        if text not in self.choices:
            close = nearest(text[:100], [choice for choice in self.choices[:1000] if len(choice) <= 100])
            hint = close.removesuffix(".") if close.startswith(" Did") else ""
            raise self._wrong(value, f"one of {', '.join(self.choices)}", hint)
        return text

    def _check_text(self, value: object) -> None:
        if not isinstance(value, str):
            return
        if self.min_length is not None and len(value) < self.min_length:
            raise self._wrong(value, f"at least {counted(self.min_length, 'character')}")
        if self.max_length is not None and len(value) > self.max_length:
            raise self._wrong(value, f"at most {counted(self.max_length, 'character')}")
        if self.pattern is not None and not self._matches(self.pattern, value):
            raise self._wrong(value, f"a text that matches {self.pattern}")

    def _matches(self, pattern: str, value: str) -> bool:
        from samovar.expressions.patterns import Pattern, PatternError  # few have a pattern

        try:
            return Pattern.parse(pattern).matches_whole(value)
        except PatternError as error:
            raise UsageError(f"The pattern of {self.name!r} cannot be used: {error}.") from error

    def _wrong(self, value: object, expected: str, hint: str = "") -> UsageError:
        shown = "***" if self.secret else repr(value)
        hint = "" if self.secret else hint
        return UsageError(f"The parameter {self.name!r} cannot be {shown}: expected {expected}.{hint}")


def bind(
    parameters: Sequence[Parameter],
    given: Mapping[str, object],
    *,
    ask: Callable[[Parameter], object] | None = None,
    by_user: bool = False,
) -> dict[str, object]:
    """The variables to begin with: what is given, typed and checked, and the defaults of the rest.

    Text for a parameter of another type is read by that type. Names that no parameter has pass as they
    are. Missing required ones are asked for; without `ask`, `UsageError` names all of them. `by_user`: a user
    gives them, whose files and folders may be anywhere; a default may, too.
    """
    given = {normal(name): value for name, value in given.items()}
    variables = dict(given)
    missing = []
    for parameter in parameters:
        if parameter.name in given:
            value = given[parameter.name]
            is_text = isinstance(value, str) and parameter.reads_text
            checked = parameter.parse(str(value)) if is_text else parameter.check(value)
            variables[parameter.name] = parameter.chosen(checked) if by_user else checked
        elif parameter.default is not None:
            variables[parameter.name] = parameter.chosen(parameter.default)
    # Conditions see all that was given, and the parameters before them.
    for parameter in parameters:
        if parameter.name in variables or not parameter.is_needed(variables):
            continue
        if ask is None:
            missing.append(parameter)
        else:
            variables[parameter.name] = parameter.chosen(ask(parameter))
    if missing:
        others = [name for name in given if name not in {one.name for one in parameters}]
        lines = [
            f"  {one.name}"
            + (f" (or the environment variable {one.from_env})" if one.from_env else "")
            + (f": {one.description}" if one.description else "")
            + _meant(one.name, others)
            for one in missing
        ]
        example = f"--var {missing[0].name}=…"
        raise UsageError(f"Required parameters are missing ({example}):\n" + "\n".join(lines))
    return variables


def _meant(name: str, others: Sequence[str]) -> str:
    """What was given instead of a parameter, by the looks of it."""
    hint = re.search(r"Did you mean ('.*')\?", nearest(name, others)) if others else None
    return f" (did you mean {hint[1]} for it?)" if hint else ""
