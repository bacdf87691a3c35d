"""What a visit did outside of the run, as a journal keeps it: for people, and to compare runs.

Above: the contexts of visits. Below: what a run does outside of itself. It is kept whole, with the values
that it had; secrets in it become references with the rest of what a visit leaves.
"""

from __future__ import annotations

from contextlib import suppress

from samovar.actions.effects import FindsFiles, OutsideIntent, ReadsFile, RunsCommand, WritesFile
from samovar.errors import SamovarError
from samovar.journal.base import Performed


def performed_by(intent: OutsideIntent[object]) -> Performed | None:
    """What is done if this is wanted; None: nothing that is kept so."""
    match intent:
        case RunsCommand(command=command):
            return Performed(
                kind="command",
                what=command.shown or command.text,
                folder=str(command.folder),
                environment=dict(command.adds),
                text=command.stdin,
            )
        case WritesFile(target=target):
            return Performed(
                kind="append" if intent.change.adds else "write",
                what=target.shown,
                text=_written(intent),
            )
        case ReadsFile(target=target):
            return Performed(kind="read", what=target.shown)
        case FindsFiles(search=search):
            return Performed(kind="find", what=search.pattern)
        case _:
            return None


def _written(intent: WritesFile) -> str | None:
    with suppress(SamovarError, TypeError, ValueError):  # it is raised again, when it is written
        return intent.change.make(None).decode("utf-8", errors="replace")
    return None
