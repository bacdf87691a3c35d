"""Arguments of calls, checked at once: the error names a wrong value and what is expected.

Above: the other files of this folder. Below: the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from samovar.errors import UsageError, nearest
from samovar.values import is_utf8


def expect(call: str, name: str, value: object, kinds: tuple[type, ...], expected: str) -> None:
    """Raises `UsageError` for a value of another kind."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise UsageError(f"{name} of {call} cannot be {brief(value)}: expected {expected}.")


def expect_truth(call: str, name: str, value: object) -> None:
    """Raises `UsageError` for what is neither True nor False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} of {call} cannot be {brief(value)}: expected True or False.")


def brief(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def check_names(call: str, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raises `TypeError` for a name that is not known, with the nearest one that is."""
    for name in given:
        if name not in known:
            raise TypeError(f"{call} takes no option {name!r}.{nearest(name, known)}")


def texts_of(call: str, texts: object) -> tuple[str, ...]:
    """One text, or several. Raises `UsageError` for what are none, with the number of the first."""
    if isinstance(texts, str):
        texts = (texts,)
    if isinstance(texts, bytes) or not isinstance(texts, Sequence):
        raise UsageError(f"{call} takes a text, or a list of texts: not {brief(texts)}.")
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise UsageError(f"{call} takes texts: number {number} is {brief(text)}.")
        if not is_utf8(text):
            raise UsageError(f"{call} takes texts: number {number} has a lone surrogate, half a character.")
    return tuple(texts)


def check_session(call: str, model: object, system: object) -> None:
    """Raises `UsageError` for what no session begins with."""
    expect(call, "model", model, (str, type(None)), "a model reference")
    expect(call, "system", system, (str, type(None)), "a text")
