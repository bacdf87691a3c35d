"""Options of calls that ask for answers, and their conversion.

Above: `api.py`, `sessions.py`, `blocking.py`. Below: the options of the workflow language, which read the
same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, TypedDict, cast

from samovar.actions.form_options import WHOLE_TEXTS, held_twice, read_form, read_json_schema
from samovar.actions.options import (
    OPTIONS,
)
from samovar.actions.template_options import WITHOUT_TEMPLATE, read_template
from samovar.errors import UsageError
from samovar.generation import NO_TEMPLATE, Options, Overflow, Sampling
from samovar.python.arguments import brief, check_names
from samovar.values import is_utf8


class AnswerOptions(TypedDict, total=False):
    """How an answer is got: the names of `generation.Options` and `Sampling`, which say what each means."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int
    stop: str | Sequence[str]
    choices: Sequence[str]
    schema: Mapping[str, object] | str | None
    """A JSON Schema, or its short form."""
    show_schema: bool
    regex: str | None
    grammar: str | None
    timeout_s: float | None
    overflow: Overflow
    deterministic: bool
    secret: bool
    """The message is secret: see `generation.Message`."""
    think: bool | None
    template: Mapping[str, object] | Literal["none"] | None


def _texts(value: object) -> tuple[str, ...]:
    texts = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("a text that is not empty, or a list of such texts")
    if not all(is_utf8(text) for text in texts):
        raise ValueError(WHOLE_TEXTS)
    return cast(tuple[str, ...], texts)


def _seconds(value: object) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("seconds above 0, or None")


def _overflow(value: object) -> object:
    if value not in ("error", "drop_oldest"):
        raise ValueError("'error' or 'drop_oldest'")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


_SAMPLING = {field.name for field in fields(Sampling)}
_READ: Mapping[str, Callable[[object], object]] = {
    **{name: OPTIONS[name] for name in ("max_tokens", *_SAMPLING)},  # as the workflow language has them
    "stop": _texts,
    "choices": _texts,
    "schema": lambda value: None if value is None else read_json_schema(value),
    "show_schema": _flag,
    "regex": lambda value: None if value is None else read_form(value),
    "grammar": lambda value: None if value is None else read_form(value),
    "timeout_s": _seconds,
    "overflow": _overflow,
    "deterministic": _flag,
    "secret": _flag,
    "think": lambda value: None if value is None else _flag(value),
    "template": lambda value: {} if value is None else read_template(value),
}


def make_options(call: str, given: AnswerOptions) -> Options:
    """Raises `TypeError` for a name that there is not, `UsageError` for a value that cannot be.

    `secret` is not in it: that goes with the messages.
    """
    check_names(call, given, _READ)
    read: dict[str, Any] = {}
    for name, value in given.items():
        try:
            read[name] = _READ[name](value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{name} of {call} cannot be {brief(value)}: expected {error}.") from None
    if wrong := held_twice([name for name, value in read.items() if value]):
        raise UsageError(wrong[1])
    read.pop("secret", None)
    if read.get("template") == NO_TEMPLATE and read.get("think") is not None:
        raise UsageError(WITHOUT_TEMPLATE["think"])
    sampling = {name: read.pop(name) for name in _SAMPLING & read.keys()}
    return Options(sampling=Sampling(**sampling), **read)
