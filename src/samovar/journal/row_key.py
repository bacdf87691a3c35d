"""What a row of a file is known by, for which a workflow is run; and its run, as the journal has it.

Above: the journal's contract, whose runs may be for a row. Below: the status of runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from samovar.generation import TokenCounts
from samovar.journal.run_status import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """Names one row of a file that a workflow is run for, by its content."""

    work: str
    """Digest of all that the row's result depends on: what it says, the workflow with all its files, and the
    settings that matter. The same work is done once."""
    subject: str
    """Digest of what the row says and of the workflow's place: the same after an edit of the workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """The run of a row as it is in the journal."""

    run: str
    """Its id."""
    status: RunStatus
    until_s: float
    """When the lease of the process that drives it ends, in seconds since 1970."""
    message: str
    """Why it did not complete."""
    result: str | None
    """As JSON, without secrets; None: there is none."""
    tokens: TokenCounts
