"""One evaluation of an expression: its variables, the names bound by macros, its limits, its warnings.

Above: `paths.py`, `macros.py`, `compiling.py`. Below: `kinds.py`, `meter.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from samovar.expressions.kinds import WrongError, called
from samovar.expressions.meter import Meter
from samovar.expressions.operators import LEAST, MOST


@dataclass(slots=True)
class Evaluation:
    """One evaluation. Changed by it."""

    variables: Mapping[str, object]
    meter: Meter
    items: dict[str, object] = field(default_factory=dict)
    """What macros have bound now."""
    doubts: dict[int, str] = field(default_factory=dict)
    """What may not be meant, by the offset of where."""


class MissingError(WrongError):
    """A step of a path is not there."""


class NoVariableError(MissingError):
    """The first step is not: a variable. Its nearest name is looked for only if that is said to anybody."""

    def __init__(self, name: str, at: int) -> None:
        super().__init__(f"There is no variable {name!r}.", at)
        self.name = name


Run = Callable[[Evaluation], object]
StepRun = Callable[[Evaluation, object], object]


def truth(value: object, at: int, what: str) -> bool:
    """A value that must be true or false. Raises `WrongError`, which says `what` it stands for."""
    if value is True or value is False:
        return value
    advice = " Compare it, as in answer == 'yes'." if isinstance(value, str) else ""
    raise WrongError(f"{what} is true or false, not {called(value)}.{advice}", at)


def narrow(value: int, at: int) -> int:
    """A whole number from a variable, if it has 64 bits. Raises `WrongError`."""
    if LEAST <= value <= MOST:
        return value
    raise WrongError("A whole number goes beyond 64 bits.", at)


def sentence(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[0].upper() + text[1:]
