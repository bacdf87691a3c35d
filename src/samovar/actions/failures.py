"""What a failure is to a workflow: the variable `error`, as far as it is known before a run.

Above: the checks, and lists that keep what failed. Below: the tree of errors, the endings of runs, types.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.errors import SamovarError
from samovar.events import Ending
from samovar.expressions.types import ANYTHING, TEXT, Type, text_of

_OTHERS = ("cancelled", "internal", "stuck", *map(str, Ending))
"""Kinds that no class of errors has."""


def error_kinds() -> tuple[str, ...]:
    """All that `error.kind` can be."""
    return tuple(sorted({*_codes(SamovarError), *_OTHERS}))


def error_type() -> Type:
    """What the variable `error` is after a failure."""
    kind = text_of(error_kinds())
    parts = {"message": TEXT, "state": TEXT, "kind": kind, "place": TEXT, "chain": ANYTHING}
    return Type(kinds=frozenset(("map",)), parts=parts, is_closed=True)


def _codes(error: type[SamovarError]) -> Iterator[str]:
    yield error.code
    for one in error.__subclasses__():
        yield from _codes(one)
