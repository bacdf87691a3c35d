"""Reads the keys of one parameter's map in the front matter: each gives a value or a fault.

Above: `parameter_list.py`. Below: expressions, patterns, schemas. A key that is not there has no value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from samovar.errors import FaultsError, Place
from samovar.expressions.expression import Expression
from samovar.language.schema_values import read_value_schema
from samovar.language.schemas import Schema
from samovar.values import is_finite, to_text

Where = Callable[..., Place]
"""The place of an entry of the list, by its number from 0, and a key of it, by its name."""


class WrongKeyError(Exception):
    """`key` of a parameter's map is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def from_env(entry: dict[str, Any], name: str) -> str | None:
    value = entry.get("from_env")
    if value is None or (str(value).isidentifier() and str(value).isascii() and flag(entry, "secret", name)):
        return value
    message = f"`from_env` of {name!r} must be the name of an environment variable, and is only for secrets."
    raise WrongKeyError("from_env", message)


def choices(entry: dict[str, Any], name: str) -> tuple[str, ...]:
    value = entry.get("choices")
    if value is None:
        return ()
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        raise WrongKeyError("choices", f"`choices` of the parameter {name!r} must be a list of texts.")
    return tuple(map(to_text, value))


def form(entry: dict[str, Any], name: str, kind: str) -> Schema | None:
    """The schema of a list or a map whose `items` or `fields` are given."""
    for key, taker in (("items", "list"), ("fields", "map")):
        if key in entry and kind != taker:
            raise WrongKeyError(
                key, f"`{key}` is for parameters of `type: {taker}`, but {name!r} has another type."
            )
    try:
        if "items" in entry:
            return {"type": "array", "items": read_value_schema(entry["items"], f"{name}[0]")}
        if "fields" in entry:
            if not isinstance(entry["fields"], dict):
                raise ValueError("a map, as in {name: text, age: integer?}")
            return read_value_schema(entry["fields"], name)
    except ValueError as error:
        key = "items" if "items" in entry else "fields"
        raise WrongKeyError(key, f"`{key}` of the parameter {name!r} must be {error}.") from error
    return None


def pattern(entry: dict[str, Any], name: str) -> str | None:
    pattern = entry.get("pattern")
    if pattern is None:
        return None
    if isinstance(pattern, list | dict):
        raise WrongKeyError("pattern", f"The pattern of {name!r} must be a text.")
    from samovar.expressions.patterns import Pattern, PatternError

    try:
        Pattern.parse(str(pattern))
    except PatternError as error:
        raise WrongKeyError("pattern", f"{name!r} has an invalid regular expression: {error}.") from error
    return str(pattern)


def condition(entry: dict[str, Any], name: str, where: Where) -> Expression | None:
    text = entry.get("condition")
    if text is None:
        return None
    if isinstance(text, list | dict):
        raise WrongKeyError("condition", f"The condition of {name!r} must be an expression.")
    try:
        return Expression.parse(to_text(text), where("condition"))
    except FaultsError as error:
        message = f"The condition of {name!r}: {error.faults[0].message}"
        raise WrongKeyError("condition", message) from error


def flag(entry: dict[str, Any], key: str, name: str) -> bool:
    """A boolean; also the words that YAML 1.1 took for one."""
    value = entry.get(key)
    word = str(value).lower() if isinstance(value, bool | str) else ""
    if value is None or word in ("false", "no", "off"):
        return False
    if word in ("true", "yes", "on"):
        return True
    raise WrongKeyError(key, f"{key!r} of the parameter {name!r} must be true or false, not {value!r}.")


def number(entry: dict[str, Any], key: str, name: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        raise WrongKeyError(key, f"{key!r} of the parameter {name!r} must be a number, not {value!r}.")
    return value


def step(entry: dict[str, Any], name: str) -> float | None:
    value = number(entry, "step", name)
    if value is not None and value <= 0:
        raise WrongKeyError("step", f"'step' of the parameter {name!r} must be above 0, not {value!r}.")
    return value


def length(entry: dict[str, Any], key: str, name: str) -> int | None:
    value = number(entry, key, name)
    if value is not None and (value < 0 or value != int(value)):
        raise WrongKeyError(key, f"{key!r} of the parameter {name!r} must be a whole number, not {value!r}.")
    return None if value is None else int(value)
