"""The contract of a place that keeps models: finding one, listing all, deleting one if that is allowed.

Above: `stores.py`, which has all of them. Below: references. `lm_studio.py` is the one to read first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from samovar.models.reference import Reference, Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One model of a store."""

    reference: str
    """What to write for it."""
    scheme: Scheme
    path: Path | None = None
    """Its file, or the first of its parts; None if there is no file that could be read."""
    names: tuple[str, ...] = ()
    """Further references for it."""
    fault: str | None = None
    """Why it cannot be used, as far as the store knows."""


class ModelStore(Protocol):
    """Where models are kept. It is read in place: nothing is copied, and nothing is held open."""

    scheme: ClassVar[Scheme]
    """What its references begin with."""
    title: ClassVar[str]
    """What people call it."""

    def find(self, reference: Reference) -> Path:
        """The file, or where the first part of it is; without a network.

        Raises `ModelNotFoundError` that says what to do if it is not here, or not whole, and `ModelFileError`
        for what the store has under this name and is not such a file.
        """
        ...

    def listed(self) -> Iterator[Stored]:
        """All models, by name. What cannot be looked at is one with a fault, or left out; it never raises."""
        ...

    def remove(self, reference: Reference) -> int:
        """Deletes a model that is here, and returns the bytes that are free now.

        Raises `ModelNotFoundError` if it is not here, and `UsageError` that says how, if another program
        keeps it.
        """
        ...
