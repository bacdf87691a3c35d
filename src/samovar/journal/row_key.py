"""What a row of a file is known by, for which a workflow is run.

Above: the journal's contract, whose runs may be for a row. Below: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """Names one row of a file that a workflow is run for, by its content."""

    work: str
    """Digest of all that the row's result depends on: what it says, the workflow with all its files, and the
    settings that matter. The same work is done once."""
    subject: str
    """Digest of what the row says and of the workflow's place: the same after an edit of the workflow."""
