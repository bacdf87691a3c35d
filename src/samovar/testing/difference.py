"""One difference of a case from its expectations, for a report.

Above: the comparisons, the stage, and anyone who shows them. Below: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from samovar.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which a case did not come as expected."""

    what: str
    """`ending`, `error`, `path`, `variable`, `prompt`, `command`, `log`, `warning`, `answer`, `shell`,
    `unused`, `time` or `input`."""
    message: str
    """For a person: what was not as expected, and what to do if that is known."""
    name: str | None = None
    """Name of the variable, or the path of the state."""
    expected: object = None
    got: object = None
    """Plain values; both None if there is nothing to compare."""
    place: Place | None = None
    """Place of the expectation or entry in the file, if it has its own."""
