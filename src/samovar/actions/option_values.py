"""What the values of a prompt's options mean: numbers, texts, durations, each read and checked in one call.

Above: `options.py`, whose table has one of these for each option. Below: values.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from samovar.actions.form_options import WHOLE_TEXTS
from samovar.values import duration_s, is_finite, is_utf8, to_text

Read = Callable[[object], object]
"""What an option's value means. Raises `ValueError` saying what was expected."""


def whole(least: int, most: int | None = None) -> Read:
    """A whole number within bounds, or the text of one."""
    expected = f"a whole number from {least} on" if most is None else f"a whole number from {least} to {most}"

    def read(value: object) -> int:
        number = _number(value)
        if number is None or number != int(number) or number < least or (most is not None and number > most):
            raise ValueError(expected)
        return int(number)

    return read


def real(least: float, most: float, *, above: bool = False) -> Read:
    """A number within bounds, or the text of one. `above`: not the least itself."""
    expected = (
        f"a number above {least:g}, at most {most:g}" if above else f"a number from {least:g} to {most:g}"
    )

    def read(value: object) -> float:
        number = _number(value)
        if number is None or not least <= number <= most or (above and number == least):
            raise ValueError(expected)
        return float(number)

    return read


def _number(value: object) -> int | float | None:
    """The finite number that a value is, or that a text spells."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        return None
    return value


def not_empty(value: object) -> str:
    """A text, or what can be written as one."""
    if not isinstance(value, str | int | float) or isinstance(value, bool) or not to_text(value).strip():
        raise ValueError("a text that is not empty")
    return to_text(value)


def several_names(value: object) -> str:
    """One name, or several, in a list or with commas between them."""
    if isinstance(value, list | tuple) and value:
        return ", ".join(not_empty(one) for one in value)
    return not_empty(value)


def one_of(*words: str) -> Read:
    """One of these texts."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(" or ".join(words))
        return str(value)

    return read


def flag(value: object) -> bool:
    """True or false, also as a text."""
    text = to_text(value).lower() if isinstance(value, str | bool) else ""
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def any_text(value: object) -> str:
    """Any value, as a text."""
    return to_text(value)


def duration(value: object) -> float:
    """In seconds."""
    seconds = duration_s(value)
    if seconds <= 0:
        raise ValueError("a duration above 0")
    return seconds


_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\\": "\\"}


def stop_texts(value: object) -> tuple[str, ...]:
    """One text, or a list of them. `\\n` and `\\t` mean what they mean everywhere."""
    texts = [to_text(item) for item in value] if isinstance(value, list | tuple) else [to_text(value)]
    if not texts or not all(texts):
        raise ValueError('a text that is not empty, or a list of them, as in ["END", "\\n\\n"]')
    if not all(map(is_utf8, texts)):
        raise ValueError(WHOLE_TEXTS)
    return tuple(re.sub(r"\\[ntr\\]", lambda found: _ESCAPES[found.group()], text) for text in texts)
