"""One difference of a case from its expectations, for a report.

Above: the comparisons, the stage, and whoever shows them. Below: nothing.
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
    """For a person: what was not as expected, and what to do where that is known."""
    name: str | None = None
    """Of the variable, or the path of the state."""
    expected: object = None
    got: object = None
    """Plain values; both None where there is nothing to compare."""
    place: Place | None = None
    """Of what was expected or told in the file, where it has one of its own."""
