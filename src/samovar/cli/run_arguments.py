"""What `samovar run` was called with, and what of it a run that continues is called with again.

Above: `run.py`, `resuming.py`. Below: the journal's contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samovar.journal.base import RunHead, RunOrigin
from samovar.running.uncertain import Decisions

KEPT = (
    "workflow",
    "model",
    "executor",
    "seed",
    "deterministic",
    "limit_transitions",
    "limit_duration",
    "no_effects",
    "from_program",
    "lenient",
)
"""The arguments that hold for all of a run, however often it continues."""


@dataclass(frozen=True, slots=True)
class RowsArguments:
    """What `samovar run` was told about the rows of a file."""

    each: str | None = None
    """The file of rows, or the pattern of files, that the workflow is run for; None: it is run once."""
    at_once: int | None = None
    """Rows worked on together."""
    out: Path | None = None
    """The file that gets what came of the rows, in place of standard output."""
    retry_failed: bool = False

    @property
    def needless(self) -> str | None:
        """An option that was given and says nothing, since the workflow is run once; None: none was."""
        given = (
            ("--at-once", self.at_once is not None),
            ("--out", self.out is not None),
            ("--retry-failed", self.retry_failed),
        )
        return None if self.each is not None else next((name for name, is_given in given if is_given), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArguments:
    """What `samovar run` was called with."""

    workflow: str
    variables: tuple[str, ...]
    """Each `--var`."""
    variable_files: tuple[Path, ...] = ()
    """Each `--vars`."""
    switches: tuple[str, ...]
    """Options that are not the command's own."""
    options: frozenset[str]
    """The command's own options, to name the nearest."""
    settings: Mapping[str, Any]
    """By name, None for those that were not given."""
    model: str | None
    executor: str | None
    seed: int | None
    deterministic: bool
    limit_transitions: int | None
    limit_duration: str | None
    yes: bool
    answers: tuple[str, ...]
    """Each `--answer`."""
    trust: bool
    """Every project counts as trusted."""
    no_effects: bool
    lenient: bool
    dry_run: bool
    as_json: bool
    as_events: bool
    print_variable: str | None
    record: Path | None
    """The file of cases that the run is added to."""
    quiet: bool
    verbose: int
    rows: RowsArguments = field(default_factory=RowsArguments)
    """The rows that it is run for."""
    from_program: bool = False
    """The run that continues was begun by another program, with values that are not the user's."""
    changed_secrets: bool = False
    """Secrets of a run that continues need not be those that it began with."""
    no_journal: bool = False
    """It is not kept, whatever the settings say."""
    goes_on: RunHead | None = None
    """The run that continues; None: a new one begins."""
    earlier: RunHead | None = None
    """What the run began with that this one takes outcomes from."""
    origin: RunOrigin | None = None
    """Which outcomes it takes from that."""
    uncertain: Decisions = field(default_factory=Decisions)
    """What becomes of its visits that were interrupted."""

    @property
    def begun_as(self) -> RunHead | None:
        """The run whose variables it begins with."""
        return self.goes_on or self.earlier

    @property
    def prompts(self) -> Mapping[str, str]:
        """The texts of prompts in place of those of the library."""
        origin = self.goes_on.origin if self.goes_on else self.origin
        return origin.prompts if origin else {}

    @property
    def outputs(self) -> list[str]:
        """The options that were given and take all of standard output."""
        given = (
            ("--json", self.as_json),
            ("--events", self.as_events),
            ("--print", self.print_variable is not None),
        )
        return [name for name, is_given in given if is_given]

    @property
    def shows(self) -> bool:
        """Standard error is for a person: live lines and a report."""
        return not (self.quiet or self.as_json or self.as_events)

    @property
    def kept(self) -> Mapping[str, object]:
        """What a later process needs to continue the run, besides its variables; only what JSON has."""
        settings = {name: _json(one) for name, one in self.settings.items() if one is not None}
        return {"settings": settings, **{name: getattr(self, name) for name in KEPT}}


def _json(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_json(one) for one in value]
    return str(value) if isinstance(value, Path) else value
