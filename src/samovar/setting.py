"""What there is to know of one setting: the metadata that each field of the settings has.

Above: `config.py`, whose fields these are; the command line and the docs, which are made from them. Below:
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know of a setting besides its type and its default."""

    description: str
    """For the docs."""
    expected: str
    """What it takes, in words, for messages."""
    option: str | None = None
    """Its option of `samovar run`; None: it has none."""
    metavar: str | None = None
    """What stands for its value in `--help`; None for a flag."""
    help: str | None = None
    """For `--help`."""
    reads: Literal["bytes", "names", "pairs"] | None = None
    """How a text is read, where its type does not say that: `4GB`; names with commas between them;
    `name=value` with commas between them, or an object of JSON."""
    least: int | None = None
    most: int | None = None
    given: str | None = None
    """The type that `samovar.open()` takes, where it takes more than the field's own."""


def setting(default: Any, description: str, **known: Any) -> Any:
    """A field of `Settings`; `known` as in `Setting`."""
    return field(default=default, metadata={"setting": Setting(description=description, **known)})
