"""`samovar runs export` and `samovar runs prune`: a kept run as a file, and old runs away.

Above: `of_runs.py`. Below: the journal, the wire of kept runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.cli.keeping import find_run
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.errors.counting import counted
from samovar.files import exists, is_folder, write_whole
from samovar.journal.base import RunStatus, RunSummary
from samovar.journal.opening import open_journal
from samovar.running.kept_wire import kept_run_to_wire, summary_to_wire
from samovar.values import duration_s

DAY_S = 86_400.0
OLD_S = 30 * DAY_S
"""Age of runs that are deleted if nobody says which."""
_DAYS = re.compile(r"(\d+(?:\.\d+)?)\s*d(?:ays?)?")


def read_run(settings: Mapping[str, Any], run: str) -> Mapping[str, Any]:
    """All that the journal has of a run. Raises `NotFoundError`, `UsageError`."""
    with open_journal(settings_for(settings)) as journal:
        return kept_run_to_wire(journal, find_run(journal, run))


def age_s(text: str) -> float:
    """How long ago, as `30d` or any duration. Raises `ValueError`."""
    days = _DAYS.fullmatch(text.strip())
    return float(days[1]) * DAY_S if days else duration_s(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where what is made of a run goes."""

    path: Path
    """`-` is standard output."""
    replaces: bool = False
    """A file that is already there is replaced."""

    def check(self) -> None:
        """Raises `UsageError` if it cannot be written there, before anything is read."""
        if self._is_standard_output:
            return
        if is_folder(self.path):
            raise UsageError(f"{self.path} is a folder. Name a file in it.")
        if not is_folder(self.path.parent):
            raise UsageError(
                f"{self.path} cannot be written: there is no folder {self.path.parent}. Make it first, or "
                "correct the path."
            )
        if exists(self.path) and not self.replaces:
            raise UsageError(f"{self.path} already exists. Name another file, or replace it with --force.")

    def write(self, text: str) -> None:
        """Writes a file whole. Raises `UsageError`."""
        if self._is_standard_output:
            put(text)
            return
        write_whole(self.path, text)
        say(f"samovar: wrote {self.path}")

    @property
    def _is_standard_output(self) -> bool:
        return str(self.path) == "-"


def export_run(settings: Mapping[str, Any], run: str, out: Output) -> int:
    """Writes a run as JSON, and returns the exit status."""
    out.check()
    out.write(json.dumps(read_run(settings, run), ensure_ascii=True, indent=2) + "\n")
    return 0


def prune_runs(
    settings: Mapping[str, Any],
    *,
    older_than: str | None,
    keep: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Deletes old runs, and returns the exit status."""
    age_s = _age(older_than) if older_than is not None else None if keep is not None else OLD_S
    with open_journal(settings_for(settings)) as journal:
        chosen = _chosen(list(journal.runs()), age_s=age_s, keep=keep)
        if not dry_run:
            removed = set(journal.remove([one.id for one in chosen]))
            chosen = [one for one in chosen if one.id in removed]
    if as_json:
        write_json({"deleted": not dry_run, "runs": [summary_to_wire(one) for one in chosen]})
        return 0
    for one in chosen if dry_run else ():
        put(f"{one.id}  {shown(one.workflow)}  {one.status}\n")
    say(f"samovar: {counted(len(chosen), 'run')} {'would be ' * dry_run}deleted")
    return 0


def _age(text: str) -> float:
    try:
        return age_s(text)
    except ValueError as error:
        raise UsageError(f"--older-than {text}: {error}, or days as in 30d.") from error


def _chosen(runs: Sequence[RunSummary], *, age_s: float | None, keep: int | None) -> list[RunSummary]:
    """The runs to be deleted: all conditions hold for each. `runs`: the newest first."""
    before_s = time.time() - (age_s or 0.0)
    chosen = [
        one
        for one in runs[keep or 0 :]
        if one.touched_at < before_s and one.status not in (RunStatus.RUNNING, RunStatus.WAITING)
    ]
    going = {one.id for one in chosen}
    needed = {one.origin for one in runs if not one.status.is_over and one.id not in going}
    return [one for one in chosen if one.id not in needed]
