"""A path to a value, as in Liquid: the name of a variable, then keys and indexes.

Above: `pieces.py`, `dollars.py`, and `--print`. Below: `values.py`. Expressions have paths of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samovar.errors import nearest
from samovar.expressions.absent import no_variable
from samovar.values import Record

PATH = r"""[^\W\d]\w*(?:\.[^\W\d]\w*|\[\s*(?:-?\d{1,18}|"[^"]*"|'[^']*')\s*\])*"""
"""How one is written."""
_STEP = re.compile(r"""[^\W\d]\w*|-?\d+|"[^"]*"|'[^']*'""")
ENVIRONMENT = " The setting `environment` says which variables of the environment prompts may read."


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way to a value: the name of a variable, then keys and indexes."""

    steps: tuple[str | int, ...]
    source: str
    """As written, with its braces."""
    dollar: bool
    """Written `${…}`, in an old file."""
    offset: int = 0
    """Where it is in its text."""

    @property
    def names(self) -> frozenset[str]:
        """The variable that it begins with."""
        return frozenset((str(self.steps[0]),))

    def walk(self, variables: Mapping[str, object]) -> object:
        """The value there. Raises `KeyError` with a sentence for a person."""
        root = self.steps[0]
        assert isinstance(root, str)
        if root not in variables:
            raise KeyError(no_variable(root, variables, in_liquid=not self.dollar))
        value = variables[root]
        for number, step in enumerate(self.steps[1:], start=1):
            value = _step(value, step, self.steps[:number])
        return value


def path_of(match: re.Match[str], *, dollar: bool, offset: int | None = None) -> Path:
    """The path that the first group of a match is. `offset`: where the whole begins; None: at the match."""
    steps: list[str | int] = []
    for step in _STEP.findall(match.group(1)):
        if step[0] in "\"'":
            steps.append(step[1:-1])
        elif step.lstrip("-").isdigit():
            steps.append(int(step))
        else:
            steps.append(step)
    at = match.start() if offset is None else offset
    return Path(steps=tuple(steps), source=match.group(), dollar=dollar, offset=at)


def read_path(text: str) -> Path | None:
    """The path that a whole text is, without braces; None if it is none."""
    match = re.fullmatch(rf"({PATH})", text)
    return path_of(match, dollar=False) if match else None


def _step(value: object, step: str | int, behind: Sequence[str | int]) -> object:
    """One step further, as Liquid takes it."""
    where = ".".join(map(str, behind))
    if isinstance(value, Mapping | Record):
        parts = value.parts if isinstance(value, Record) else value
        if step in parts:
            return parts[step]  # type: ignore[index]
        if step == "size":
            return len(value)
        offer = nearest(str(step), map(str, parts))
        if where == "env" and not offer:
            offer = ENVIRONMENT
        raise KeyError(f"{where!r} has no part {str(step)!r}.{offer}")
    if isinstance(value, list | tuple):
        if step == "size":
            return len(value)
        index = {"first": 0, "last": -1}.get(step, step) if isinstance(step, str) else step
        if isinstance(index, int):
            if -len(value) <= index < len(value):
                return value[index]
            raise KeyError(f"{where!r} has {len(value)} items, none at {step!r}.")
    if isinstance(value, str) and step == "size":
        return len(value)
    raise KeyError(f"{where!r} is {_kind(value)} and has no part {str(step)!r}.")


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list | tuple) else type(value).__name__)
